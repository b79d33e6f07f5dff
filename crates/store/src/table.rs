//! A Delta table that takes appends together with application transactions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use deltalake::kernel::Transaction;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::parquet::basic::{Compression, Encoding};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError, StructField};
use futures::TryStreamExt;

use crate::error::StoreError;
use crate::location::{Location, Reading};
use crate::session::{bulk_session, read_session};

/// A Delta table.
///
/// Appends are serialised by the caller; the snapshot held here is the one that the next commit is built on.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) delta: DeltaTable,
    session: Arc<SessionState>,
    schema: SchemaRef,
    /// A column in which every text is another: to look for it in a dictionary is in vain.
    unique: Option<String>,
    location: Location,
}

/// A writer holds one row group in memory, and so does a reader: small ones keep merges small beside the stream.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// The application whose transactions tell of rewrites.
const REWRITES: &str = "vitral/rewrites";

/// Readers that began before a merge still find its old files for this long.
const OLD_FILES_KEPT: Duration = Duration::from_secs(3600);
/// Files that no commit names are left by killed writers, or are the first of a write that is still under way: a job over years, or a
/// move to a bucket, takes hours. To keep the former for days costs space, to delete the latter loses rows.
const UNNAMED_FILES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

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

    /// Opens the table at `location`, or creates it. An older table gains the columns that it lacks.
    pub(crate) async fn open(name: &str, location: &Location, schema: SchemaRef) -> Result<Self, StoreError> {
        location.make()?;
        let mut delta = location.table().await.map_err(StoreError::table(name, "opened"))?;
        if delta.version().is_none() {
            let fields = delta_fields(&schema).map_err(|source| StoreError::table(name, "created")(source.into()))?;
            let created = delta
                .create()
                .with_table_name(name)
                .with_columns(fields)
                // Of two that create it one comes through: a second attempt would give the other's table another identity.
                .with_commit_properties(CommitProperties::default().with_max_retries(0))
                .with_configuration([
                    // Each commit is one file of the log; a checkpoint spares readers from all before it.
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
        table.add_missing_columns().await?;
        Ok(table)
    }

    /// Says that every text of a column is another.
    pub(crate) fn with_unique(mut self, column: Option<&str>) -> Self {
        self.unique = column.map(str::to_owned);
        self
    }

    /// Cheap compression: the archive is written once and merged twice, and its share of the stream's work is bounded. Times and
    /// integers, offsets above all, are packed by their differences, which costs less than looking each up in a dictionary. Nothing
    /// is found by the smallest and largest text of a file.
    pub(crate) fn writer_properties(&self) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        for field in self.schema.fields() {
            let column = ColumnPath::new(vec![field.name().clone()]);
            properties = match field.data_type() {
                DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
                DataType::Utf8 | DataType::Binary => {
                    let is_unique = self.unique.as_deref() == Some(field.name().as_str());
                    properties
                        .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                        .set_column_dictionary_enabled(column, !is_unique)
                }
                _ => properties,
            };
        }
        properties.build()
    }

    /// Every committed row, as of the last commit seen here.
    pub(crate) async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        match self.location.reading() {
            Reading::Delta => self.scan(Arc::clone(&self.session)).await,
            Reading::Bulk => self.scan(Arc::new(bulk_session(1).state())).await,
            Reading::Files => self.files().map_err(StoreError::read(&self.name)),
        }
    }

    /// The same by Delta's own scan, however others are to read it.
    pub(crate) async fn delta_provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.scan(Arc::clone(&self.session)).await
    }

    async fn scan(&self, session: Arc<SessionState>) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.delta.table_provider().with_session(session).await.map_err(StoreError::read(&self.name))
    }

    /// The files of the last commit seen here, as a table.
    fn files(&self) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let schema = Arc::new(stored_schema(&self.delta)?);
        let files = self.delta.snapshot()?.log_data().into_iter().map(|file| file.object_store_path());
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

    /// What tells it from any other table, also from one that takes its place.
    pub(crate) fn id(&self) -> Result<&str, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "asked for its identity"))?;
        Ok(state.metadata().id())
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.delta.version()
    }

    /// One commit: the rows, if any, and the transactions. True if no other commit came between.
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

    /// One commit: the rows that `wanted` names go, these come. Appends that come between are kept; another rewrite is a conflict.
    pub(crate) async fn replace(
        &mut self,
        wanted: Expr,
        rows: RecordBatch,
        transactions: &[(String, i64)],
    ) -> Result<(), StoreError> {
        let failed = StoreError::table(&self.name, "repaired");
        let properties = with_transactions(&[transactions, &[self.rewrite()]].concat());
        let session = Arc::clone(&self.session) as _;
        self.delta = if rows.num_rows() == 0 {
            let delete = self.delta.clone().delete().with_predicate(wanted).with_session_state(session);
            delete
                .with_writer_properties(self.writer_properties())
                .with_commit_properties(properties)
                .await
                .map_err(&failed)?
                .0
        } else {
            self.delta
                .clone()
                .write(vec![rows])
                .with_save_mode(SaveMode::Overwrite)
                .with_replace_where(wanted)
                .with_session_state(session)
                .with_writer_properties(self.writer_properties())
                .with_commit_properties(properties)
                .await
                .map_err(&failed)?
        };
        Ok(())
    }

    /// One commit: the rows that `wanted` names go, those of `rows` come, batch by batch; how many. What else was committed to those rows
    /// in the meantime is a conflict.
    pub(crate) async fn replace_by_plan(&mut self, wanted: Expr, rows: DataFrame) -> Result<u64, StoreError> {
        self.replace_by_plan_with(wanted, rows, &[]).await
    }

    /// The same, with transactions.
    pub(crate) async fn replace_by_plan_with(
        &mut self,
        wanted: Expr,
        rows: DataFrame,
        transactions: &[(String, i64)],
    ) -> Result<u64, StoreError> {
        let failed = StoreError::table(&self.name, "replaced in part");
        let (state, plan) = rows.into_parts();
        let before = self.version();
        self.delta = self
            .delta
            .clone()
            .write(Vec::new())
            .with_input_plan(plan)
            .with_save_mode(SaveMode::Overwrite)
            .with_replace_where(wanted)
            .with_session_state(Arc::new(state) as _)
            .with_writer_properties(self.writer_properties())
            .with_commit_properties(with_transactions(&[transactions, &[self.rewrite()]].concat()))
            .await
            .map_err(&failed)?;
        tracing::debug!(table = self.name, ?before, after = ?self.version(), "replaced in part");
        self.written_rows().await
    }

    /// One commit: the rows that `wanted` names go.
    pub(crate) async fn delete(&mut self, wanted: Expr) -> Result<(), StoreError> {
        self.delta = self
            .delta
            .clone()
            .delete()
            .with_predicate(wanted)
            .with_session_state(Arc::clone(&self.session) as _)
            .with_writer_properties(self.writer_properties())
            .with_commit_properties(with_transactions(&[self.rewrite()]))
            .await
            .map_err(StoreError::table(&self.name, "cleared in part"))?
            .0;
        Ok(())
    }

    /// One commit: the rows of a plan, batch by batch, and the transactions; how many rows.
    pub(crate) async fn append_by_plan(
        &mut self,
        rows: DataFrame,
        transactions: &[(String, i64)],
    ) -> Result<u64, StoreError> {
        let (state, plan) = rows.into_parts();
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

    /// What every commit carries that takes files away. Of two that were under way together only one comes through: delta-rs itself does
    /// not see that a merge has taken away what another commit takes away too, and both would leave its rows (docs/adr/0016).
    pub(crate) fn rewrite(&self) -> (String, i64) {
        (REWRITES.to_owned(), self.version().and_then(|version| i64::try_from(version).ok()).unwrap_or_default())
    }

    /// How many rows the last commit wrote, as it says itself.
    async fn written_rows(&self) -> Result<u64, StoreError> {
        let failed = StoreError::table(&self.name, "asked for its last commit");
        let last = self.delta.history(Some(1)).try_next().await.map_err(&failed)?;
        let metrics = last.and_then(|commit| commit.info.get("operationMetrics").cloned());
        let written = metrics.and_then(|metrics| metrics.get("num_added_rows").cloned());
        Ok(written.and_then(|rows| rows.as_u64().or_else(|| rows.as_str()?.parse().ok())).unwrap_or_default())
    }

    /// How many files hold its rows.
    pub(crate) fn file_count(&self) -> Result<usize, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "counted"))?;
        Ok(state.log_data().iter().count())
    }

    /// Deletes the files that commits have taken out, once no reader can need them; how many.
    pub(crate) async fn vacuum(&mut self) -> Result<usize, StoreError> {
        self.delete_files(VacuumMode::Lite, OLD_FILES_KEPT).await
    }

    /// Deletes the files that killed writers have left, once no writer can still be about to name them; how many.
    pub(crate) async fn delete_unnamed_files(&mut self) -> Result<usize, StoreError> {
        self.delete_files(VacuumMode::Full, UNNAMED_FILES_KEPT).await
    }

    async fn delete_files(&mut self, mode: VacuumMode, kept: Duration) -> Result<usize, StoreError> {
        self.refresh().await?;
        let (delta, metrics) = self
            .delta
            .clone()
            .vacuum()
            .with_mode(mode)
            .with_retention_period(deltalake_duration(kept))
            .with_enforce_retention_duration(false)
            .await
            .map_err(StoreError::table(&self.name, "vacuumed"))?;
        tracing::debug!(table = self.name, files = metrics.files_deleted.len(), "old files deleted");
        self.delta = delta;
        Ok(metrics.files_deleted.len())
    }

    /// Refuses a column of another type or one that the catalog dropped; adds a column that the table lacks.
    async fn add_missing_columns(&mut self) -> Result<(), StoreError> {
        let failed = StoreError::table(&self.name, "compared with the catalog");
        let stored = stored_schema(&self.delta).map_err(&failed)?;
        let mut missing = Vec::new();
        for field in self.schema.fields() {
            match stored.field_with_name(field.name()) {
                Ok(found) if found.data_type() == field.data_type() => {}
                Ok(found) => {
                    return Err(StoreError::Incompatible {
                        table: self.name.clone(),
                        column: field.name().clone(),
                        found: found.data_type().to_string(),
                        wanted: field.data_type().to_string(),
                    });
                }
                Err(_) => missing.push(field.as_ref().clone().with_nullable(true)),
            }
        }
        if let Some(dropped) = stored.fields().iter().find(|field| self.schema.field_with_name(field.name()).is_err()) {
            return Err(StoreError::Incompatible {
                table: self.name.clone(),
                column: dropped.name().clone(),
                found: dropped.data_type().to_string(),
                wanted: "missing".to_owned(),
            });
        }
        if missing.is_empty() {
            return Ok(());
        }
        let fields = delta_fields(&Schema::new(missing)).map_err(|source| failed(source.into()))?;
        self.delta = self
            .delta
            .clone()
            .add_columns()
            .with_fields(fields)
            .await
            .map_err(StoreError::table(&self.name, "given its new columns"))?;
        Ok(())
    }
}

pub(crate) fn with_transactions(transactions: &[(String, i64)]) -> CommitProperties {
    CommitProperties::default().with_application_transactions(
        transactions.iter().map(|(application, version)| Transaction::new(application, *version)).collect(),
    )
}

fn stored_schema(delta: &DeltaTable) -> Result<Schema, DeltaTableError> {
    Ok(delta.snapshot()?.schema().as_ref().try_into_arrow()?)
}

fn deltalake_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or_else(|_| chrono::Duration::hours(1))
}

fn delta_fields(schema: &Schema) -> Result<Vec<StructField>, arrow::error::ArrowError> {
    schema.fields().iter().map(|field| field.as_ref().try_into_kernel()).collect()
}
