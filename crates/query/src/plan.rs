//! From a statement to its plan, and what is wrong with those that have none.

use chrono::DateTime;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::names::{SCHEMA, statement};
use vitral_catalog::{Catalog, Diagnostics, Position, planning_errors};

use crate::error::QueryError;

const REMEDY: &str =
    "correct the query; `vitral query \"SELECT * FROM information_schema.columns\"` lists all there is to read";

/// Runs `plan` in a session of its own kind.
pub(crate) fn frame(state: &SessionState, plan: LogicalPlan) -> DataFrame {
    let mut state = state.clone();
    state.mark_start_execution();
    DataFrame::new(state, plan)
}

/// The same with this time, in milliseconds since the epoch, as `now()`.
pub(crate) fn frame_at(state: &SessionState, plan: LogicalPlan, now_ms: i64) -> DataFrame {
    let mut state = state.clone();
    state.mark_start_execution();
    if let Some(now) = DateTime::from_timestamp_millis(now_ms) {
        state.execution_props_mut().query_execution_start_time = Some(now);
    }
    DataFrame::new(state, plan)
}

/// What the engine says of a statement, as errors with their places.
pub(crate) fn statement_error(error: DataFusionError, position: &Position) -> QueryError {
    match QueryError::from(error) {
        QueryError::Engine(source) if is_of_planning(&source) => {
            QueryError::Statement(Diagnostics(planning_errors(&source, position, REMEDY)))
        }
        other => other,
    }
}

/// Plans a query whose plain names are looked up in a schema.
pub(crate) async fn plan_query(
    state: &SessionState,
    catalog: &Catalog,
    query: &Query,
    schema: &str,
) -> EngineResult<LogicalPlan> {
    let ordered = catalog.with_event_time(query);
    let query = ordered.as_ref().unwrap_or(query);
    let plan = if schema == SCHEMA {
        state.statement_to_plan(statement(query)).await?
    } else {
        let mut state = state.clone();
        schema.clone_into(&mut state.config_mut().options_mut().catalog.default_schema);
        state.statement_to_plan(statement(query)).await?
    };
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(plan)
}

/// Whether the statement is wrong, rather than what it reads.
fn is_of_planning(error: &DataFusionError) -> bool {
    !matches!(
        error.find_root(),
        DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ResourcesExhausted(_)
            | DataFusionError::External(_)
    )
}
