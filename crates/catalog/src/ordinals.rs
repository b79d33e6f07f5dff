//! `ORDER BY 2` where the second column is an expression over aggregates that has no name.
//!
//! The engine looks for such a column among its groups and aggregates, where it is not, and takes
//! the query for wrong. It knows the expression itself.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectNamePart, OrderByKind, Query, SelectItem, SetExpr, Value, Visit, VisitMut, Visitor, VisitorMut,
};

/// Functions that cannot be said twice: they give something else each time, or several rows.
const ONCE: [&str; 5] = ["gen_random_uuid", "random", "unnest", "uuid", "uuidv7"];

/// Says the columns that a statement orders by.
pub(crate) fn spell_out(query: &mut Query) {
    // It never ends early.
    let _ = VisitMut::visit(query, &mut Ordinals);
}

struct Ordinals;

impl VisitorMut for Ordinals {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        // There the engine knows its columns alone.
        if select.distinct.is_some() {
            return ControlFlow::Continue(());
        }
        let Some(OrderByKind::Expressions(orders)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
            return ControlFlow::Continue(());
        };
        for order in orders {
            let found = ordinal(&order.expr).and_then(|place| column(&select.projection, place));
            if let Some(found) = found.filter(|found| !is_simple(found) && !is_said_once(found)) {
                order.expr = found.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

fn ordinal(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    let Value::Number(number, _) = &value.value else { return None };
    number.parse().ok()
}

/// The expression at a place, if it has no name.
fn column(projection: &[SelectItem], place: usize) -> Option<&Expr> {
    let (last, before) = projection.get(..place)?.split_last()?;
    let is_one = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    match last {
        SelectItem::UnnamedExpr(expr) if before.iter().all(is_one) => Some(expr),
        _ => None,
    }
}

/// What the engine finds by its place, or would take for a place itself.
fn is_simple(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_))
}

fn is_said_once(expr: &Expr) -> bool {
    struct Once;
    impl Visitor for Once {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let name = function.name.0.last().and_then(ObjectNamePart::as_ident);
            let is_one = |name: &str| ONCE.iter().any(|one| one.eq_ignore_ascii_case(name));
            if name.is_some_and(|name| is_one(&name.value)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
    expr.visit(&mut Once).is_break()
}

#[cfg(test)]
mod tests {
    use crate::{DomainSettings, ReadStatement};

    #[test]
    fn places_of_unnamed_expressions_are_spelled_out() {
        for (sql, wanted) in [
            ("SELECT a, round(sum(b)) FROM t GROUP BY a ORDER BY 2 DESC, 1", "round(sum(b)) DESC, 1"),
            ("SELECT sum(b) + 1 AS n FROM t ORDER BY 1", "1"),
            ("SELECT 5, (SELECT 1), random(), unnest(a) FROM t ORDER BY 1, 2, 3, 4", "1, 2, 3, 4"),
            ("SELECT *, sum(b) FROM t ORDER BY 2", "2"),
            ("SELECT DISTINCT upper(a) FROM t ORDER BY 1", "1"),
        ] {
            let mut query = ReadStatement::parse(sql, &DomainSettings::default()).expect("a statement").query;
            super::spell_out(&mut query);
            let ordered = query.order_by.as_ref().expect("an order").to_string();
            assert_eq!(ordered, format!("ORDER BY {wanted}"), "{sql}");
        }
    }
}
