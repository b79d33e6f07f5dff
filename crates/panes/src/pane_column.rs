//! Which pane each row falls into.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::Windows;

/// The pane of each event time.
pub fn pane_column(windows: &Windows, event_times: &TimestampMicrosecondArray) -> ArrayRef {
    // Neighbouring events mostly share a pane.
    let mut last: Option<(i64, i64)> = None;
    let panes = event_times.values().iter().map(|micros| match last {
        Some((start, end)) if (start..end).contains(micros) => start,
        _ => {
            let start_ms = windows.pane_start_ms(*micros);
            let (start, end) = (start_ms * MICROS_PER_MS, windows.pane_end_ms(start_ms) * MICROS_PER_MS);
            last = Some((start, end));
            start
        }
    });
    Arc::new(TimestampMicrosecondArray::from_iter_values(panes).with_timezone("UTC"))
}
