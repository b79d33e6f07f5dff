//! PostgreSQL's expressions in the words of the engine, in all queries of clients.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CharacterLength, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Query, Select, SelectItem, SetExpr, Statement, TimezoneInfo, Value, VisitMut, VisitorMut,
};

use super::column_aliases::{name_beside_all, name_columns};
use super::existing::count_existing;
use super::expressions::{call, name, named, take};
use super::fitted::expression;
use crate::dialect::AS_TEXT;
use crate::minutes::with_seconds;

/// Functions with another meaning there, by their names, how many arguments they have, and how they
/// are called here.
const FUNCTIONS: [(&str, usize, &str); 7] = [
    ("age", 2, "pg_age"),
    ("avg", 1, "pg_avg"),
    ("format", 0, "pg_format"),
    ("timezone", 2, "pg_timezone"),
    ("to_char", 2, "pg_to_char"),
    ("to_date", 2, "pg_to_date"),
    ("to_timestamp", 2, "pg_to_timestamp"),
];
/// It makes a list here, and rows there.
const SERIES: &str = "generate_series";

/// Functions that count without a sign here.
const RANKS: [&str; 4] = ["dense_rank", "ntile", "rank", "row_number"];
/// Casts to `timestamp with time zone` leave the time zone out here, and the present has none.
const MOMENT: &str = "Timestamp(Microsecond, Some(\"UTC\"))";
const LOCAL: &str = "Timestamp(Microsecond, None)";
/// Functions of the present, which is the same all through a statement.
const PRESENT: [&str; 5] =
    ["clock_timestamp", "current_timestamp", "now", "statement_timestamp", "transaction_timestamp"];
/// The present without a zone.
const LOCAL_PRESENT: &str = "localtimestamp";
/// A row's value, where the engine knows `percentile_cont` alone.
const PERCENTILE: &str = "percentile_disc";

/// Says a query as the engine understands it, with the same meaning.
pub(super) fn reword(statement: &mut Statement) {
    // It breaks off nowhere.
    let _ = VisitMut::visit(statement, &mut Wording);
    if let Statement::Query(query) = statement
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        name_beside_all(&mut select.projection);
    }
}

struct Wording;

impl VisitorMut for Wording {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_columns(query);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && matches!(expr, Expr::Function(function) if name(function) == SERIES)
            {
                *expr = call("unnest", vec![take(expr)]);
            }
        }
        count_existing(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if name(function) == PERCENTILE => {
                if let Some(found) = percentile(function) {
                    *expr = found;
                }
            }
            Expr::Function(function) if function.over.is_some() && RANKS.contains(&name(function).as_str()) => {
                *expr = whole_number(take(expr));
            }
            Expr::Function(function) if PRESENT.contains(&name(function).as_str()) && has_no_arguments(function) => {
                *expr = cast_to(call("now", Vec::new()), MOMENT);
            }
            Expr::Function(function) if name(function) == LOCAL_PRESENT && has_no_arguments(function) => {
                *expr = cast_to(call("now", Vec::new()), LOCAL);
            }
            Expr::Function(function) => rename(function),
            Expr::Cast { .. } => reword_cast(expr),
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call("pg_timezone", vec![take(time_zone), take(timestamp)]);
            }
            Expr::TypedString(typed) if matches!(typed.data_type, DataType::Timestamp(..)) => {
                if matches!(&typed.value.value, Value::SingleQuotedString(text) if text == "epoch") {
                    typed.value.value = Value::SingleQuotedString("1970-01-01 00:00:00".to_owned());
                }
                complete(&mut typed.value.value);
                if is_moment(&typed.data_type) {
                    *expr = cast_to(Expr::Value(typed.value.clone()), MOMENT);
                }
            }
            // `substring(text from 'pattern')`: what the first group finds, or else all of it.
            Expr::Substring { expr: text, substring_from: Some(pattern), substring_for: None, .. }
                if is_text(pattern) =>
            {
                let found = call("regexp_match", vec![take(text), take(pattern)]);
                *expr = call("array_element", vec![found, Expr::value(Value::Number("1".to_owned(), false))]);
            }
            Expr::CompoundFieldAccess { root, access_chain } if matches!(root.as_ref(), Expr::Nested(_)) => {
                if let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice() {
                    let field =
                        if field.quote_style.is_some() { field.value.clone() } else { field.value.to_lowercase() };
                    *expr = call("get_field", vec![take(root), Expr::value(Value::SingleQuotedString(field))]);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn reword_cast(expr: &mut Expr) {
    let Expr::Cast { expr: inner, data_type, .. } = expr else { return };
    match data_type {
        DataType::Timestamp(..) => {
            if let Expr::Value(value) = inner.as_mut() {
                complete(&mut value.value);
            }
            if is_moment(data_type) {
                *expr = cast_to(take(inner), MOMENT);
            }
        }
        DataType::Bytea => {
            if let Some(digits) = hex_digits(inner) {
                *expr = Expr::value(Value::HexStringLiteral(digits));
            }
        }
        _ if is_plain_text(data_type) && !is_literal(inner) => *expr = call(AS_TEXT, vec![take(inner)]),
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. })) => {
            let length = Expr::value(Value::Number(length.to_string(), false));
            *expr = call(AS_TEXT, vec![take(inner), length]);
        }
        _ if is_made_text(inner) => {
            let finder = match data_type.to_string().to_lowercase().rsplit('.').next() {
                Some("regclass") => "to_regclass",
                Some("regtype") => "to_regtype",
                _ => return,
            };
            *expr = call(finder, vec![take(inner)]);
        }
        _ => {}
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone))
}

fn cast_to(expr: Expr, engine_type: &str) -> Expr {
    call("arrow_cast", vec![expr, Expr::value(Value::SingleQuotedString(engine_type.to_owned()))])
}

/// Gives a time that is written to the minute its seconds.
fn complete(value: &mut Value) {
    if let Value::SingleQuotedString(text) = value
        && let Some(whole) = with_seconds(text)
    {
        *text = whole;
    }
}

fn has_no_arguments(function: &Function) -> bool {
    match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => list.args.is_empty(),
        FunctionArguments::Subquery(_) => false,
    }
}

fn whole_number(expr: Expr) -> Expr {
    let data_type = DataType::BigInt(None);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// Calls a function of PostgreSQL by the name that it has here.
fn rename(function: &mut Function) {
    let called = name(function);
    let FunctionArguments::List(list) = &mut function.args else { return };
    if called == "age" && list.args.len() == 1 {
        // Until today.
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(call("current_date", Vec::new()))));
    }
    let count = list.args.len();
    let known = FUNCTIONS.iter().find(|(name, wanted, _)| *name == called && (*wanted == 0 || *wanted == count));
    if let Some((_, _, here)) = known {
        function.name = named(here);
    }
}

/// `percentile_disc(0.5) WITHIN GROUP (ORDER BY x)`: one of the values in their order, for a number
/// that is written there and makes sense.
fn percentile(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let ([FunctionArg::Unnamed(FunctionArgExpr::Expr(part))], [order]) =
        (list.args.as_slice(), function.within_group.as_slice())
    else {
        return None;
    };
    let part = part.to_string().parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part))?;
    let value = &order.expr;
    let condition = function.filter.as_ref().map(|filter| format!(" AND ({filter})")).unwrap_or_default();
    let filter = format!("FILTER (WHERE {value} IS NOT NULL{condition})");
    expression(&format!(
        "array_element(array_agg({value} ORDER BY {order}) {filter}, \
         greatest(1, CAST(ceil(CAST({part} AS DOUBLE) * count({value}) {filter}) AS BIGINT)))"
    ))
}

/// A text of any length.
fn is_plain_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None) | DataType::CharVarying(None)
    )
}

/// Whether it is a text that stands in the query, or a number that does.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_) | Value::HexStringLiteral(_)),
        Expr::Nested(inner) => is_literal(inner),
        _ => false,
    }
}

/// The digits of `'\x0A'`.
fn hex_digits(expr: &Expr) -> Option<String> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let digits = text.strip_prefix("\\x")?;
    (digits.len() % 2 == 0 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then(|| digits.to_owned())
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

/// Whether an expression makes a text of others, as names with schemas are made.
fn is_made_text(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => matches!(name(function).as_str(), "pg_format" | "concat" | "quote_ident"),
        Expr::BinaryOp { op, .. } => *op == BinaryOperator::StringConcat,
        Expr::Nested(inner) => is_made_text(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn expressions_are_said_in_the_words_of_the_engine() {
        for (given, wanted) in [
            ("SELECT to_char(t, 'YYYY')", "SELECT pg_to_char(t, 'YYYY')"),
            ("SELECT to_timestamp(0)", "SELECT to_timestamp(0)"),
            ("SELECT age(t)", "SELECT pg_age(current_date(), t)"),
            ("SELECT t AT TIME ZONE 'UTC'", "SELECT pg_timezone('UTC', t)"),
            ("SELECT TIMESTAMP 'epoch'", "SELECT TIMESTAMP '1970-01-01 00:00:00'"),
            ("SELECT substring(a FROM '[0-9]+')", "SELECT array_element(regexp_match(a, '[0-9]+'), 1)"),
            ("SELECT (i.keys).x", "SELECT get_field((i.keys), 'x')"),
            ("SELECT avg(a), AVG(DISTINCT b)", "SELECT pg_avg(a), pg_avg(DISTINCT b)"),
            ("SELECT rank() OVER (ORDER BY a)", "SELECT CAST(rank() OVER (ORDER BY a) AS BIGINT)"),
            ("SELECT a::timestamptz", "SELECT arrow_cast(a, 'Timestamp(Microsecond, Some(\"UTC\"))')"),
            ("SELECT a::timestamp", "SELECT a::TIMESTAMP"),
            ("SELECT TIMESTAMP '2026-11-30 04:00'", "SELECT TIMESTAMP '2026-11-30 04:00:00'"),
            ("SELECT '2026-11-30T04:00Z'::timestamp", "SELECT '2026-11-30T04:00:00Z'::TIMESTAMP"),
            ("SELECT now()", "SELECT arrow_cast(now(), 'Timestamp(Microsecond, Some(\"UTC\"))')"),
            ("SELECT localtimestamp", "SELECT arrow_cast(now(), 'Timestamp(Microsecond, None)')"),
            ("SELECT generate_series(1, 3)", "SELECT unnest(generate_series(1, 3))"),
            ("SELECT format('%I', a)::regclass::oid", "SELECT to_regclass(pg_format('%I', a))::oid"),
            ("SELECT (SELECT 1), (SELECT 1)", "SELECT (SELECT 1) AS \"subquery:1\", (SELECT 1) AS \"subquery:2\""),
            (
                "SELECT t.a::text, (a + 1)::varchar FROM t",
                "SELECT pg_text(t.a) AS \"a\", pg_text((a + 1)) AS \"text\" FROM t",
            ),
            (
                "SELECT * FROM (SELECT t.a::text, count(*)::text, 1 + 1::varchar(2) FROM t) AS d",
                "SELECT * FROM (SELECT pg_text(t.a) AS \"a\", pg_text(count(*)) AS \"count\", 1 + pg_text(1, 2) FROM t) AS d",
            ),
            (
                "SELECT 'a'::text, $1::text, a::varchar(3)",
                "SELECT 'a'::TEXT, pg_text($1) AS \"text\", pg_text(a, 3) AS \"a\"",
            ),
            ("SELECT left(a::text, 1) FROM t ORDER BY a", "SELECT left(pg_text(a), 1) FROM t ORDER BY a"),
            ("SELECT a::text FROM t ORDER BY -a", "SELECT pg_text(a) FROM t ORDER BY -a"),
            ("SELECT '\\x0aFF'::bytea, '\\x0'::bytea", "SELECT X'0aFF', '\\x0'::BYTEA"),
            ("SELECT NULL, NULL, a, a::int", "SELECT NULL, NULL AS \"NULL:2\", a, a::INT AS \"a:4\""),
            (
                "SELECT sum(a), sum(a::int), sum((a))",
                "SELECT sum(a), sum(a::INT) AS \"sum(a):2\", sum((a)) AS \"sum(a):3\"",
            ),
            ("SELECT *, a FROM t", "SELECT *, a AS \"a:2\" FROM t"),
            ("SELECT b FROM (SELECT *, b FROM t) AS d", "SELECT b FROM (SELECT *, b FROM t) AS d"),
        ] {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, given).expect(given).remove(0);
            reword(&mut statement);
            assert_eq!(statement.to_string(), wanted, "{given}");
        }
    }
}
