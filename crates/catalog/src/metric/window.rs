//! `tumble(...)`, `hop(...)` and `session(...)`: how a metric's windows lie in time.

use datafusion::sql::sqlparser::ast::{Function, FunctionArguments};
use vitral_schemas::window::Window;

use super::length::{Length, length};
use super::session;
use crate::{Diagnostic, Position};

/// `tumble(size)`, `hop(slide, size)` or `session(gap, key, ...)`, as in Arroyo.
pub(super) fn window_of(function: &Function, at: &Position) -> Result<Option<Window>, Diagnostic> {
    let name = function.name.to_string().to_lowercase();
    if name == "session" {
        return session::window_of(function, at).map(Some);
    }
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
        Window::Month | Window::Session { .. } => 1,
    }
}
