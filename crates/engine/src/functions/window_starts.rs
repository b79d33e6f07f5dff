//! `window_starts(time, kind, size, slide, zone)`: the starts of all windows that an instant
//! belongs to.
//!
//! The arguments describe the windows, so that the function is the same in every process.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, lit};
use datafusion::prelude::create_udf;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::timestamp_type;
use vitral_schemas::window::{Window, Windows};

const FIXED: &str = "fixed";
const DAYS: &str = "days";
const MONTH: &str = "month";

pub fn window_starts() -> ScalarUDF {
    let arguments = vec![timestamp_type(), DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Utf8];
    let output = DataType::List(Arc::new(Field::new_list_field(timestamp_type(), true)));
    create_udf("window_starts", arguments, output, Volatility::Immutable, Arc::new(run))
}

/// The call for an expression of a time.
pub fn starts_of(windows: &Windows, time: Expr) -> Expr {
    let (kind, size, slide) = match windows.window {
        Window::Fixed { size_ms, slide_ms } => (FIXED, size_ms, slide_ms),
        Window::Days { size } => (DAYS, size.into(), 0),
        // The days that sessions are cut at.
        Window::Session { .. } => (DAYS, 1, 0),
        Window::Month => (MONTH, 0, 0),
    };
    window_starts().call(vec![time, lit(kind), lit(size), lit(slide), lit(windows.zone.name())])
}

fn run(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [times, kind, size, slide, zone] = arguments else { return exec_err!("window_starts takes five arguments") };
    let windows = windows(text(kind)?, number(size)?, number(slide)?, text(zone)?)?;
    let times = ColumnarValue::values_to_arrays(std::slice::from_ref(times))?;
    let item = Arc::new(Field::new_list_field(timestamp_type(), true));
    let values = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut starts = ListBuilder::new(values).with_field(item);
    for time in times[0].as_primitive::<TimestampMicrosecondType>() {
        if let Some(micros) = time {
            let pane_ms = windows.pane_start_ms(micros);
            for bounds in windows.windows_of(pane_ms) {
                starts.values().append_value(bounds.start_ms * MICROS_PER_MS);
            }
        }
        starts.append(true);
    }
    let starts: ArrayRef = Arc::new(starts.finish());
    Ok(ColumnarValue::Array(starts))
}

fn windows(kind: &str, size: i64, slide: i64, zone: &str) -> Result<Windows> {
    let window = match kind {
        FIXED if size > 0 && slide > 0 => Window::Fixed { size_ms: size, slide_ms: slide },
        DAYS if size > 0 => {
            Window::Days { size: u32::try_from(size).map_err(|_| exec_datafusion_err!("{size} days are too many"))? }
        }
        MONTH => Window::Month,
        _ => return exec_err!("there are no windows {kind} of {size} every {slide}"),
    };
    let zone: Tz = zone.parse().map_err(|_| exec_datafusion_err!("there is no zone {zone}"))?;
    Ok(Windows::new(window, zone))
}

fn text(argument: &ColumnarValue) -> Result<&str> {
    match argument {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => Ok(text),
        _ => exec_err!("window_starts takes its windows as constants"),
    }
}

fn number(argument: &ColumnarValue) -> Result<i64> {
    match argument {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(number))) => Ok(*number),
        _ => exec_err!("window_starts takes its windows as constants"),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, TimestampMicrosecondArray};
    use datafusion::logical_expr::Expr;

    use super::*;

    #[test]
    fn windows_come_back_from_their_arguments() {
        let zone = chrono_tz::America::Sao_Paulo;
        let time = 1_748_000_000_000_000;
        for window in [
            Window::Fixed { size_ms: 300_000, slide_ms: 60_000 },
            Window::Fixed { size_ms: 3_600_000, slide_ms: 3_600_000 },
            Window::Days { size: 7 },
            Window::Month,
        ] {
            let windows = Windows::new(window, zone);
            let Expr::ScalarFunction(call) = starts_of(&windows, lit(1_i64)) else { panic!("a call") };
            let times = TimestampMicrosecondArray::from(vec![Some(time), None]).with_timezone("UTC");
            let mut arguments = vec![ColumnarValue::Array(Arc::new(times))];
            arguments.extend(call.args[1..].iter().map(|argument| match argument {
                Expr::Literal(value, _) => ColumnarValue::Scalar(value.clone()),
                other => panic!("{other} is not a constant"),
            }));
            let ColumnarValue::Array(found) = run(&arguments).expect("starts") else { panic!("an array") };
            let lists = found.as_list::<i32>();
            let starts = lists.value(0);
            let starts: Vec<i64> = starts.as_primitive::<TimestampMicrosecondType>().values().to_vec();
            let wanted: Vec<i64> =
                windows.windows_of(windows.pane_start_ms(time)).map(|bounds| bounds.start_ms * MICROS_PER_MS).collect();
            assert_eq!(starts, wanted);
            assert_eq!(lists.value(1).len(), 0);
        }
        assert!(windows(FIXED, 0, 0, "UTC").is_err() && windows(MONTH, 0, 0, "Mars/Olympus").is_err());
    }
}
