//! The sessions for reading and writing tables: the engine's, with what Delta needs.

use std::sync::Arc;

use datafusion::execution::context::SessionContext;
use deltalake::delta_datafusion::planner::DeltaPlanner;
use vitral_engine::table_state;

use crate::predicates::ConditionsOnce;

/// Few enough that a batch's columns stay in the processor's caches while one expression after the
/// other is computed.
const BULK_BATCH_ROWS: usize = 16 * 1024;

/// A session for tables as they are stored.
pub fn read_session(target_partitions: usize) -> SessionContext {
    // Delta's writer plans nodes of its own.
    let state = table_state(target_partitions)
        .with_query_planner(DeltaPlanner::new())
        .with_physical_optimizer_rule(Arc::new(ConditionsOnce));
    SessionContext::new_with_state(state.build())
}

/// A session for tables that are read in bulk (`Location::bulk_scan`): strings are views into what
/// was read, and rows are filtered after reading, as most of them are wanted. Filtering before the
/// other columns are read costs more than it saves, as files and row groups of other days are
/// skipped anyway.
pub fn bulk_session(target_partitions: usize) -> SessionContext {
    let mut state = read_session(target_partitions).state();
    let config = state.config_mut();
    *config = config.clone().with_batch_size(BULK_BATCH_ROWS);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.schema_force_view_types = true;
    parquet.pushdown_filters = false;
    SessionContext::new_with_state(state)
}
