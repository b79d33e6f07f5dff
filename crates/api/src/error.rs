//! Why the API cannot be made.

use datafusion::error::DataFusionError;
use vitral_catalog::Diagnostics;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the catalog cannot be served")]
    Catalog(#[source] Diagnostics),
    #[error("the query engine cannot be set up")]
    Engine(#[source] DataFusionError),
}
