//! The DataFusion session that tables are read and written with.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use deltalake::delta_datafusion::planner::DeltaPlanner;

use crate::predicates::ConditionsOnce;

/// History is read in bulk.
const BATCH_ROWS: usize = 32 * 1024;
/// Few enough that a batch's columns stay in the processor's caches while one expression after the other is computed.
const BULK_BATCH_ROWS: usize = 16 * 1024;

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

/// For tables that are read in bulk (`Location::in_bulk`): texts are views of what was read, and the rows that are wanted, which are most of
/// them, are looked for after reading. To look for them before the other columns are read costs more than it saves, as files and row
/// groups of other days are passed over anyway.
pub fn bulk_session(target_partitions: usize) -> SessionContext {
    let mut state = read_session(target_partitions).state();
    let config = state.config_mut();
    *config = config.clone().with_batch_size(BULK_BATCH_ROWS);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.schema_force_view_types = true;
    parquet.pushdown_filters = false;
    SessionContext::new_with_state(state)
}
