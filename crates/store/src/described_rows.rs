//! Rows that a plan yields, with what else readers may know of them.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

/// A table that is like a view of the plan, and carries `about`.
#[derive(Debug)]
pub(crate) struct DescribedRows<A> {
    rows: ViewTable,
    about: A,
}

impl<A: Debug + Send + Sync + 'static> DescribedRows<A> {
    pub(crate) fn table(rows: LogicalPlan, about: A) -> Arc<dyn TableProvider> {
        Arc::new(Self { rows: ViewTable::new(rows, None), about })
    }

    /// What is known of a table's rows, if it is such a table.
    pub(crate) fn about(table: &Arc<dyn TableProvider>) -> Option<&A> {
        table.downcast_ref::<Self>().map(|described| &described.about)
    }
}

#[async_trait]
impl<A: Debug + Send + Sync + 'static> TableProvider for DescribedRows<A> {
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
