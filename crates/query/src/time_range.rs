//! A half-open range of event time.

/// `from <= time < until`, in microseconds since the epoch; an absent bound is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub from: Option<i64>,
    pub until: Option<i64>,
}
