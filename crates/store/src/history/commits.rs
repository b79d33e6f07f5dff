//! The commits of a history: rows are added or taken back, always on top of what their writer has
//! seen.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, JoinType, ident, lit};
use datafusion::prelude::{DataFrame, ParquetReadOptions};
use uuid::Uuid;
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::{History, ImportedRows, SEQUENCE, external};
use crate::error::StoreError;
use crate::session::read_session;

/// The application whose version is drawn at random for each commit: after an error it shows
/// whether this commit succeeded.
const COMMIT: &str = "commit";
/// Merges of files, and imports that run at the same time, conflict with each other.
const ATTEMPTS: usize = 20;

impl History {
    /// Adds rows, in the history's columns without its first, on top of the last commit that was
    /// seen here. If there has been another since, it is read, and the error is
    /// [`StoreError::Overtaken`].
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

    /// Takes back what these imports have added, in one commit; false if nothing of them was
    /// stored.
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

    /// One commit: removes what these imports have added and adds the rows of a Parquet file, which
    /// belong to one of them and are in the history's columns without its first. On top of the last
    /// commit that was seen here, as in [`Self::append`].
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

    /// After an error: the error if another attempt cannot help. Reads what is committed.
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

    /// Removes refused rows whose cells have since been read correctly.
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

fn is_overtaken(error: &StoreError) -> bool {
    matches!(error, StoreError::Overtaken { .. })
}

fn token() -> i64 {
    i64::from_ne_bytes(Uuid::new_v4().as_u64_pair().0.to_ne_bytes())
}
