//! A Delta table that takes appends together with application transactions.

mod added;
mod columns;
mod encoding;
mod extent;
mod files;
mod rewrites;
mod scan;
mod version;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;

pub use self::added::StoredRows;
pub(crate) use self::columns::{Undeclared, type_words};
use self::columns::{delta_fields, stored_schema};
pub use self::scan::StoredAt;
pub(crate) use self::scan::TableScan;
pub use self::version::rows_version;
use object_store::path::Path;

use crate::error::StoreError;
use crate::location::{Location, ReadMode};
use crate::session::{bulk_session, read_session};

/// A Delta table.
///
/// Appends are serialised by the caller; the snapshot held here is the one that the next commit is
/// built on.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) delta: DeltaTable,
    session: Arc<SessionState>,
    schema: SchemaRef,
    /// A column of unique values, for which dictionary encoding is useless.
    unique: Option<String>,
    location: Location,
}

impl Table {
    /// Opens the table at `location` as it is, for reading; none if there is none.
    pub(crate) async fn read(name: &str, location: &Location) -> Result<Option<Self>, StoreError> {
        if !location.exists() {
            return Ok(None);
        }
        let delta = location.table().await.map_err(StoreError::table(name, "opened"))?;
        if delta.version().is_none() {
            return Ok(None);
        }
        let session = Arc::new(read_session(1).state());
        let schema = stored_schema(&delta).map_err(StoreError::table(name, "opened"))?;
        Ok(Some(Self {
            name: name.to_owned(),
            delta,
            session,
            schema: Arc::new(schema),
            unique: None,
            location: location.clone(),
        }))
    }

    /// Opens the table at `location`, or creates it. An older table gains the columns that it
    /// lacks; one that it has besides is refused.
    pub(crate) async fn open(name: &str, location: &Location, schema: SchemaRef) -> Result<Self, StoreError> {
        Self::open_with(name, location, schema, Undeclared::Refused).await
    }

    /// The same with what becomes of columns that it has besides.
    pub(crate) async fn open_with(
        name: &str,
        location: &Location,
        schema: SchemaRef,
        undeclared: Undeclared,
    ) -> Result<Self, StoreError> {
        location.make()?;
        let mut delta = location.table().await.map_err(StoreError::table(name, "opened"))?;
        if delta.version().is_none() {
            let fields = delta_fields(&schema).map_err(|source| StoreError::table(name, "created")(source.into()))?;
            let created = delta
                .create()
                .with_table_name(name)
                .with_columns(fields)
                // Of two that create it at once, one succeeds: a retry would give the other's table
                // another identity.
                .with_commit_properties(CommitProperties::default().with_max_retries(0))
                .with_configuration([
                    // Each commit is one file of the log; a checkpoint saves readers from reading
                    // all files before it.
                    ("delta.checkpointInterval".to_owned(), Some("50".to_owned())),
                    ("delta.logRetentionDuration".to_owned(), Some("interval 1 day".to_owned())),
                    ("delta.deletedFileRetentionDuration".to_owned(), Some("interval 1 day".to_owned())),
                ])
                .await;
            delta = match created {
                Ok(delta) => delta,
                // The reply may have been lost: then the table is there.
                Err(error) => {
                    let delta = location.table().await.map_err(StoreError::table(name, "opened"))?;
                    if delta.version().is_none() {
                        return Err(StoreError::table(name, "created")(error));
                    }
                    tracing::warn!(table = name, %error, "a creation that reported an error had succeeded");
                    delta
                }
            };
        }
        let session = Arc::new(read_session(1).state());
        let mut table =
            Self { name: name.to_owned(), delta, session, schema, unique: None, location: location.clone() };
        table.add_missing_columns(undeclared).await?;
        Ok(table)
    }

    /// Declares that the values of a column are unique.
    pub(crate) fn with_unique(mut self, column: Option<&str>) -> Self {
        self.unique = column.map(str::to_owned);
        self
    }

    /// Every committed row, as of the last commit seen here.
    pub(crate) async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        match self.location.read_mode() {
            ReadMode::Delta => self.scan(Arc::clone(&self.session)).await,
            ReadMode::BulkScan => self.scan(Arc::new(bulk_session(1).state())).await,
            ReadMode::PlainParquet => self.files_where(|_| true).map_err(StoreError::read(&self.name)),
        }
    }

    /// The same by Delta's own scan, whatever the location's way of reading.
    pub(crate) async fn delta_provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.scan(Arc::clone(&self.session)).await
    }

    async fn scan(&self, session: Arc<SessionState>) -> Result<Arc<dyn TableProvider>, StoreError> {
        let scan = self.delta.table_provider().with_session(session).await.map_err(StoreError::read(&self.name))?;
        let folder = self.location.folder_name();
        let of = folder.zip(self.version()).map(|(folder, commit)| StoredAt { folder, commit });
        let version = format!("{}@{}", self.id()?, self.version().unwrap_or_default());
        Ok(Arc::new(TableScan { scan, of, version, table: Arc::new(self.clone()) }))
    }

    /// Those files of the last commit seen here that are wanted, by their paths, as a table.
    fn files_where(&self, is_wanted: impl Fn(&String) -> bool) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let files = self.delta.snapshot()?.log_data().into_iter().map(|file| file.object_store_path());
        let files = files.filter(|file| is_wanted(&file.to_string()));
        self.rows_of(files)
    }

    /// The rows of files of this table, also of some that it no longer has.
    fn rows_of(&self, files: impl Iterator<Item = Path>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let schema = Arc::new(stored_schema(&self.delta)?);
        let files = files.map(|file| ListingTableUrl::try_new(self.location.file_url(&file), None));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyTable::new(schema)));
        }
        let options = self.session.default_table_options().parquet;
        let format = ListingOptions::new(Arc::new(ParquetFormat::default().with_options(options)));
        let config = ListingTableConfig::new_with_multi_paths(files).with_listing_options(format).with_schema(schema);
        Ok(Arc::new(ListingTable::try_new(config)?))
    }

    pub(crate) async fn transaction(&self, application: &str) -> Result<Option<i64>, StoreError> {
        let failed = StoreError::table(&self.name, "asked for its transactions");
        let state = self.delta.snapshot().map_err(&failed)?;
        state.transaction_version(self.delta.log_store().as_ref(), application).await.map_err(&failed)
    }

    pub(crate) async fn refresh(&mut self) -> Result<(), StoreError> {
        self.delta.update_state().await.map_err(StoreError::table(&self.name, "refreshed"))
    }

    /// Goes to one of its commits, or to the newest; true if it was at another.
    pub(crate) async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        let before = self.version();
        let moved = match commit {
            Some(_) if commit == before => return Ok(false),
            Some(commit) => self.delta.load_version(commit).await,
            None => self.delta.update_state().await,
        };
        let failed = StoreError::table(&self.name, "read as of a commit");
        moved.map_err(&failed)?;
        if let Some(commit) = commit.filter(|commit| self.version() != Some(*commit)) {
            return Err(failed(DeltaTableError::InvalidVersion(commit)));
        }
        if self.version() == before {
            return Ok(false);
        }
        let schema = stored_schema(&self.delta).map_err(&failed)?;
        self.schema = Arc::new(schema);
        Ok(true)
    }

    /// What distinguishes it from any other table, including one that takes its place.
    pub(crate) fn id(&self) -> Result<&str, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "asked for its identity"))?;
        Ok(state.metadata().id())
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.delta.version()
    }

    /// One commit: the rows, if any, and the transactions. True if there was no other commit in
    /// between.
    pub(crate) async fn append(
        &mut self,
        rows: Vec<RecordBatch>,
        transactions: &[(String, i64)],
    ) -> Result<bool, StoreError> {
        let before = self.version();
        let failed = StoreError::table(&self.name, "appended to");
        let properties = with_transactions(transactions);
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            let state = self.delta.snapshot().map_err(&failed)?;
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            let commit = CommitBuilder::from(properties)
                .build(Some(state), self.delta.log_store(), operation)
                .await
                .map_err(&failed)?;
            self.delta.state = Some(commit.snapshot());
        } else {
            let rows = rows.into_iter().map(|rows| self.filled_up(rows)).collect::<Result<Vec<_>, _>>()?;
            self.delta = self
                .delta
                .clone()
                .write(rows)
                .with_save_mode(SaveMode::Append)
                .with_session_state(Arc::clone(&self.session) as _)
                .with_writer_properties(self.writer_properties())
                .with_commit_properties(properties)
                .await
                .map_err(&failed)?;
        }
        Ok(self.version() == before.map(|version| version + 1))
    }

    /// One commit: the rows of a plan, batch by batch, and the transactions; how many rows.
    pub(crate) async fn append_by_plan(
        &mut self,
        rows: DataFrame,
        transactions: &[(String, i64)],
    ) -> Result<u64, StoreError> {
        let (state, plan) = self.filled_up_by_plan(rows)?.into_parts();
        self.delta = self
            .delta
            .clone()
            .write(Vec::new())
            .with_input_plan(plan)
            .with_save_mode(SaveMode::Append)
            .with_session_state(Arc::new(state) as _)
            .with_writer_properties(self.writer_properties())
            .with_commit_properties(with_transactions(transactions))
            .await
            .map_err(StoreError::table(&self.name, "appended to"))?;
        self.written_rows().await
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows the last commit wrote, as it says itself.
    async fn written_rows(&self) -> Result<u64, StoreError> {
        let failed = StoreError::table(&self.name, "asked for its last commit");
        let last = self.delta.history(Some(1)).try_next().await.map_err(&failed)?;
        let metrics = last.and_then(|commit| commit.info.get("operationMetrics").cloned());
        let written = metrics.and_then(|metrics| metrics.get("num_added_rows").cloned());
        Ok(written.and_then(|rows| rows.as_u64().or_else(|| rows.as_str()?.parse().ok())).unwrap_or_default())
    }
}

pub(crate) fn with_transactions(transactions: &[(String, i64)]) -> CommitProperties {
    CommitProperties::default().with_application_transactions(
        transactions.iter().map(|(application, version)| Transaction::new(application, *version)).collect(),
    )
}
