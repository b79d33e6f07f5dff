//! The DataFusion session that tables are read and written with.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use deltalake::delta_datafusion::planner::DeltaPlanner;

use crate::predicates::ConditionsOnce;

/// History is read in bulk.
const BATCH_ROWS: usize = 32 * 1024;

/// Texts stay plain `Utf8`, as the topics and metrics declare them.
pub fn read_session(target_partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(target_partitions)
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(true);
    let options = config.options_mut();
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Delta's writer plans nodes of its own.
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_query_planner(DeltaPlanner::new())
        .with_physical_optimizer_rule(Arc::new(ConditionsOnce));
    SessionContext::new_with_state(state.build())
}
