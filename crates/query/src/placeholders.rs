//! Values for the placeholders of an endpoint's query.

use std::collections::HashMap;

use datafusion::scalar::ScalarValue;
use vitral_catalog::Endpoint;
use vitral_schemas::time::MICROS_PER_MS;

use crate::tables::utc;
use crate::time_range::TimeRange;

/// The first moment that is asked for.
pub const FROM: &str = "de";
/// The end of what is asked for, which is not in it.
pub const UNTIL: &str = "ate";
/// How many rows are asked for at most.
pub const LIMIT: &str = "limite";
/// The time of the request: a placeholder that no request gives.
pub const NOW: &str = "agora";

/// Rows that one answer may be asked for at most.
pub const LIMIT_MAX: usize = 1000;

/// A value for every placeholder; a parameter that was not given is a null of its type. `text`
/// gives those that are neither times nor a count.
pub fn placeholder_values<'a>(
    endpoint: &Endpoint,
    now_ms: i64,
    range: TimeRange,
    rows: usize,
    text: impl Fn(&str) -> Option<&'a str>,
) -> HashMap<String, ScalarValue> {
    let value = |name: &str| match name {
        NOW => utc(now_ms.checked_mul(MICROS_PER_MS)),
        FROM => utc(range.from),
        UNTIL => utc(range.until),
        LIMIT => ScalarValue::Int64(i64::try_from(rows).ok()),
        name => ScalarValue::Utf8(text(name).map(str::to_owned)),
    };
    endpoint.parameters.iter().map(|name| (name.clone(), value(name))).collect()
}
