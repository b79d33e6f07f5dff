//! The leaf of every plan: rows that are handed in.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

/// Stands for a topic while a metric is planned; holds no rows and takes no filters, so that they
/// stay in the plan.
#[derive(Debug)]
pub(super) struct LeafTable {
    schema: SchemaRef,
}

impl LeafTable {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

#[async_trait::async_trait]
impl TableProvider for LeafTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rows(Vec::new(), &self.schema, projection)
    }
}

/// A plan that yields the batches, of which it reads the projected columns.
pub(super) fn rows(
    batches: Vec<RecordBatch>,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let exec = MemorySourceConfig::try_new_exec(&[batches], Arc::clone(schema), projection.cloned())?;
    Ok(exec)
}

/// Which columns of `schema` a planned leaf reads.
pub(super) fn projection(leaf: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Option<Vec<usize>> {
    leaf.schema().fields().iter().map(|field| schema.index_of(field.name()).ok()).collect()
}
