//! What all queries of a process may use together.

use std::time::Duration;

/// What the queries of a process may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What all queries together may hold in memory, and eight times as much in files; one that
    /// needs more is refused.
    pub memory_bytes: usize,
    /// What the sums of one table with `rollup` may take in memory, besides; larger ones are
    /// computed for each request.
    pub rollup_bytes: usize,
    /// How long a query may wait for its turn and run.
    pub timeout: Duration,
    /// Queries that run at the same time; more wait. Too many take each other's memory and time.
    pub running_max: usize,
    /// Queries that wait for their turn; more are refused at once.
    pub waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            rollup_bytes: 1 << 30,
            timeout: Duration::from_secs(10),
            running_max: 8,
            waiting_max: 256,
        }
    }
}
