//! Published windows of which the first come from an earlier version, or are missing, because their events are purged.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

/// The rows of all of them, and where they come from.
#[derive(Debug)]
pub struct PublishedWindows {
    rows: ViewTable,
    /// Windows that start before this, in milliseconds, were computed by an earlier version of the metric; none if no window was.
    pub earlier_until_ms: Option<i64>,
    /// Windows that start before this, in milliseconds, are missing; none if none are.
    pub since_ms: Option<i64>,
}

impl PublishedWindows {
    /// The windows that the plan `rows` yields.
    pub fn new(rows: LogicalPlan, earlier_until_ms: Option<i64>, since_ms: Option<i64>) -> Self {
        Self { rows: ViewTable::new(rows, None), earlier_until_ms, since_ms }
    }

    /// What is known of a metric's published rows; none if all are of its own version.
    pub fn of(published: &Arc<dyn TableProvider>) -> Option<&Self> {
        published.downcast_ref()
    }
}

#[async_trait]
impl TableProvider for PublishedWindows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.rows.get_logical_plan()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }
}
