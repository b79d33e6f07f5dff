//! `EXISTS` among the columns of a query, which the engine knows in conditions alone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, Query, Select, SelectItem, SetExpr, TableFactor, UnaryOperator, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};

use super::fitted::expression;

/// Whether there are rows, for what they are counted.
const ANY: &str = "count(*) > 0";
/// The same of rows that are a table of their own.
const ANY_OF: &str = "(SELECT count(*) > 0 FROM (SELECT 1) AS found)";

/// Counts rows instead.
pub(super) fn count_existing(projection: &mut [SelectItem]) {
    for item in projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            // It breaks off nowhere.
            let _ = VisitMut::visit(expr, &mut Counted);
        }
    }
}

struct Counted;

impl VisitorMut for Counted {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Exists { subquery, negated } = expr
            && let Some(counted) = counted(subquery)
        {
            *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(counted) } } else { counted };
        }
        ControlFlow::Continue(())
    }
}

fn counted(query: &Query) -> Option<Expr> {
    let mut counted = query.clone();
    if let Some(select) = plain(&mut counted) {
        select.projection = vec![SelectItem::UnnamedExpr(expression(ANY)?)];
        (counted.order_by, counted.limit_clause) = (None, None);
        return Some(Expr::Subquery(Box::new(counted)));
    }
    let mut outer = expression(ANY_OF)?;
    if let Expr::Subquery(query) = &mut outer
        && let SetExpr::Select(select) = query.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation)
    {
        **subquery = counted;
    }
    Some(outer)
}

/// The select of a query that has as many rows as its tables and its condition say. Only there
/// columns of the query around it may be named.
fn plain(query: &mut Query) -> Option<&mut Select> {
    let is_limited = query.fetch.is_some() || query.limit_clause.as_ref().is_some_and(|limit| !leaves_some(limit));
    if query.with.is_some() || is_limited {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let is_plain = !is_grouped && select.having.is_none() && select.distinct.is_none() && select.qualify.is_none();
    // Functions may make one row of many, or many of one.
    let calls = Visit::visit(&select.projection, &mut Calls).is_break();
    if is_plain && !calls { Some(select.as_mut()) } else { None }
}

/// `LIMIT 1`, which changes nothing.
fn leaves_some(limit: &LimitClause) -> bool {
    match limit {
        LimitClause::LimitOffset { limit: Some(Expr::Value(value)), offset: None, limit_by } => {
            limit_by.is_empty() && matches!(&value.value, Value::Number(number, _) if number != "0")
        }
        _ => false,
    }
}

/// Finds a function.
struct Calls;

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Function(_)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn rows_are_counted_where_it_is_asked_whether_there_are_any() {
        for (given, wanted) in [
            ("EXISTS (SELECT 1 FROM t WHERE t.a = x.a)", "(SELECT count(*) > 0 FROM t WHERE t.a = x.a)"),
            ("NOT EXISTS (SELECT * FROM t ORDER BY a LIMIT 1)", "NOT (SELECT count(*) > 0 FROM t)"),
            ("CASE WHEN EXISTS (SELECT 1) THEN 1 END", "CASE WHEN (SELECT count(*) > 0) THEN 1 END"),
            ("EXISTS (SELECT max(a) FROM t)", "(SELECT count(*) > 0 FROM (SELECT max(a) FROM t) AS found)"),
            (
                "EXISTS (SELECT a FROM t GROUP BY a HAVING count(*) > 1)",
                "(SELECT count(*) > 0 FROM (SELECT a FROM t GROUP BY a HAVING count(*) > 1) AS found)",
            ),
            ("EXISTS (SELECT 1 FROM t LIMIT 0)", "(SELECT count(*) > 0 FROM (SELECT 1 FROM t LIMIT 0) AS found)"),
        ] {
            let text = format!("SELECT {given}");
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, &text).expect(&text).remove(0);
            if let Statement::Query(query) = &mut statement
                && let SetExpr::Select(select) = query.body.as_mut()
            {
                count_existing(&mut select.projection);
            }
            assert_eq!(statement.to_string(), format!("SELECT {wanted}"), "{given}");
        }
    }
}
