//! A table's rows as readers get them, with what is known of them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

/// One row for each key, and since when they are whole.
#[derive(Debug)]
pub struct KeyedRows {
    rows: ViewTable,
    /// What the rows are merged from: the same keys, each as often as it has states.
    pub states: LogicalPlan,
    /// Rows of events before this, in milliseconds, are missing: they had expired when the table began; none if none are.
    pub since_ms: Option<i64>,
}

impl KeyedRows {
    /// The rows that the plan yields, merged from these states.
    pub fn new(rows: LogicalPlan, states: LogicalPlan, since_ms: Option<i64>) -> Self {
        Self { rows: ViewTable::new(rows, None), states, since_ms }
    }

    /// What is known of a table's rows.
    pub fn of(rows: &Arc<dyn TableProvider>) -> Option<&Self> {
        rows.downcast_ref()
    }
}

#[async_trait]
impl TableProvider for KeyedRows {
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
