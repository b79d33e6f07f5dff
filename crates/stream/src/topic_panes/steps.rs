//! How windows and sessions differ in time: when there is something to publish, and what is needed
//! for what is open.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use vitral_panes::state::pane_column;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::window::{Bounds, Windows};

/// Windows are published once a pane is over, sessions at this interval.
const SESSION_STEP_MS: i64 = 60_000;

/// Until this differs, nothing that is worth a commit has closed.
pub(super) fn publication(windows: &Windows, closed_until: EventTime) -> i64 {
    match windows.window.session_gap_micros() {
        None => windows.pane_start_ms(closed_until.micros()),
        Some(_) => closed_until.ms().div_euclid(SESSION_STEP_MS),
    }
}

/// The pane of each row.
pub(super) fn panes_of(windows: &Windows, event_time: usize, rows: &RecordBatch) -> ArrayRef {
    pane_column(windows, rows.column(event_time).as_primitive::<TimestampMicrosecondType>())
}

/// Whether a window takes no more rows once the watermark has come to `through`.
pub(super) fn is_closed(bounds: Bounds, through: Option<Watermark>, lateness_ms: i64) -> bool {
    through.is_some_and(|through| through.closes(bounds.end_ms, lateness_ms))
}

/// The oldest event time that windows can hold which are open then.
pub(super) fn needed_since(windows: &Windows, closed_until: EventTime) -> EventTime {
    EventTime::from_ms(match windows.window.session_gap_micros() {
        None => closed_until.ms().saturating_sub(windows.longest_ms()),
        // Every session that is open then is of this day or a later one.
        Some(_) => windows.first_open_ms(closed_until.ms()),
    })
}
