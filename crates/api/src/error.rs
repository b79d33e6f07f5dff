//! Why the API cannot be made.

use vitral_catalog::Diagnostics;
use vitral_query::QueryError;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the catalog cannot be served")]
    Catalog(#[source] Diagnostics),
    #[error("the query engine cannot be set up")]
    Engine(#[source] QueryError),
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Catalog(errors) => Self::Catalog(errors),
            other => Self::Engine(other),
        }
    }
}
