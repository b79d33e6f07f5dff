//! Times that are written to the minute, `'2026-11-30 04:00'`: PostgreSQL takes them, the engine
//! wants seconds.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

/// `2026-11-30 04:00`.
const TO_THE_MINUTE: &[u8] = b"0000-00-00 00:00";

/// The text with its seconds, if it is a time without them.
pub(crate) fn with_seconds(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |(sign, wanted): (u8, &u8)| match wanted {
        b'0' => sign.is_ascii_digit(),
        b' ' => matches!(sign, b' ' | b'T'),
        wanted => sign == *wanted,
    };
    let (minute, zone) = text.split_at_checked(TO_THE_MINUTE.len())?;
    let is_zone = zone.is_empty() || zone.starts_with(['+', '-', 'Z', ' ']);
    (is_zone && minute.bytes().zip(TO_THE_MINUTE).all(fits)).then(|| format!("{minute}:00{zone}"))
}

/// A plan whose conditions compare times with whole ones.
pub(crate) fn compared_in_seconds(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        // What has a name of its own, such as a column, keeps it.
        if !matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_)) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| expr.transform_up(|expr| Ok(completed(expr, &schema))))
    });
    Ok(plan?.data)
}

fn completed(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let is_time = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Timestamp(..)));
    match expr {
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if compares(op) => {
            let is_changed = if is_time(&left) { complete(&mut right) } else { is_time(&right) && complete(&mut left) };
            changed(is_changed, Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, mut low, mut high }) => {
            let is_changed = is_time(&expr) && (complete(&mut low) | complete(&mut high));
            changed(is_changed, Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(mut list) => {
            let is_changed = is_time(&list.expr) && list.list.iter_mut().fold(false, |is, item| complete(item) | is);
            changed(is_changed, Expr::InList(list))
        }
        other => Transformed::no(other),
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn changed(is_changed: bool, expr: Expr) -> Transformed<Expr> {
    if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Whether it was a time without seconds, which it has from now on.
fn complete(expr: &mut Expr) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    let Some(text) = value.try_as_str().flatten().and_then(with_seconds) else { return false };
    *value = ScalarValue::Utf8(Some(text));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_to_the_minute_get_seconds() {
        for (given, wanted) in [
            ("2026-11-30 04:00", Some("2026-11-30 04:00:00")),
            ("2026-11-30T04:00Z", Some("2026-11-30T04:00:00Z")),
            (" 2026-11-30 04:00-03 ", Some("2026-11-30 04:00:00-03")),
            ("2026-11-30 04:00 America/Sao_Paulo", Some("2026-11-30 04:00:00 America/Sao_Paulo")),
            ("2026-11-30 04:00:01", None),
            ("2026-11-30", None),
            ("2026-11-30 4:00", None),
            ("p2026-11-30 04:00", None),
            ("ação de graças às 04", None),
        ] {
            assert_eq!(with_seconds(given).as_deref(), wanted, "{given}");
        }
    }
}
