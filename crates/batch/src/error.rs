//! What can go wrong while working over history.

use chrono::NaiveDate;
use datafusion::error::DataFusionError;
use vitral_catalog::{Diagnostic, Diagnostics};
use vitral_panes::PanesError;
use vitral_store::StoreError;

use crate::import::error::ImportError;

/// Why work over history failed. Each message names the place and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A stored table cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A metric's rows are not as it declares them.
    #[error(transparent)]
    Panes(#[from] PanesError),
    /// Other imports added rows of the same file, again and again.
    #[error(
        "other imports are still adding rows of the same file: wait for them, then import again, which adds nothing twice"
    )]
    ImportedMeanwhile,
    /// The place has no imports to list.
    #[error("nothing has been imported into {store} yet: name another place with --data-dir or store.url")]
    NothingImported {
        /// The place.
        store: String,
    },
    /// An id that stands for no import.
    #[error("no import has an id that begins with {id:?}: `vitral import list` shows them")]
    NoImport {
        /// The id as it was given.
        id: String,
    },
    /// The beginning of an id that stands for several imports.
    #[error("several imports begin with {id}: give more of the id, as `vitral import list` shows it")]
    ImportIds {
        /// The id as it was given.
        id: String,
    },
    /// A query of the catalog, with its place.
    #[error("{0}")]
    Catalog(Box<Diagnostic>),
    /// Queries of the catalog that cannot be planned, each error with its place.
    #[error("{0}")]
    Unplanned(Diagnostics),
    /// A name that stands for no job.
    #[error("there is no job {job}: name one of {known}")]
    NoJob {
        /// The name as it was given.
        job: String,
        /// The catalog's jobs, separated by commas.
        known: String,
    },
    /// To recompute these days would lose what the table has of events that retention has deleted.
    #[error(
        "{table} is not recomputed for {from} to {to}: retention has deleted events from {first} to {last}, and what the table has of them \
         would be lost; name other days, or run the job without days for all others that have changed"
    )]
    Expired {
        /// The warehouse's table.
        table: String,
        /// The first day that was asked for.
        from: NaiveDate,
        /// The last day that was asked for.
        to: NaiveDate,
        /// The first day with deleted events.
        first: NaiveDate,
        /// The last day with deleted events.
        last: NaiveDate,
    },
    /// Events of a day that was asked for can still count.
    #[error(
        "{table} is not computed for {day} yet: events of that day can still count until the watermark of {topic} has passed {closes}, and \
         it is at {watermark}; run it later, or with --wait, or with --allow-open for what is there, or without a date for all that has \
         changed"
    )]
    OpenDay {
        /// The warehouse's table.
        table: String,
        /// The first such day.
        day: NaiveDate,
        /// The topic whose events can still count.
        topic: String,
        /// The time that the topic's watermark must pass.
        closes: String,
        /// Where that watermark is now.
        watermark: String,
    },
    /// The statement of a table fails on the rows of some days.
    #[error("{table} cannot be computed for {day}; other days are computed")]
    Uncomputable {
        /// The warehouse's table.
        table: String,
        /// The first such day, or the first of such a month.
        day: NaiveDate,
        /// What failed on it.
        source: Box<BatchError>,
    },
    /// The query engine failed: on the data, or because the store did.
    #[error("{what} cannot be {action}")]
    Engine {
        /// A metric, a table or another thing by its name.
        what: String,
        /// What was being done with it, such as `recomputed`.
        action: &'static str,
        /// The engine's error.
        source: Box<DataFusionError>,
    },
    /// The stream has set a table aside: what it has is not all.
    #[error("{table} is set aside, so nothing is computed from it: {reason}")]
    SetAside {
        /// The table that is kept up to date.
        table: String,
        /// Why, with the way on.
        reason: String,
    },
    /// A table of another system cannot be read as a whole.
    #[error("look-up table {table} cannot be read: {reason}. Once it can, run this again")]
    LookupTable {
        /// The table.
        table: String,
        /// What its system says, or what kept it from being asked.
        reason: String,
    },
    /// Nothing of the topic is stored.
    #[error(
        "there is no archive of topic {topic} in {folder}: name the data directory of a stream or demo with --data-dir"
    )]
    NoArchive {
        /// The topic.
        topic: String,
        /// The place that was looked at.
        folder: String,
    },
    /// What a replay has changed is no longer known.
    #[error("{file} in {folder} is damaged: delete it and run vitral reconcile --repair")]
    PendingReplay {
        /// The file that says what a replay has yet to do.
        file: &'static str,
        /// Where it is.
        folder: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
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
