//! Published windows of which the first come from an earlier version, or are missing, because their
//! events are purged.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;

use crate::described_rows::DescribedRows;

/// Where the rows of all of them come from.
#[derive(Debug)]
pub struct PublishedWindows {
    /// Windows that start before this, in milliseconds, were computed by an earlier version of the
    /// metric; none if no window was.
    pub earlier_until_ms: Option<i64>,
    /// Windows that start before this, in milliseconds, are missing; none if none are.
    pub since_ms: Option<i64>,
}

impl PublishedWindows {
    /// The windows that the plan yields, of which this is known.
    pub fn table(self, rows: LogicalPlan) -> Arc<dyn TableProvider> {
        DescribedRows::table(rows, self)
    }

    /// What is known of a metric's published rows; none if all are of its own version.
    pub fn of(published: &Arc<dyn TableProvider>) -> Option<&Self> {
        DescribedRows::about(published)
    }
}
