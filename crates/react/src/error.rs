//! Why alerts cannot be evaluated at all; one that fails alone is a row of `alertas`.

use vitral_query::QueryError;
use vitral_store::StoreError;

/// Why alerts cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ReactError {
    /// Nothing can be planned.
    #[error("alerts cannot be planned")]
    Query(#[from] QueryError),
    /// Transitions cannot be kept: nothing is sent before they are.
    #[error("the table of alerts cannot be used")]
    Store(#[from] StoreError),
    /// Rows that do not fit together.
    #[error("the rows of alerts cannot be assembled")]
    Rows(#[from] arrow::error::ArrowError),
}
