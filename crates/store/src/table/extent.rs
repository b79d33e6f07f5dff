//! How many rows a span of time may have, by the log's statistics of the files: none of them is
//! read.

use std::collections::HashMap;
use std::ops::Range;

use chrono::DateTime;
use serde::Deserialize;
use vitral_schemas::event_time::EventTime;

use super::Table;

/// What the log knows of a file's rows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileStatistics {
    num_records: usize,
    #[serde(default)]
    min_values: HashMap<String, serde_json::Value>,
    #[serde(default)]
    max_values: HashMap<String, serde_json::Value>,
}

impl FileStatistics {
    /// Whether a row of the file may lie within; one without a value does not.
    fn may_touch(&self, column: &str, times: &Range<EventTime>) -> bool {
        let bound = |values: &HashMap<String, serde_json::Value>| {
            let time = DateTime::parse_from_rfc3339(values.get(column)?.as_str()?).ok()?;
            Some(time.timestamp_micros())
        };
        let (min, max) = (bound(&self.min_values), bound(&self.max_values));
        // The greatest may have been cut to milliseconds.
        min.is_none_or(|min| min < times.end.micros()) && max.is_none_or(|max| max + 1_000 > times.start.micros())
    }
}

impl Table {
    /// How many rows at most have a time of this column within; none if the log does not know.
    pub(crate) fn rows_within(&self, column: &str, times: &Range<EventTime>) -> Option<usize> {
        let mut rows = 0;
        for file in self.delta.snapshot().ok()?.log_data().iter() {
            let statistics: FileStatistics = serde_json::from_str(&file.stats()?).ok()?;
            if statistics.may_touch(column, times) {
                rows += statistics.num_records;
            }
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_may_touch_a_span_count_and_unknown_bounds_may() {
        let statistics = |text: &str| serde_json::from_str::<FileStatistics>(text).expect("statistics");
        let noon = DateTime::parse_from_rfc3339("2025-05-14T12:00:00Z").expect("a time").timestamp_micros();
        let span = |from, to| EventTime::from_micros(from)..EventTime::from_micros(to);
        let hour = span(noon, noon + 3_600_000_000);
        let bounded = |min: &str, max: &str| {
            statistics(&format!(
                r#"{{"numRecords":7,"minValues":{{"timestamp":"2025-05-14T{min}Z"}},"maxValues":{{"timestamp":"2025-05-14T{max}Z"}}}}"#
            ))
        };
        assert!(bounded("11:00:00", "12:00:00").may_touch("timestamp", &hour));
        assert!(bounded("12:59:59.999999", "23:00:00").may_touch("timestamp", &hour));
        assert!(!bounded("13:00:00", "23:00:00").may_touch("timestamp", &hour));
        assert!(!bounded("01:00:00", "11:59:59.999").may_touch("timestamp", &hour));
        let later = span(noon + 500, noon + 600);
        assert!(bounded("01:00:00", "12:00:00").may_touch("timestamp", &later), "the greatest was cut to milliseconds");
        assert!(statistics(r#"{"numRecords":7}"#).may_touch("timestamp", &hour));
    }
}
