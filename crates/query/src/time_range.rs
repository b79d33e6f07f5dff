//! A half-open range of event time.

/// `from <= time < until`, in microseconds since the epoch; an absent bound is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub from: Option<i64>,
    /// The end, which is not in it.
    pub until: Option<i64>,
}
