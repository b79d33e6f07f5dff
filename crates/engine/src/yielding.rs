//! Joins that can be stopped.
//!
//! A join of few rows may give very many, or compare very many and give none, and does so without
//! ever waiting: its task would not let go of its thread, and neither a timeout nor a cancellation
//! would be heard.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};

/// So many pairs of rows are compared before the thread is let go of.
const PAIRS: usize = 1 << 20;

/// Lets go after some batches of every join, and of what makes several rows of one; and of joins
/// that compare each row with each, after some pairs.
#[derive(Debug)]
pub(crate) struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let multiplies = node.name().ends_with("JoinExec") || node.name() == "UnnestExec";
            if !multiplies {
                return Ok(Transformed::no(node));
            }
            let is_paced = node.name() == NestedLoopJoinExec::static_name();
            let node = if is_paced { paced(node)? } else { node };
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as _))
        })
        .data()
    }

    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The join with its rows counted at the left, all of which it keeps before it reads the right: by
/// their number it is known how many of the right make too many pairs.
fn paced(join: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let children: Vec<_> = join.children().into_iter().map(Arc::clone).collect();
    let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else { return Ok(join) };
    let kept = Arc::new(AtomicUsize::new(0));
    let children: Vec<Arc<dyn ExecutionPlan>> = vec![
        Arc::new(Paced { input: left, side: Side::Kept, kept: Arc::clone(&kept) }),
        Arc::new(Paced { input: right, side: Side::Passing, kept }),
    ];
    join.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Kept,
    Passing,
}

/// One side of a join.
#[derive(Debug)]
struct Paced {
    input: Arc<dyn ExecutionPlan>,
    side: Side,
    /// Rows at the left.
    kept: Arc<AtomicUsize>,
}

impl DisplayAs for Paced {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Paced {
    fn name(&self) -> &str {
        match self.side {
            Side::Kept => "CountedExec",
            Side::Passing => "PacedExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, side: self.side, kept: Arc::clone(&self.kept) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let kept = Arc::clone(&self.kept);
        let rows: SendableRecordBatchStream = match self.side {
            Side::Kept => Box::pin(Counted { input, kept }),
            Side::Passing => Box::pin(Slices { input, kept, rest: None, pairs: 0 }),
        };
        Ok(rows)
    }
}

/// Rows that are kept.
struct Counted {
    input: SendableRecordBatchStream,
    kept: Arc<AtomicUsize>,
}

impl Stream for Counted {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.input.poll_next_unpin(context));
        if let Some(Ok(batch)) = &next {
            self.kept.fetch_add(batch.num_rows(), Ordering::Relaxed);
        }
        Poll::Ready(next)
    }
}

/// Rows that pass by, so many at once that they make [`PAIRS`] with those that are kept.
struct Slices {
    input: SendableRecordBatchStream,
    kept: Arc<AtomicUsize>,
    rest: Option<RecordBatch>,
    /// Since the thread was let go of.
    pairs: usize,
}

impl Stream for Slices {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.pairs >= PAIRS {
            self.pairs = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => batch,
                other => return Poll::Ready(other),
            },
        };
        let kept = self.kept.load(Ordering::Relaxed).max(1);
        let rows = batch.num_rows().min((PAIRS / kept).max(1));
        self.pairs = self.pairs.saturating_add(rows.saturating_mul(kept));
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        Poll::Ready(Some(Ok(batch.slice(0, rows))))
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

impl RecordBatchStream for Slices {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::prelude::SessionContext;

    use crate::query_state;

    fn context() -> SessionContext {
        SessionContext::new_with_state(query_state(256 << 20, "vitral", "public").expect("a state"))
    }

    #[tokio::test]
    async fn endless_joins_hear_that_their_time_is_over() {
        for sql in [
            "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 100000) b",
            // It compares very many, and has nothing to give.
            "SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b \
             ON a.value * b.value < 0",
        ] {
            let context = context();
            let endless = async { context.sql(sql).await.expect("a plan").collect().await };
            let began = Instant::now();
            // One thread: nothing else would run if the join did not let go of it.
            let ended = tokio::time::timeout(Duration::from_millis(300), endless).await;
            assert!(ended.is_err(), "{sql}");
            assert!(began.elapsed() < Duration::from_secs(5), "{sql}: {:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn paced_joins_give_the_same_rows() {
        let sql = "SELECT count(*) AS n, sum(b.value) AS s FROM generate_series(1, 3000) a \
                   JOIN generate_series(1, 3000) b ON a.value > b.value";
        let rows = context().sql(sql).await.expect("a plan").collect().await.expect("rows");
        let shown = arrow::util::pretty::pretty_format_batches(&rows).expect("a table").to_string();
        assert!(shown.contains("4498500") && shown.contains("4499999500"), "{shown}");
        let left = "SELECT count(*) AS n FROM generate_series(1, 2000) a \
                    LEFT JOIN generate_series(1, 2000) b ON a.value + b.value < 3";
        let rows = context().sql(left).await.expect("a plan").collect().await.expect("rows");
        let shown = arrow::util::pretty::pretty_format_batches(&rows).expect("a table").to_string();
        assert!(shown.contains("| 2000 |"), "{shown}");
    }
}
