//! `tumble(...)` and `hop(...)`: how a metric's windows lie in time.

use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use vitral_schemas::window::Window;

use crate::syntax::text_literal;
use crate::table::duration_ms;
use crate::{Diagnostic, Position};

/// `tumble(size)` or `hop(slide, size)`, as in Arroyo.
pub(super) fn window_of(function: &Function, at: &Position) -> Result<Option<Window>, Diagnostic> {
    let name = function.name.to_string().to_lowercase();
    if name != "tumble" && name != "hop" {
        return Ok(None);
    }
    let FunctionArguments::List(list) = &function.args else {
        return Err(at.error(format!("{name} has no arguments"), "write tumble(INTERVAL '1 minute')".into()));
    };
    let lengths: Vec<Length> = list.args.iter().map(|arg| length(arg, at)).collect::<Result<_, _>>()?;
    let window = match (name.as_str(), lengths.as_slice()) {
        ("tumble", [Length::Ms(size_ms)]) if *size_ms > 0 => Window::Fixed { size_ms: *size_ms, slide_ms: *size_ms },
        ("tumble", [Length::Days(1)]) => Window::Days { size: 1 },
        ("tumble", [Length::Months(1)]) => Window::Month,
        ("hop", [Length::Ms(slide_ms), Length::Ms(size_ms)]) if *slide_ms > 0 && slide_ms <= size_ms => {
            Window::Fixed { size_ms: *size_ms, slide_ms: *slide_ms }
        }
        ("hop", [Length::Days(1), Length::Days(size)]) if *size > 0 => Window::Days { size: *size },
        _ => {
            return Err(at.error(
                format!("{function} is not a supported window"),
                "write tumble(INTERVAL '1 minute'), tumble of '1 day' or '1 month', hop(INTERVAL '1 minute', INTERVAL '5 minutes') with the slide first, or hop(INTERVAL '1 day', INTERVAL 'n days')".into(),
            ));
        }
    };
    if windows_per_event(window) > MAX_WINDOWS_PER_PANE {
        return Err(at.error(
            format!("{function} puts each event into more than {MAX_WINDOWS_PER_PANE} windows"),
            "slide by a longer step".into(),
        ));
    }
    Ok(Some(window))
}

/// Every row of a pane is merged once for each window that holds it.
const MAX_WINDOWS_PER_PANE: i64 = 1_000;

/// How many windows hold each event.
pub(crate) fn windows_per_event(window: Window) -> i64 {
    match window {
        Window::Fixed { size_ms, slide_ms } => size_ms / slide_ms,
        Window::Days { size } => i64::from(size),
        Window::Month => 1,
    }
}

enum Length {
    Ms(i64),
    Days(u32),
    Months(u32),
}

fn length(arg: &FunctionArg, at: &Position) -> Result<Length, Diagnostic> {
    let wrong = || at.error(format!("{arg} is not an interval"), "write INTERVAL '1 minute'".into());
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
