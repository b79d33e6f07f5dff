//! Joins that can be stopped.
//!
//! A join of few rows may give very many, and makes them without ever waiting: its task would not
//! let go of its thread, and neither a timeout nor a cancellation would be heard.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as EngineResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// Lets go after some batches of every join, and of what makes several rows of one.
#[derive(Debug)]
pub(crate) struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> EngineResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let multiplies = node.name().ends_with("JoinExec") || node.name() == "UnnestExec";
            Ok(if multiplies {
                Transformed::yes(Arc::new(CooperativeExec::new(node)) as _)
            } else {
                Transformed::no(node)
            })
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

#[cfg(test)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn an_endless_join_hears_that_its_time_is_over() {
        let state = SessionStateBuilder::new().with_default_features();
        let state = state.with_physical_optimizer_rule(Arc::new(YieldingJoins)).build();
        let context = SessionContext::new_with_state(state);
        let sql = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 100000) b";
        let endless = async { context.sql(sql).await.expect("a plan").collect().await };
        // One thread: nothing else would run if the join did not let go of it.
        let ended = tokio::time::timeout(std::time::Duration::from_millis(300), endless).await;
        assert!(ended.is_err());
    }
}
