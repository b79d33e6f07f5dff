//! What is known of a table's rows as readers get them.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;

use crate::described_rows::DescribedRows;

/// What one row for each key is merged from, and since when the rows are whole.
#[derive(Debug)]
pub struct KeyedRows {
    /// What the rows are merged from: the same keys, each as often as it has states.
    pub states: LogicalPlan,
    /// Rows of events before this, in milliseconds, are missing: they had expired when the table
    /// began; none if none are.
    pub since_ms: Option<i64>,
}

impl KeyedRows {
    /// The rows that the plan yields, of which this is known.
    pub fn table(self, rows: LogicalPlan) -> Arc<dyn TableProvider> {
        DescribedRows::table(rows, self)
    }

    /// What is known of a table's rows.
    pub fn of(rows: &Arc<dyn TableProvider>) -> Option<&Self> {
        DescribedRows::about(rows)
    }
}
