//! What can go wrong while working over history.

use chrono::NaiveDate;
use datafusion::error::DataFusionError;
use vitral_catalog::{Diagnostic, Diagnostics};
use vitral_panes::PanesError;
use vitral_store::StoreError;

use crate::import::error::ImportError;

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Panes(#[from] PanesError),
    #[error(
        "other imports go on adding rows of the same file: wait for them, then import again, which adds nothing twice"
    )]
    ImportedMeanwhile,
    #[error("nothing was imported yet into {store}: name another place with --data-dir or store.url")]
    NothingImported { store: String },
    #[error("no import has an id that begins with {id:?}: `vitral import list` names them")]
    NoImport { id: String },
    #[error("several imports begin with {id}: give more of the id, as `vitral import list` has it")]
    ImportIds { id: String },
    /// A query of the catalog, with its place.
    #[error("{0}")]
    Catalog(Box<Diagnostic>),
    /// Queries of the catalog that cannot be planned, each error with its place.
    #[error("{0}")]
    Unplanned(Diagnostics),
    #[error("there is no job {job}: name one of {known}")]
    NoJob { job: String, known: String },
    #[error(
        "{table} is not computed again for {from} to {to}: retention has deleted events of {first} to {last}, and what the table has of them \
         would be lost; name other days, or run the job without days for all others that have changed"
    )]
    Expired { table: String, from: NaiveDate, to: NaiveDate, first: NaiveDate, last: NaiveDate },
    #[error(
        "{table} is not computed for {day} yet: events of that day can still count until the watermark of {topic} has passed {closes}, and \
         it is at {watermark}; run it later, or with --wait, or with --allow-open for what is there, or without a date for all that has \
         changed"
    )]
    OpenDay { table: String, day: NaiveDate, topic: String, closes: String, watermark: String },
    #[error("{what} cannot be {action}")]
    Engine { what: String, action: &'static str, source: Box<DataFusionError> },
    #[error(
        "there is no archive of topic {topic} in {folder}: name the data directory of a stream or demo with --data-dir"
    )]
    NoArchive { topic: String, folder: String },
    /// What a replay has changed is not known any more.
    #[error("{file} in {folder} is damaged: delete it and run vitral reconcile --repair")]
    PendingReplay { file: &'static str, folder: String, source: serde_json::Error },
}

impl BatchError {
    pub(crate) fn engine(what: &str, action: &'static str) -> impl Fn(DataFusionError) -> Self {
        let what = what.to_owned();
        move |source| Self::Engine { what: what.clone(), action, source: Box::new(source) }
    }
}

/// Whether the store failed, rather than what is computed from it.
pub(crate) fn is_outage(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ObjectStore(_) | DataFusionError::IoError(_))
}
