//! Which conditions sums can be asked for: a range of time, and values of keys.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use vitral_catalog::Rollup;

/// What a statement asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// The first time, and the one after the last; in microseconds.
    pub(super) range: (Option<i64>, Option<i64>),
    /// Values by the number of their key: the one to group by is the first, the filters follow.
    pub(super) filters: Vec<(usize, String)>,
    /// Nothing meets it.
    pub(super) is_never: bool,
}

/// One condition.
enum Condition {
    /// At or after.
    From(i64),
    Until(i64),
    Is(usize, String),
}

/// Whether it is one that can be asked for.
pub(super) fn is_condition(rollup: &Rollup, expr: &Expr) -> bool {
    condition(rollup, expr).is_some()
}

impl Conditions {
    pub(super) fn never() -> Self {
        Self { is_never: true, ..Self::default() }
    }

    /// All of these, each of which is a condition.
    pub(super) fn read(rollup: &Rollup, filters: &[Expr]) -> Self {
        let mut all = Self::default();
        for filter in filters {
            match condition(rollup, filter) {
                Some(Condition::From(time)) => all.range.0 = all.range.0.max(Some(time)),
                Some(Condition::Until(time)) => all.range.1 = Some(all.range.1.map_or(time, |until| until.min(time))),
                Some(Condition::Is(key, value)) => {
                    let other = |(known, text): &(usize, String)| *known == key && *text != value;
                    all.is_never |= all.filters.iter().any(other);
                    all.filters.push((key, value));
                }
                None => {}
            }
        }
        all
    }
}

fn condition(rollup: &Rollup, expr: &Expr) -> Option<Condition> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (column, op, value) = match (column(left), literal(left), column(right), literal(right)) {
        (Some(column), _, _, Some(value)) => (column, *op, value),
        (_, Some(value), Some(column), _) => (column, op.swap()?, value),
        _ => return None,
    };
    if column == rollup.time {
        let micros = micros(value)?;
        return match op {
            Operator::GtEq => Some(Condition::From(micros)),
            Operator::Gt => Some(Condition::From(micros.checked_add(1)?)),
            Operator::Lt => Some(Condition::Until(micros)),
            Operator::LtEq => Some(Condition::Until(micros.checked_add(1)?)),
            _ => None,
        };
    }
    let mut keys = std::iter::once(&rollup.by).chain(&rollup.filters);
    let key = keys.position(|key| key == column)?;
    let text = value.try_as_str().flatten()?;
    (op == Operator::Eq).then(|| Condition::Is(key, text.to_owned()))
}

/// A column, also as another kind of text.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(cast) if is_text(cast.field.data_type()) => match cast.expr.as_ref() {
            Expr::Column(column) => Some(&column.name),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(data_type: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::DataType;
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(micros, _) => *micros,
        ScalarValue::TimestampMillisecond(millis, _) => millis.and_then(|millis| millis.checked_mul(1_000)),
        ScalarValue::TimestampSecond(seconds, _) => seconds.and_then(|seconds| seconds.checked_mul(1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{ident, lit};

    use super::*;
    use crate::tables::utc;

    fn rollup() -> Rollup {
        Rollup {
            by: "id_produto".into(),
            time: "instante".into(),
            once: None,
            filters: vec!["categoria".into(), "regiao".into()],
        }
    }

    #[test]
    fn conditions_are_taken_together() {
        let time = |micros| lit(utc(Some(micros)));
        let all = [
            ident("instante").gt_eq(time(5)),
            time(3).lt(ident("instante")),
            ident("instante").lt(time(20)),
            ident("instante").lt_eq(time(14)),
            ident("categoria").eq(lit("livros")),
            lit("SP").eq(ident("regiao")),
        ];
        assert!(all.iter().all(|expr| is_condition(&rollup(), expr)));
        let filters = vec![(1, "livros".to_owned()), (2, "SP".to_owned())];
        assert_eq!(
            Conditions::read(&rollup(), &all),
            Conditions { range: (Some(5), Some(15)), filters, is_never: false }
        );
        let two = [ident("regiao").eq(lit("SP")), ident("regiao").eq(lit("RJ"))];
        assert!(Conditions::read(&rollup(), &two).is_never);
    }

    #[test]
    fn what_is_not_exact_is_no_condition() {
        for expr in [
            ident("regiao").not_eq(lit("SP")),
            ident("regiao").eq(ident("categoria")),
            ident("regiao").is_null(),
            ident("instante").eq(lit(utc(Some(1)))),
            ident("unidades").gt(lit(1_i64)),
            ident("regiao").eq(lit("SP")).or(ident("regiao").eq(lit("RJ"))),
            ident("regiao").eq(lit(ScalarValue::Utf8(None))),
        ] {
            assert!(!is_condition(&rollup(), &expr), "{expr}");
        }
    }
}
