//! Why the API cannot be made.

use vitral_catalog::Diagnostics;
use vitral_query::QueryError;

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// What is wrong with the catalog, each error with its place and remedy.
    #[error("the catalog cannot be served")]
    Catalog(#[source] Diagnostics),
    /// What the query engine says.
    #[error("the query engine cannot be set up")]
    Engine(#[source] QueryError),
    /// A setting that cannot be meant so.
    #[error("{key} has {value:?}: {remedy}")]
    Setting {
        /// Its key in the configuration.
        key: &'static str,
        /// The part that is wrong.
        value: String,
        /// What to write.
        remedy: &'static str,
    },
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Catalog(errors) => Self::Catalog(errors),
            other => Self::Engine(other),
        }
    }
}
