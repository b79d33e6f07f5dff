//! A table that counts how often it is read, and fails while a test wants that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

#[derive(Debug)]
pub struct Counted {
    table: MemTable,
    reads: Arc<AtomicUsize>,
    is_broken: Arc<AtomicBool>,
}

impl Counted {
    pub fn new(table: MemTable, reads: &Arc<AtomicUsize>, is_broken: &Arc<AtomicBool>) -> Self {
        Self { table, reads: Arc::clone(reads), is_broken: Arc::clone(is_broken) }
    }
}

#[async_trait]
impl TableProvider for Counted {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(DataFusionError::ResourcesExhausted("no memory at the moment".to_owned()));
        }
        self.table.scan(state, projection, filters, limit).await
    }
}
