//! PostgreSQL's functions and operators that the engine lacks, or has with another meaning under
//! the same name. Queries of clients are rewritten to call them: SQL of the catalog keeps its own.

mod as_text;
mod averages;
mod json;
mod operators;
mod patterns;
mod texts;
mod times;

use std::sync::Arc;

use datafusion::error::Result as EngineResult;
use datafusion::execution::{FunctionRegistry, SessionState};

pub(crate) use self::as_text::AS_TEXT;

/// Makes a session know them.
pub(crate) fn add(state: &mut SessionState) -> EngineResult<()> {
    let pool = Arc::clone(&state.runtime_env().memory_pool);
    let growing = [texts::format(), json::build_object(), as_text::as_text()]
        .map(|function| vitral_engine::bounded(&function, &pool));
    for function in times::functions().chain(growing) {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udaf(Arc::new(averages::avg()))?;
    state.register_expr_planner(Arc::new(operators::Operators::new()))
}
