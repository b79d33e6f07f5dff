//! What can go wrong while working over history.

use datafusion::error::DataFusionError;
use vitral_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} cannot be {action}")]
    Engine { what: String, action: &'static str, source: Box<DataFusionError> },
    #[error(
        "there is no archive of topic {topic} in {folder}: name the data directory of a stream or demo with --data-dir"
    )]
    NoArchive { topic: String, folder: String },
}

impl BatchError {
    pub(crate) fn engine(what: &str, action: &'static str) -> impl Fn(DataFusionError) -> Self {
        let what = what.to_owned();
        move |source| Self::Engine { what: what.clone(), action, source: Box::new(source) }
    }
}
