//! How sessions are made: for metrics, for tables, for the queries of readers. All know the same
//! functions.

use std::sync::Arc;

use datafusion::{
    error::Result,
    execution::{
        SessionState, SessionStateBuilder,
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, MemoryPool},
        runtime_env::RuntimeEnvBuilder,
    },
    optimizer::Optimizer,
    prelude::SessionConfig,
};

use crate::functions::add_functions;
use crate::growing::{Concatenation, bound_growing};
use crate::yielding::YieldingJoins;

/// Rows that are read from a stored table together.
const TABLE_BATCH_ROWS: usize = 32 * 1024;
/// More would only make two cores change between threads.
const QUERY_PARTITIONS: usize = 2;
/// How many times the memory of queries their files may have together.
const SPILLED_TIMES: u64 = 8;

/// What a session may use.
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

/// A session whose plans can be cut at the aggregate: one partition, one plain two-step aggregate,
/// no rule that merges the steps or rewrites `count(DISTINCT ...)` into two stacked aggregates.
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
    add_functions(&mut context)?;
    Ok(context)
}

/// For reading and writing stored tables: history is read in bulk, and texts stay the plain ones
/// that topics and metrics declare.
pub fn table_state(target_partitions: usize) -> SessionStateBuilder {
    let mut config = SessionConfig::new()
        .with_target_partitions(target_partitions)
        .with_batch_size(TABLE_BATCH_ROWS)
        .with_information_schema(true);
    plain_texts(&mut config);
    SessionStateBuilder::new().with_config(config).with_default_features()
}

/// For queries of readers, which see the named catalog and schema alone and share `memory_bytes`.
/// What does not fit goes through files, [`SPILLED_TIMES`] as much at most.
pub fn query_state(memory_bytes: usize, catalog: &str, schema: &str) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(QUERY_PARTITIONS)
        .with_default_catalog_and_schema(catalog, schema)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    plain_texts(&mut config);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_max_temp_directory_size(memory_bytes as u64 * SPILLED_TIMES)
        .build_arc()?;
    let concatenation = Concatenation::new(&runtime.memory_pool);
    let builder = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime);
    let builder = builder.with_expr_planners(vec![Arc::new(concatenation)]).with_default_features();
    let mut state = builder.with_physical_optimizer_rule(Arc::new(YieldingJoins)).build();
    add_functions(&mut state)?;
    bound_growing(&mut state)?;
    Ok(state)
}

/// For profiles and conditions over a file: its rows come once, in their order. What takes more
/// than `memory_bytes` is sorted on disk.
pub fn file_session(memory_bytes: usize) -> Result<SessionContext> {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory_bytes, 1.0).build_arc()?;
    let mut config = SessionConfig::new().with_target_partitions(1);
    plain_texts(&mut config);
    let mut context = SessionContext::new_with_config_rt(config, runtime);
    add_functions(&mut context)?;
    Ok(context)
}

/// Texts are not converted on the way from a file, and conditions are evaluated while it is read.
fn plain_texts(config: &mut SessionConfig) {
    let options = config.options_mut();
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.sql_parser.map_string_types_to_utf8view = false;
}
