//! Why the store fails.

use std::path::PathBuf;

use chrono::NaiveDate;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use vitral_schemas::position::{Offset, PartitionId};

/// Why a table, a file or a place cannot be used; each message names its remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum StoreError {
    #[error("table {table} cannot be {action}")]
    Table { table: String, action: &'static str, source: Box<DeltaTableError> },
    #[error("table {table} cannot be read")]
    Read { table: String, source: Box<DataFusionError> },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// Another process has committed for this partition: this one must stop.
    #[error(
        "partition {partition} of topic {topic} has been committed up to offset {:?} by another process, not up to {:?}: only \
         one stream may own a partition; stop one of them",
        .found.map(|found| found.0), .expected.map(|expected| expected.0)
    )]
    Fenced { topic: String, partition: PartitionId, expected: Option<Offset>, found: Option<Offset> },
    #[error(
        "table {table} has been written by another process in the meantime: only one stream may own it; stop one of them"
    )]
    Overtaken { table: String },
    #[error(
        "rows of topic {topic} were fed again (vitral ledger replay) while this stream ran: start it again, and it reads them"
    )]
    Replayed { topic: String },
    #[error(
        "a stream has written to topic {topic} in the meantime: stop it, on whatever host it runs, for as long as rows are fed again"
    )]
    StreamRuns { topic: String },
    #[error(
        "column {column} of table {table} is {found} there and {wanted} in the catalog: restore its type, \
         or declare a topic of another name"
    )]
    Incompatible { table: String, column: String, found: String, wanted: String },
    #[error(
        "column {column} of table {table} is not declared any more, and cannot be null there: declare it again, \
         or declare a topic of another name"
    )]
    Needed { table: String, column: String },
    #[error(
        "column {column} of table {table} is {found} in the database and {wanted} in the {of}'s rows: change it there, or give the {of} \
         another table"
    )]
    OtherColumn { table: String, column: String, found: String, wanted: String, of: &'static str },
    #[error(
        "table {table} cannot take in {which}: {reason}. Change its statement so that such rows do not fail: cast what is summed up, as in \
         sum(CAST(x AS DECIMAL(38, 0))), use nullif(x, 0) and try_cast, or leave them out with WHERE; a changed statement has its whole history \
         recomputed, and a restart tries this one again"
    )]
    NotKept { table: String, which: String, reason: String },
    #[error(
        "no space is left for table {table}: free some on its disk and start again; nothing that was acknowledged is lost"
    )]
    DiskFull { table: String },
    #[error("table {table} cannot be {action} in its database")]
    Database { table: String, action: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "the warehouse cannot be read over connection {connection}: start its database, or correct [connections.{connection}] in the \
         configuration"
    )]
    WarehouseAway { connection: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "column {column} of {table} is {data_type} in the database, which cannot be read exactly: ALTER TABLE {table} ALTER COLUMN {column} \
         TYPE numeric(38, 10), or with the digits that it needs"
    )]
    InexactColumn { table: String, column: String, data_type: String },
    #[error(
        "the warehouse's database is of version {found}, this program knows {known}: use the newer one that wrote it"
    )]
    NewerDatabase { found: usize, known: usize },
    #[error(
        "column {column} of table {table} is {data_type}, which its database has no type for: cast it in the query of its rows"
    )]
    UnknownColumnType { table: String, column: String, data_type: String },
    #[error(
        "{rows} rows for table {table} are not of the days from {from} to {to}, excluding the last: make the job's query select only \
         its period's rows"
    )]
    OtherDays { table: String, rows: u64, from: NaiveDate, to: NaiveDate },
    #[error("store.url {url} cannot be used: {reason}")]
    Location { url: String, reason: String },
    #[error("the url of the warehouse's connection cannot be used: {reason}")]
    WarehouseUrl { reason: String },
    #[error("{path} cannot be {action}")]
    Object { path: String, action: &'static str, source: Box<object_store::Error> },
    #[error("{path} is damaged: {reason}")]
    Damaged { path: String, reason: String },
    #[error("{path} is in use by another {role} process: stop it, or choose another --data-dir")]
    Locked { path: PathBuf, role: String },
    #[error("{purpose} of {place} is held by {holder} since {since}: {remedy}")]
    Leased { purpose: String, place: String, holder: String, since: String, remedy: &'static str },
    #[error(
        "{purpose} of {place} was taken over by {holder}, as this process had not renewed its lease in time: stop one of them"
    )]
    LeaseLost { purpose: String, place: String, holder: String },
    #[error(
        "rows of {topic} are being moved to its cold part: wait for vitral batch run retencao, or run it if it was killed, then try again"
    )]
    Moving { topic: String },
    #[error(
        "the cold part of {topic} does not give back what was moved there ({found} of {expected} rows, or others): the rows are still where \
         they were, nothing is lost; run it again, and they are moved again"
    )]
    NotReadBack { topic: String, expected: u64, found: u64 },
}

impl StoreError {
    /// Whether another attempt cannot help.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Fenced { .. }
                | Self::Overtaken { .. }
                | Self::Replayed { .. }
                | Self::StreamRuns { .. }
                | Self::DiskFull { .. }
                | Self::Incompatible { .. }
                | Self::Needed { .. }
                | Self::OtherColumn { .. }
                | Self::Locked { .. }
                | Self::Leased { .. }
                | Self::LeaseLost { .. }
                | Self::Location { .. }
                | Self::WarehouseUrl { .. }
                | Self::NewerDatabase { .. }
                | Self::UnknownColumnType { .. }
                | Self::OtherDays { .. }
        )
    }

    /// Whether it is rows that cannot be computed, such as by a division by zero, rather than the
    /// store or the memory that fails.
    pub fn is_of_rows(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(source.find_root(), DataFusionError::ArrowError(..)),
            // The second is what becomes of the engine's errors that are wrapped in others.
            Self::Table { source, .. } => {
                matches!(**source, DeltaTableError::Arrow { .. } | DeltaTableError::Generic(_)) && !self.is_conflict()
            }
            _ => false,
        }
    }

    /// Whether there was another commit in between, so that another attempt may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Table { source, .. } = self else { return false };
        matches!(**source, DeltaTableError::Transaction { .. }) || source.to_string().contains("oncurrent")
    }

    pub(crate) fn table(table: &str, action: &'static str) -> impl Fn(DeltaTableError) -> Self + use<> {
        let table = table.to_owned();
        move |source| {
            if is_disk_full(&source) {
                return Self::DiskFull { table: table.clone() };
            }
            Self::Table { table: table.clone(), action, source: Box::new(source) }
        }
    }

    /// An error of a database: the warehouse's, or one that rows are copied to or looked up in.
    pub fn database<E: std::error::Error + Send + Sync + 'static>(
        table: &str,
        action: &'static str,
    ) -> impl Fn(E) -> Self + use<E> {
        let table = table.to_owned();
        move |source| Self::Database { table: table.clone(), action, source: Box::new(source) }
    }

    /// An error while rows were read or computed.
    pub fn read(table: &str) -> impl Fn(DataFusionError) -> Self + use<> {
        let table = table.to_owned();
        move |source| Self::Read { table: table.clone(), source: Box::new(source) }
    }
}

/// Whether the operating system said that the disk is full, however deep in the chain of causes.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull) {
            return true;
        }
        cause = error.source();
    }
    // Some layers keep only the text of their cause.
    error.to_string().contains("No space left on device")
}
