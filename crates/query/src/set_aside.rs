//! Tables that are set aside: a statement that reads one can be planned, and has no rows but the
//! reason.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use vitral_panes::view::KeyedTableView;

use crate::error::QueryError;
use crate::principal::Principal;
use crate::visibility::sees_completeness;

/// What one who sees some rows only hears in the place of a reason, which may quote others.
pub const REASON_UNTOLD: &str = "some of its rows cannot be computed";

/// The rows of a table; what says why there are none, if it is set aside.
pub(crate) fn or_rows(name: &str, shown: &KeyedTableView, principal: &Principal) -> Arc<dyn TableProvider> {
    match &shown.failure {
        None => Arc::clone(&shown.rows),
        Some(failure) => {
            let reason = if sees_completeness(principal) { failure.reason.as_str() } else { REASON_UNTOLD };
            let (table, reason) = (name.to_owned(), reason.to_owned());
            Arc::new(SetAside { schema: shown.rows.schema(), table, reason })
        }
    }
}

#[derive(Debug)]
struct SetAside {
    schema: SchemaRef,
    table: String,
    reason: String,
}

#[async_trait]
impl TableProvider for SetAside {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (table, reason) = (self.table.clone(), self.reason.clone());
        Err(QueryError::SetAside { table, reason }.into())
    }
}
