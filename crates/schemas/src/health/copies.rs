//! How what is sent to other systems fares: copies of views and of rows, and notifications. What is
//! behind keeps nothing from being ready.

use std::time::Instant;

/// How the copy of a view in another system fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkHealth {
    /// The last epoch: changes that are fixed, and to be sent.
    pub committed: u64,
    /// The last one that the other side has taken.
    pub sent: u64,
    /// Since when changes have waited to be taken; none if nothing waits.
    pub waiting: Option<Instant>,
    /// The rows that the other side holds, or need not hold.
    pub rows: u64,
    /// Rows without a whole key, which are not sent.
    pub keyless: u64,
    /// Keys that several rows have, which are not sent.
    pub repeated: u64,
    /// Attempts that failed and were retried.
    pub failures: u64,
    /// What fails now, in words.
    pub failing: Option<String>,
}

/// How a log of rows in another system fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowLogHealth {
    /// Messages that are committed and not yet written, whether or not they give a row.
    pub behind: u64,
    /// Since when some have waited; none if nothing waits.
    pub waiting: Option<Instant>,
    /// Messages that retention deleted before they were written.
    pub missed: u64,
    /// Attempts that failed and were retried.
    pub failures: u64,
    /// What fails now, in words.
    pub failing: Option<String>,
}

/// How the notifications for one destination fare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationHealth {
    /// Those that it has neither accepted nor refused for good.
    pub waiting: u64,
    /// Since when the oldest of them has waited.
    pub oldest: Option<Instant>,
    /// Those of them that fail while others are accepted.
    pub passed_over: u64,
    /// Those that were refused for good or set aside, of this process.
    pub refused: u64,
    /// Attempts that failed and are made again.
    pub failures: u64,
    /// What failed last, in words; none since one was accepted.
    pub failing: Option<String>,
}
