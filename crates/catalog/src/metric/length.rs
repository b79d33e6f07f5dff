//! How long a window or a gap is: `INTERVAL '1 minute'`.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Value};

use crate::syntax::duration_ms;
use crate::syntax::text_literal;
use crate::{Diagnostic, Position};

pub(super) enum Length {
    Ms(i64),
    Days(u32),
    Months(u32),
}

pub(super) fn length(arg: &FunctionArg, at: &Position) -> Result<Length, Diagnostic> {
    let wrong = || {
        at.error(
            format!("{arg} is not an interval"),
            "write a count of seconds, minutes, hours, days or months: INTERVAL '1 minute'".into(),
        )
    };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Interval(interval))) = arg else { return Err(wrong()) };
    let value = text_literal(&interval.value)
        .or_else(|| match interval.value.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => Some(number.clone()),
                _ => None,
            },
            _ => None,
        })
        .ok_or_else(wrong)?;
    let text = match &interval.leading_field {
        Some(field) => format!("{value} {}", field.to_string().to_lowercase()),
        None => value,
    };
    let (count, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
    let civil = |count: &str| count.parse::<u32>().map_err(|_| wrong());
    match unit.trim().trim_end_matches('s') {
        "day" => Ok(Length::Days(civil(count)?)),
        "month" => Ok(Length::Months(civil(count)?)),
        _ => duration_ms(&text).map(Length::Ms).ok_or_else(wrong),
    }
}
