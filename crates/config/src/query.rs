//! What the queries of readers may use: of the API's clients, and of `vitral query`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_query::Limits;

/// What the queries of readers may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// What the queries of readers may hold in memory together; eight times as much goes through
    /// files, and a query that needs more is refused.
    pub memory_bytes: usize,
    /// What the sums of one table with `rollup` may take in memory, besides; larger ones are
    /// computed for each request. They take about 80 bytes for each row of the table.
    pub rollup_bytes: usize,
    /// How long one may wait for its turn and run; `vitral query` takes as long as it needs.
    pub timeout_seconds: u64,
    /// How many run at the same time; more wait.
    pub running_max: usize,
    /// How many may wait for their turn; more are refused at once.
    pub waiting_max: usize,
}

impl Default for Query {
    fn default() -> Self {
        let Limits { memory_bytes, rollup_bytes, timeout, running_max, waiting_max } = Limits::default();
        Self { memory_bytes, rollup_bytes, timeout_seconds: timeout.as_secs(), running_max, waiting_max }
    }
}

impl Query {
    /// As the readers take them.
    pub fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes,
            rollup_bytes: self.rollup_bytes,
            timeout: Duration::from_secs(self.timeout_seconds),
            running_max: self.running_max,
            waiting_max: self.waiting_max,
        }
    }
}
