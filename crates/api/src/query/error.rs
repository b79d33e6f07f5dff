//! Why a query has no answer, and what the asker is told of it.

use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::problem::Problem;

#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{0} is not in the view")]
    Unavailable(String),
    #[error("topic {topic} cannot be read yet: {reason}")]
    TopicWaiting { topic: String, reason: String },
    #[error("the query ran out of time")]
    Timeout,
    #[error("the cursor is not of this query")]
    Cursor,
    #[error("too many queries wait already")]
    Busy,
    #[error("the answer would be larger than {0} bytes")]
    TooLarge(usize),
    #[error("the query failed")]
    Engine(#[from] DataFusionError),
    #[error("rows could not be put together")]
    Rows(#[from] ArrowError),
    #[error("the file {path} of a reference table cannot be read")]
    Reference { path: PathBuf, source: ArrowError },
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Unavailable(name) => return Problem::unavailable(name),
            QueryError::TopicWaiting { topic, reason } => return Problem::topic_waiting(topic, reason),
            QueryError::Timeout => return Problem::query_timeout(),
            QueryError::Cursor => return Problem::invalid_cursor("cursor is none of ours"),
            QueryError::Busy => return Problem::busy(),
            QueryError::TooLarge(bytes_max) => return Problem::answer_too_large(*bytes_max),
            QueryError::Engine(engine) if matches!(engine.find_root(), DataFusionError::ResourcesExhausted(_)) => {
                tracing::warn!(error = %engine.strip_backtrace(), "query refused for lack of memory");
                return Problem::query_memory();
            }
            QueryError::Engine(_) | QueryError::Rows(_) | QueryError::Reference { .. } => {}
        }
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = %error, source, "request failed");
        Problem::internal()
    }
}
