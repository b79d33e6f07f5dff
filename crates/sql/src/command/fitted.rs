//! Queries over `pg_catalog`, said as the engine can plan them, beyond what upstream's rules do.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::listing::{PG_CATALOG, added_tables};

/// Columns that name functions: shown as names, compared with numbers.
const FUNCTIONS: [&str; 27] = [
    "aggfinalfn",
    "aggfnoid",
    "aggtransfn",
    "amhandler",
    "amproc",
    "conproc",
    "oprcode",
    "oprjoin",
    "oprrest",
    "prosupport",
    "prsend",
    "prsheadline",
    "prslextype",
    "prsstart",
    "prstoken",
    "rngcanonical",
    "rngsubdiff",
    "tmplinit",
    "tmpllexize",
    "typanalyze",
    "typinput",
    "typmodin",
    "typmodout",
    "typoutput",
    "typreceive",
    "typsend",
    "typsubscript",
];
/// Types that number things.
const NUMBERS: [&str; 6] = ["oid", "int", "int4", "int8", "integer", "bigint"];

/// Makes a query over the catalogs fit the engine.
pub(super) fn fit(statement: &mut Statement) {
    // It breaks off nowhere.
    let _ = VisitMut::visit(statement, &mut Fitting);
}

/// `LIKE ... ESCAPE` with any sign as with a backslash, which is all that the engine knows.
pub(super) fn plain_escapes(statement: &mut Statement) {
    let _ = VisitMut::visit(statement, &mut Escapes);
}

/// An expression that is written here.
pub(super) fn expression(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

fn replace(expr: &mut Expr, text: &str) {
    if let Some(other) = expression(text) {
        *expr = other;
    }
}

fn last_name(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.to_lowercase())
}

struct Fitting;

impl VisitorMut for Fitting {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice()
            && added_tables().any(|known| known == name.value)
        {
            relation.0.insert(0, ObjectNamePart::Identifier(Ident::new(PG_CATALOG)));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _ = VisitMut::visit(expr, &mut Correlated { becomes: Becomes::Null });
            }
        }
        if let Some(condition) = &mut select.selection {
            let _ = VisitMut::visit(condition, &mut Correlated { becomes: Becomes::OneRow });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                let (of_left, of_right) = (is_function(left), is_function(right));
                if of_left && !of_right && !is_text(right) {
                    number(left);
                } else if of_right && !of_left && !is_text(left) {
                    number(right);
                }
            }
            Expr::Cast { expr: inner, data_type, .. } if is_function(inner) => {
                let wanted = data_type.to_string().to_lowercase();
                let wanted = wanted.rsplit('.').next().unwrap_or_default();
                if NUMBERS.contains(&wanted) {
                    number(inner);
                } else if wanted.starts_with("regproc") {
                    let name = inner.as_ref().clone();
                    *expr = name;
                }
            }
            Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|part| part.value == "tableoid") => {
                replace(expr, "0");
            }
            Expr::Function(function) => {
                let name = last_name(&function.name).unwrap_or_default();
                match &mut function.args {
                    FunctionArguments::Subquery(_) if name == "array" => replace(expr, "CAST(NULL AS TEXT[])"),
                    FunctionArguments::List(list) if name == "coalesce" && list.args.len() > 1 => {
                        list.args.retain(|argument| !is_empty_list(argument));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// Whether this is a column that names a function.
fn is_function(expr: &Expr) -> bool {
    let is_known = |ident: &Ident| FUNCTIONS.contains(&ident.value.as_str());
    match expr {
        Expr::Identifier(ident) => is_known(ident),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(is_known),
        Expr::Nested(inner) => is_function(inner),
        _ => false,
    }
}

fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_)),
        Expr::Cast { data_type, .. } => {
            matches!(data_type, DataType::Text | DataType::Varchar(_)) || data_type.to_string().ends_with("name")
        }
        _ => false,
    }
}

fn number(expr: &mut Expr) {
    let text = format!("to_regproc({expr})");
    replace(expr, &text);
}

/// `'{}'`, where a list would be null.
fn is_empty_list(argument: &FunctionArg) -> bool {
    matches!(
        argument,
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))
            if matches!(&value.value, Value::SingleQuotedString(text) if text == "{}")
    )
}

/// What becomes of subqueries that look at a row outside of them.
#[derive(Clone, Copy)]
enum Becomes {
    Null,
    /// They have one row at most, and say so.
    OneRow,
}

struct Correlated {
    becomes: Becomes,
}

impl VisitorMut for Correlated {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = expr
            && looks_outside(query)
        {
            match self.becomes {
                Becomes::Null => {
                    let text = null_of(query);
                    replace(expr, text);
                }
                Becomes::OneRow => say_one_row(query),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Null in the type that the subquery would have, as far as it matters.
fn null_of(query: &Query) -> &'static str {
    let text = query.to_string().to_lowercase();
    match (text.contains("array_agg("), text.contains("::text")) {
        (true, true) => "CAST(NULL AS TEXT[])",
        (true, false) => "CAST(NULL AS INT[])",
        (false, _) => "NULL",
    }
}

fn say_one_row(query: &mut Query) {
    if let SetExpr::Select(select) = query.body.as_mut()
        && let [SelectItem::UnnamedExpr(expr)] = select.projection.as_mut_slice()
        && query.limit_clause.is_none()
        && !matches!(expr, Expr::Function(_))
    {
        let text = format!("max({expr})");
        replace(expr, &text);
    }
}

fn looks_outside(query: &Query) -> bool {
    let mut own = Names::default();
    let _ = Visit::visit(query, &mut own);
    own.used.iter().any(|name| !own.tables.contains(name))
}

/// The tables that a query has, and those that its columns are of.
#[derive(Default)]
struct Names {
    tables: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.tables.extend(tables.map(|table| table.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor {
            self.tables.extend(name.0.last().and_then(ObjectNamePart::as_ident).map(|name| name.value.to_lowercase()));
            self.tables.extend(alias.as_ref().map(|alias| alias.name.value.to_lowercase()));
        }
        if let TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } = factor
        {
            self.tables.insert(alias.name.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [.., table, _] = parts.as_slice()
        {
            self.used.insert(table.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }
}

struct Escapes;

impl VisitorMut for Escapes {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
            && let Some(Value::SingleQuotedString(sign)) = escape_char.as_ref().map(|sign| &sign.value)
            && sign.chars().count() == 1
            && sign != "\\"
            && sign != "'"
        {
            // Twice the sign is the sign itself.
            let text = format!(
                "replace(replace(replace(replace({pattern}, '\\', '\\\\'), '{sign}{sign}', chr(1)), '{sign}', '\\'), \
                 chr(1), '{sign}')"
            );
            if let Some(plain) = expression(&text) {
                (**pattern, *escape_char) = (plain, None);
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(text: &str) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, text).expect(text).remove(0);
        fit(&mut statement);
        plain_escapes(&mut statement);
        statement.to_string()
    }

    #[test]
    fn functions_are_compared_by_number_and_shown_by_name() {
        for (text, wanted) in [
            ("SELECT typinput FROM t WHERE t.typreceive <> 0", "to_regproc(t.typreceive) <> 0"),
            ("SELECT 1 FROM a JOIN p ON p.oid = a.typreceive", "p.oid = to_regproc(a.typreceive)"),
            ("SELECT 1 FROM a WHERE typreceive::TEXT != 'array_recv'", "typreceive::TEXT <> 'array_recv'"),
            ("SELECT typreceive::oid FROM a", "to_regproc(typreceive)::oid"),
            ("SELECT typinput::regproc FROM a", "SELECT typinput FROM a"),
        ] {
            assert!(fitted(text).contains(wanted), "{text}: {}", fitted(text));
        }
    }

    #[test]
    fn subqueries_about_an_outer_row_are_said_in_another_way() {
        let text = "SELECT (SELECT c.a FROM c WHERE c.id = t.id) AS x, (SELECT max(a) FROM c) AS y FROM t \
                    WHERE (SELECT c.kind = 'c' FROM c WHERE c.id = t.id)";
        let found = fitted(text);
        assert!(found.starts_with("SELECT NULL AS x, (SELECT max(a) FROM c) AS y FROM t"), "{found}");
        assert!(found.contains("(SELECT max(c.kind = 'c') FROM c WHERE c.id = t.id)"), "{found}");
    }

    #[test]
    fn any_sign_may_escape() {
        let found = fitted("SELECT 1 FROM t WHERE a LIKE 'pg/_%' ESCAPE '/'");
        assert!(found.contains("'/', '\\')") && !found.contains("ESCAPE"), "{found}");
    }
}
