//! The history of a topic: rows that were imported from files.
//!
//! Every commit is made on top of the last one that its writer has seen, and carries its number: of two that were under way together only
//! one comes through, and the other looks again at what is in. Rows are taken back by one commit too, which leaves a row for each quarter of
//! an hour that lost some, so that jobs compute those days again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use chrono::Utc;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, JoinType, cast, ident, lit, when};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, ParquetReadOptions};
use futures::TryStreamExt;
use uuid::Uuid;
use vitral_schemas::topic::{Topic, history_columns};
use vitral_schemas::verdict::Verdict;

use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// The application whose version counts the commits that change what counts.
const SEQUENCE: &str = "sequence";
/// The application whose version is drawn at random for each commit: after an error it tells whether it was this one that came through.
const COMMIT: &str = "commit";
/// Merges of files, and imports that run at the same time, get in each other's way.
const ATTEMPTS: usize = 20;
/// Days of all zones begin at quarters of an hour.
const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// The imported rows of one topic.
#[derive(Debug)]
pub struct History {
    topic: Topic,
    table: Table,
}

/// What is in of one import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedRows {
    /// The name of the file that they came from.
    pub file: String,
    /// Rows that count.
    pub counted: u64,
    /// Rows that had been imported already.
    pub duplicate: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The oldest and newest event time of rows that count, in microseconds.
    pub period_micros: Option<(i64, i64)>,
    /// When its last rows came, in microseconds.
    pub arrival_micros: Option<i64>,
    /// Whether rows of it were taken back.
    pub is_undone: bool,
    /// Whether a version without identities of rows imported it.
    pub is_of_old_version: bool,
}

impl ImportedRows {
    /// Whether nothing is left of the import.
    pub fn is_empty(&self) -> bool {
        self.counted + self.duplicate + self.refused == 0
    }
}

impl History {
    /// Opens the history of `topic` in `store`, or creates it.
    pub async fn open(topic: &Topic, location: &Location) -> Result<Self, StoreError> {
        let table = Table::open(&topic.name, location, topic.history_schema()).await?;
        Ok(Self { topic: topic.clone(), table })
    }

    /// Opens the history at `location` for reading; none if nothing was ever imported.
    pub async fn read(topic: &Topic, location: &Location) -> Result<Option<Self>, StoreError> {
        let table = Table::read(&topic.name, location).await?;
        Ok(table.map(|table| Self { topic: topic.clone(), table }))
    }

    /// Every row, refused ones too, in the history's schema; tables of older versions may lack columns.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.table.provider().await
    }

    /// Sees what others have changed; true if they have.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// The number of the last commit; 0 before the first.
    pub async fn sequence(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(SEQUENCE).await?.unwrap_or_default())
    }

    /// Whether nothing was ever imported.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.table.file_count()? == 0)
    }

    /// What tells apart the rows that came with commits after number `after`: import, verdict, cells, key, the event id, null where the topic
    /// has none, and the item.
    pub async fn identities(&self, after: i64) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let event_id = match self.topic.event_id {
            Some(index) => ident(&self.topic.columns[index].name),
            None => cast(lit(ScalarValue::Null), DataType::Utf8),
        };
        let run = async {
            let provider = self.provider().await.map_err(external)?;
            let schema = provider.schema();
            let mark = |name: &str| or_null(&schema, name);
            let columns =
                vec![ident(IMPORT), ident(VERDICT), mark(CELLS), mark(KEY), event_id.alias("event_id"), mark(ITEM)];
            let frame = read_session(2).read_table(provider)?;
            frame.filter(ident(SEQUENCE).gt(lit(after)))?.select(columns)?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// Rows that count and have identities: these columns of theirs.
    pub async fn counted(&self, columns: &[&str]) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let run = async {
            let frame = read_session(2).read_table(self.provider().await.map_err(external)?)?;
            let wanted = ident(VERDICT).eq(lit(Verdict::Counted.name())).and(ident(CELLS).is_not_null());
            let columns = columns.iter().map(|column| ident(*column));
            frame.filter(wanted)?.select(columns.collect::<Vec<_>>())?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// Rows of versions that kept no identities, wholly.
    pub async fn rows_without_identity(&self) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let run = async {
            let provider = self.provider().await.map_err(external)?;
            let wanted = or_null(&provider.schema(), CELLS).is_null().and(ident(VERDICT).not_eq(lit(UNDONE)));
            let frame = read_session(2).read_table(provider)?;
            frame.filter(wanted)?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// Adds rows, in the history's columns without its first, on top of the last commit that was seen here. Where another has come since,
    /// it is seen, and that is the error [`StoreError::Overtaken`].
    pub async fn append(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let last = self.sequence().await?;
        let rows = self.numbered(rows, last + 1)?;
        let token = token();
        let transactions = [(SEQUENCE.to_owned(), last + 1), (COMMIT.to_owned(), token)];
        let mut attempt = 1;
        loop {
            match self.table.append(vec![rows.clone()], &transactions).await {
                Ok(_) => return Ok(()),
                Err(error) => self.is_to_be_tried_again(error, &mut attempt, last, token).await?.map_or(Ok(()), Err)?,
            }
            if self.is_stored(token).await? {
                return Ok(());
            }
        }
    }

    /// Takes back what these imports have added, in one commit; false if there was nothing of them.
    pub async fn take_back(&mut self, imports: &[&str]) -> Result<bool, StoreError> {
        let mut attempt = 1;
        loop {
            self.table.refresh().await?;
            let known = self.imports().await?;
            if imports.iter().all(|import| known.get(*import).is_none_or(ImportedRows::is_empty)) {
                return Ok(false);
            }
            match self.put_in_place_of(imports, None).await {
                Ok(()) => return Ok(true),
                Err(error) if attempt == ATTEMPTS || (error.is_final() && !is_overtaken(&error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, attempt, "not taken back; trying again");
                    attempt += 1;
                }
            }
        }
    }

    /// One commit: what these imports have added goes, and the rows of a Parquet file come, which are of one of them and in the history's
    /// columns without its first. On top of the last commit that was seen here, as in [`Self::append`].
    pub async fn replace(&mut self, imports: &[&str], rows: &Path) -> Result<(), StoreError> {
        self.put_in_place_of(imports, Some(rows)).await
    }

    async fn put_in_place_of(&mut self, imports: &[&str], rows: Option<&Path>) -> Result<(), StoreError> {
        let failed = StoreError::read(&self.topic.name);
        let last = self.sequence().await?;
        let token = token();
        let transactions = [(SEQUENCE.to_owned(), last + 1), (COMMIT.to_owned(), token)];
        let marks = self.marks(imports, last + 1).await?;
        let wanted = ident(history_columns::IMPORT).in_list(imports.iter().map(|import| lit(*import)).collect(), false);
        let mut attempt = 1;
        loop {
            let added = match rows {
                Some(path) => self.numbered_file(path, last + 1).await.map_err(&failed)?,
                None => None,
            };
            let outcome = match added {
                None => self.table.replace(wanted.clone(), marks.clone(), &transactions).await,
                Some(added) => {
                    let all = async {
                        let marks = MemTable::try_new(marks.schema(), vec![vec![marks.clone()]])?;
                        added.union(read_session(1).read_table(Arc::new(marks))?)
                    };
                    let all = all.await.map_err(&failed)?;
                    self.table.replace_by_plan_with(wanted.clone(), all, &transactions).await.map(|_| ())
                }
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) => self.is_to_be_tried_again(error, &mut attempt, last, token).await?.map_or(Ok(()), Err)?,
            }
            if self.is_stored(token).await? {
                return Ok(());
            }
        }
    }

    /// After an error: the error where trying again cannot help. Sees what is committed.
    async fn is_to_be_tried_again(
        &mut self,
        error: StoreError,
        attempt: &mut usize,
        last: i64,
        token: i64,
    ) -> Result<Option<StoreError>, StoreError> {
        if error.is_final() {
            return Ok(Some(error));
        }
        self.table.refresh().await?;
        if self.is_stored(token).await? {
            tracing::warn!(topic = self.topic.name, %error, "a commit that reported an error had succeeded");
            return Ok(None);
        }
        if self.sequence().await? != last {
            return Ok(Some(StoreError::Overtaken { table: self.topic.name.clone() }));
        }
        if *attempt == ATTEMPTS {
            return Ok(Some(error));
        }
        tracing::debug!(%error, attempt, "not committed; trying again");
        *attempt += 1;
        Ok(None)
    }

    async fn is_stored(&self, token: i64) -> Result<bool, StoreError> {
        Ok(self.table.transaction(COMMIT).await? == Some(token))
    }

    /// Takes refused rows out whose cells were read rightly since.
    pub async fn forget_refused(&mut self, cells: &BTreeSet<u128>) -> Result<(), StoreError> {
        let failed = StoreError::read(&self.topic.name);
        let hashes = BinaryArray::from_iter_values(cells.iter().map(|cells| cells.to_be_bytes()));
        let schema = Arc::new(Schema::new(vec![Field::new("cells", DataType::Binary, true)]));
        let hashes = RecordBatch::try_new(schema, vec![Arc::new(hashes)]).map_err(|error| failed(error.into()))?;
        let mut attempt = 1;
        loop {
            self.table.refresh().await?;
            let is_refused = || ident(history_columns::VERDICT).eq(lit(Verdict::Refused.name()));
            let left = async {
                let session = read_session(1);
                let hashes = session.read_batch(hashes.clone())?;
                let rows = session.read_table(self.provider().await.map_err(external)?)?.filter(is_refused())?;
                let left = rows.join(hashes, JoinType::LeftAnti, &[history_columns::CELLS], &["cells"], None)?;
                Ok::<_, DataFusionError>((left.clone().count().await?, left))
            };
            let outcome = match left.await.map_err(&failed)? {
                (0, _) => self.table.delete(is_refused()).await,
                (_, left) => self.table.replace_by_plan_with(is_refused(), left, &[]).await.map(|_| ()),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if attempt == ATTEMPTS || error.is_final() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, attempt, "refused rows not taken out; trying again");
                    attempt += 1;
                }
            }
        }
    }

    /// What is in, by import.
    pub async fn imports(&self) -> Result<BTreeMap<String, ImportedRows>, StoreError> {
        use history_columns::*;
        let provider = self.provider().await?;
        let has_identities = provider.schema().field_with_name(CELLS).is_ok();
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let is = |verdict: &str| ident(VERDICT).eq(lit(verdict.to_owned()));
        let number = |verdict: &str, name: &str| {
            when(is(verdict), lit(1_i64)).otherwise(lit(0_i64)).map(|one| sum(one).alias(name))
        };
        let run = async {
            let counted = is(Verdict::Counted.name());
            let columns = vec![
                number(Verdict::Counted.name(), "counted")?,
                number(Verdict::Duplicate.name(), "duplicate")?,
                number(Verdict::Refused.name(), "refused")?,
                number(UNDONE, "undone")?,
                min(time.clone()).filter(counted.clone()).build()?.alias("oldest"),
                max(time).filter(counted).build()?.alias("newest"),
                max(ident(ARRIVAL)).alias("arrival"),
                max(ident(FILE)).alias("file"),
                if has_identities { count(ident(CELLS)).alias("known") } else { sum(lit(0_i64)).alias("known") },
            ];
            read_session(2).read_table(provider)?.aggregate(vec![ident(IMPORT)], columns)?.collect().await
        };
        let mut imports = BTreeMap::new();
        for batch in run.await.map_err(StoreError::read(&self.topic.name))? {
            let number = |column: usize, row: usize| {
                u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(row)).unwrap_or_default()
            };
            let time = |column: usize, row: usize| {
                let times = batch.column(column).as_primitive::<TimestampMicrosecondType>();
                times.iter().nth(row).flatten()
            };
            let (ids, files) = (batch.column(0).as_string::<i32>(), batch.column(8).as_string::<i32>());
            for row in 0..batch.num_rows() {
                let rows = ImportedRows {
                    file: files.value(row).to_owned(),
                    counted: number(1, row),
                    duplicate: number(2, row),
                    refused: number(3, row),
                    is_undone: number(4, row) > 0,
                    period_micros: time(5, row).zip(time(6, row)),
                    arrival_micros: time(7, row),
                    is_of_old_version: number(9, row) == 0 && number(1, row) + number(3, row) > 0,
                };
                imports.insert(ids.value(row).to_owned(), rows);
            }
        }
        Ok(imports)
    }

    /// Merges small files if there are many.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        self.table.compact().await
    }

    /// What is left of rows that are taken back: for each import the quarters of an hour in which some had counted, now or before.
    async fn marks(&self, imports: &[&str], sequence: i64) -> Result<RecordBatch, StoreError> {
        use history_columns::*;
        let failed = StoreError::read(&self.topic.name);
        let time = &self.topic.columns[self.topic.event_time].name;
        let run = async {
            let wanted = ident(IMPORT).in_list(imports.iter().map(|import| lit(*import)).collect(), false);
            let had_counted =
                ident(VERDICT).in_list(vec![lit(Verdict::Counted.name()), lit(UNDONE)], false).and(wanted);
            let frame = read_session(2).read_table(self.provider().await.map_err(external)?)?;
            let frame = frame.filter(had_counted)?.select(vec![ident(IMPORT), ident(FILE), ident(time)])?;
            let mut found = BTreeMap::new();
            let mut rows = frame.execute_stream().await?;
            while let Some(batch) = rows.try_next().await? {
                let (ids, files) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
                for (row, micros) in times.iter().enumerate() {
                    let Some(micros) = micros else { continue };
                    let quarter = micros.div_euclid(QUARTER_MICROS) * QUARTER_MICROS;
                    let of_import = found
                        .entry(ids.value(row).to_owned())
                        .or_insert_with(|| (files.value(row).to_owned(), BTreeSet::new()));
                    of_import.1.insert(quarter);
                }
            }
            Ok::<_, DataFusionError>(found)
        };
        let found = run.await.map_err(&failed)?;
        let marks: Vec<(&str, &str, i64)> = found
            .iter()
            .flat_map(|(import, (file, quarters))| quarters.iter().map(|at| (import.as_str(), file.as_str(), *at)))
            .collect();
        let schema = self.topic.history_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let texts = |text: &dyn Fn(&(&str, &str, i64)) -> String| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(marks.iter().map(text)))
            };
            let instant = |times: TimestampMicrosecondArray| -> ArrayRef { Arc::new(times.with_timezone("UTC")) };
            match field.name().as_str() {
                SEQUENCE => Arc::new(Int64Array::from_value(sequence, marks.len())),
                IMPORT => texts(&|mark| mark.0.to_owned()),
                FILE => texts(&|mark| mark.1.to_owned()),
                LINE => Arc::new(Int64Array::from_value(0, marks.len())),
                ARRIVAL => instant(TimestampMicrosecondArray::from_value(Utc::now().timestamp_micros(), marks.len())),
                VERDICT => texts(&|_| UNDONE.to_owned()),
                name if name == time => {
                    instant(TimestampMicrosecondArray::from_iter_values(marks.iter().map(|mark| mark.2)))
                }
                _ => new_null_array(field.data_type(), marks.len()),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).map_err(|source| failed(source.into()))
    }

    /// The rows of a Parquet file with their number; none if there are none.
    async fn numbered_file(&self, path: &Path, sequence: i64) -> Result<Option<DataFrame>, DataFusionError> {
        let path = path.display().to_string();
        let frame = read_session(1).read_parquet(path, ParquetReadOptions::default()).await?;
        if frame.clone().limit(0, Some(1))?.count().await? == 0 {
            return Ok(None);
        }
        let columns = self.topic.history_schema();
        let columns = columns.fields().iter().map(|field| match field.name().as_str() {
            history_columns::SEQUENCE => lit(sequence).alias(history_columns::SEQUENCE),
            name => ident(name),
        });
        frame.select(columns.collect::<Vec<Expr>>()).map(Some)
    }

    fn numbered(&self, rows: &RecordBatch, sequence: i64) -> Result<RecordBatch, StoreError> {
        let numbers: ArrayRef = Arc::new(Int64Array::from_value(sequence, rows.num_rows()));
        let columns = std::iter::once(numbers).chain(rows.columns().iter().cloned()).collect();
        RecordBatch::try_new(self.topic.history_schema(), columns)
            .map_err(|source| StoreError::read(&self.topic.name)(source.into()))
    }
}

/// A column of hashes; null in a table of a version that did not keep it, which only a writer adds.
fn or_null(schema: &Schema, name: &str) -> Expr {
    match schema.field_with_name(name) {
        Ok(_) => ident(name),
        Err(_) => cast(lit(ScalarValue::Null), DataType::Binary).alias(name),
    }
}

fn is_overtaken(error: &StoreError) -> bool {
    matches!(error, StoreError::Overtaken { .. })
}

fn token() -> i64 {
    i64::from_ne_bytes(Uuid::new_v4().as_u64_pair().0.to_ne_bytes())
}

fn external(error: StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
