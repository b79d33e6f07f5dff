//! The DataFusion session that metrics are planned and run with.

use std::sync::Arc;

use datafusion::{
    error::Result,
    execution::{
        SessionStateBuilder,
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, MemoryPool},
        runtime_env::RuntimeEnvBuilder,
    },
    optimizer::Optimizer,
    prelude::SessionConfig,
};

use crate::exact::make_exact;
use crate::functions::divide_half_up;

#[derive(Debug, Clone, Copy)]
pub struct EngineConfig {
    /// What all open panes, and the aggregations over them, may use together.
    pub memory_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { memory_bytes: 2 << 30 }
    }
}

/// A session whose plans can be cut at the aggregate: one partition, one plain two-step aggregate, no rule that merges
/// the steps or rewrites `count(DISTINCT ...)` into two stacked aggregates.
pub fn engine_session(config: EngineConfig) -> Result<SessionContext> {
    let mut session = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(64 * 1024)
        .with_collect_statistics(false)
        .with_information_schema(false);
    let options = session.options_mut();
    // Handing rows through unaggregated would break the promise that a state is small.
    options.execution.skip_partial_aggregation_probe_ratio_threshold = 1.0;
    options.sql_parser.collect_spans = true;
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(config.memory_bytes));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        // What does not fit sets a metric aside with a message; nothing is spilled behind its back.
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let rules =
        Optimizer::new().rules.into_iter().filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
    let state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(rules.collect())
        .with_physical_optimizer_rules(Vec::new())
        .build();
    let mut context = SessionContext::new_with_state(state);
    make_exact(&mut context)?;
    context.register_udf(divide_half_up());
    Ok(context)
}
