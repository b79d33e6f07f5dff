//! A table of the rows that a principal sees, out of reach of the statement that reads it.
//!
//! The engine may compute a statement's conditions before the one that keeps other rows away, and
//! then `WHERE 1 / (n - 13) > 0` would say by its failure that somebody has a row with 13. So the
//! rows are planned here, on their own: of a statement's conditions only those that cannot fail
//! become part of that plan, and the engine sees nothing of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown,
};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, stream};

use crate::error::QueryError;
use crate::principal::RowFilters;
use crate::visibility::condition;

/// The rows of a plan that are seen with these filters.
///
/// # Errors
/// The rows lack a column of the filters: nothing of `name` may be read.
pub(crate) fn table(name: &str, filters: &RowFilters, rows: LogicalPlan) -> Result<Arc<dyn TableProvider>, QueryError> {
    Ok(match condition(name, filters, rows.schema().inner())? {
        None => Arc::new(ViewTable::new(rows, None)),
        Some(seen) => {
            let rows = LogicalPlanBuilder::from(rows).filter(seen)?.build()?;
            Arc::new(SeenRows { rows: ViewTable::new(rows, None) })
        }
    })
}

#[derive(Debug)]
struct SeenRows {
    rows: ViewTable,
}

#[async_trait]
impl TableProvider for SeenRows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        use TableProviderFilterPushDown::{Exact, Unsupported};
        Ok(filters.iter().map(|filter| if cannot_fail(filter) { Exact } else { Unsupported }).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.scan(state, projection, filters, limit).await?;
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        let rows = Arc::new(CoalescePartitionsExec::new(rows));
        let hidden = Hidden { schema: Arc::clone(&schema), rows, has_run: AtomicBool::new(false) };
        let no_order = Vec::<LexOrdering>::new();
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(hidden)], None, no_order, false, None)?))
    }
}

/// A plan that the plan around it knows nothing of.
struct Hidden {
    schema: SchemaRef,
    rows: Arc<dyn ExecutionPlan>,
    has_run: AtomicBool,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hidden").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Hidden {
    /// A plan can run once; a statement that repeats itself runs it again.
    fn run(&self, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = Arc::clone(&self.rows);
        let rows = if self.has_run.swap(true, Ordering::Relaxed) { reset_plan_states(rows)? } else { rows };
        rows.execute(0, context)
    }
}

impl PartitionStream for Hidden {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = match self.run(context) {
            Ok(rows) => rows.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        };
        // Where the plan says of a column that it has no nulls, the table need not.
        let schema = Arc::clone(&self.schema);
        let as_declared = move |rows: RecordBatch| -> Result<RecordBatch> {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), rows.columns().to_vec(), &options)?)
        };
        let rows = rows.map(move |rows| rows.and_then(&as_declared));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// Whether a condition has a value for every row.
fn cannot_fail(condition: &Expr) -> bool {
    use Operator::*;
    let are_plain =
        |operands: &[&Expr]| operands.iter().all(|expr| matches!(expr, Expr::Column(_) | Expr::Literal(..)));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: And | Or, right }) => cannot_fail(left) && cannot_fail(right),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
                && are_plain(&[left.as_ref(), right.as_ref()])
        }
        Expr::Not(inner) => cannot_fail(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => are_plain(&[inner.as_ref()]),
        Expr::Between(Between { expr, low, high, .. }) => are_plain(&[expr.as_ref(), low.as_ref(), high.as_ref()]),
        Expr::InList(InList { expr, list, .. }) => {
            are_plain(&[expr.as_ref()]) && are_plain(&list.iter().collect::<Vec<_>>())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::{cast, ident, lit, not};

    use super::*;

    #[test]
    fn only_conditions_that_cannot_fail_are_taken_in() {
        let plain = || ident("n").gt_eq(lit(1));
        let failing = || (lit(1) / ident("n")).gt(lit(0));
        for taken in [
            plain(),
            ident("n").eq(ident("m")).and(not(plain())),
            ident("n").is_null().or(ident("m").is_not_null()),
            ident("n").between(lit(1), lit(9)),
            ident("t").in_list(vec![lit("a"), lit("b")], true),
        ] {
            assert!(cannot_fail(&taken), "{taken}");
        }
        for left in [
            failing(),
            plain().and(failing()),
            not(failing()),
            cast(ident("t"), DataType::Int64).gt(lit(0)),
            cast(ident("t"), DataType::Int64).is_null(),
            ident("n").in_list(vec![lit(1) / ident("m")], false),
            ident("n").between(lit(0), lit(1) / ident("m")),
            lit(true),
        ] {
            assert!(!cannot_fail(&left), "{left}");
        }
    }
}
