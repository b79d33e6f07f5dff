//! Merges the small files of a table into large ones, in one commit.
//!
//! Not by delta-rs' own OPTIMIZE, which does not notice a concurrent rewrite (docs/adr/0016).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use deltalake::kernel::transaction::CommitBuilder;
use deltalake::kernel::{Action, Add, LogicalFileView};
use deltalake::parquet::arrow::ParquetRecordBatchStreamBuilder;
use deltalake::parquet::arrow::arrow_reader::ArrowReaderOptions;
use deltalake::parquet::arrow::async_reader::AsyncFileReader;
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use deltalake::protocol::DeltaOperation;
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaResult, DeltaTableError};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::StoreError;
use crate::table::{Table, with_transactions};

/// Small files are merged in two steps, so that a row is rewritten twice and not at every merge.
const MERGES: [Merge; 2] = [
    Merge { files: 24, bytes: 0..4 << 20, target_bytes: 32 << 20 },
    Merge { files: 12, bytes: 4 << 20..64 << 20, target_bytes: 512 << 20 },
];
/// Outside of the stream there is time to merge every file that is smaller than half of the
/// largest.
const WHOLLY: Merge = Merge { files: 2, bytes: 0..256 << 20, target_bytes: 512 << 20 };
const BATCH_ROWS: usize = 8 * 1024;

/// When `files` files have a size in `bytes`, they become files of up to about `target_bytes`.
struct Merge {
    files: usize,
    bytes: Range<i64>,
    target_bytes: i64,
}

impl Table {
    /// Merges small files if there are many; true if the table has changed, by this process or
    /// another.
    pub(crate) async fn compact(&mut self) -> Result<bool, StoreError> {
        let before = self.version();
        for merge in &MERGES {
            if self.candidates(merge)?.len() >= merge.files {
                self.merge(merge).await?;
            }
        }
        Ok(self.version() != before)
    }

    /// Merges small files, however few.
    pub(crate) async fn compact_wholly(&mut self) -> Result<(), StoreError> {
        self.merge(&WHOLLY).await
    }

    async fn merge(&mut self, merge: &Merge) -> Result<(), StoreError> {
        // Another process may have merged them already.
        self.refresh().await?;
        let files = self.candidates(merge)?;
        if files.len() < merge.files {
            return Ok(());
        }
        let bins = bins(files, merge.target_bytes);
        self.rewrite_files(bins, merge.target_bytes).await.map_err(StoreError::table(&self.name, "compacted"))
    }

    /// Files of that size, the oldest first.
    fn candidates(&self, merge: &Merge) -> Result<Vec<LogicalFileView>, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "compacted"))?;
        let mut files: Vec<_> = state
            .log_data()
            .iter()
            .filter(|file| merge.bytes.contains(&file.size()) && file.deletion_vector_descriptor().is_none())
            .collect();
        files.sort_by_key(|file| (file.modification_time(), file.path().into_owned()));
        Ok(files)
    }

    /// Each bin becomes one file, all of them by one commit.
    async fn rewrite_files(&mut self, bins: Vec<Vec<LogicalFileView>>, target_bytes: i64) -> DeltaResult<()> {
        let mut actions = Vec::new();
        for bin in &bins {
            let written = self.write_together(bin).await?;
            actions.extend(written.into_iter().map(|add| Action::Add(Add { data_change: false, ..add })));
            actions.extend(bin.iter().map(|file| Action::Remove(file.remove_action(false))));
        }
        if actions.is_empty() {
            return Ok(());
        }
        let operation = DeltaOperation::Optimize { predicate: None, target_size: target_bytes };
        let commit = CommitBuilder::from(with_transactions(&[self.rewrite()]))
            .with_actions(actions)
            .build(Some(self.delta.snapshot()?), self.delta.log_store(), operation)
            .await?;
        self.delta.state = Some(commit.snapshot());
        let removed: usize = bins.iter().map(Vec::len).sum();
        tracing::debug!(table = self.name, removed, added = bins.len(), "small files merged");
        Ok(())
    }

    async fn write_together(&self, files: &[LogicalFileView]) -> DeltaResult<Vec<Add>> {
        let mut writer = RecordBatchWriter::for_table(&self.delta)?.with_writer_properties(self.writer_properties());
        let schema = writer.arrow_schema();
        for file in files {
            let reader = StoredFile {
                store: self.delta.object_store(),
                path: file.object_store_path(),
                bytes: u64::try_from(file.size()).unwrap_or_default(),
            };
            let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
            let mut rows = builder.with_batch_size(BATCH_ROWS).build()?;
            let mut read = 0;
            while let Some(batch) = rows.try_next().await? {
                read += batch.num_rows();
                writer.write(conform(&batch, &schema)?).await?;
            }
            if let Some(said) = file.num_records().filter(|said| *said != read) {
                let path = file.path();
                return Err(DeltaTableError::Generic(format!("{path} has {read} rows, its table says {said}")));
            }
        }
        writer.flush().await
    }
}

/// A file, for Parquet's reader.
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
    bytes: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let bytes = async { self.store.get_range(&self.path, range).await };
        bytes.map_err(|error| ParquetError::External(Box::new(error))).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let bytes = async move { self.store.get_ranges(&self.path, &ranges).await };
        bytes.map_err(|error| ParquetError::External(Box::new(error))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let bytes = self.bytes;
        async move { ParquetMetaDataReader::new().load_and_finish(self, bytes).await.map(Arc::new) }.boxed()
    }
}

/// Groups of consecutive files, each up to the target size; a single file stays as it is.
fn bins(files: Vec<LogicalFileView>, target_bytes: i64) -> Vec<Vec<LogicalFileView>> {
    let mut bins: Vec<Vec<LogicalFileView>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        match bins.last_mut() {
            Some(bin) if bytes + file.size() <= target_bytes => {
                bytes += file.size();
                bin.push(file);
            }
            _ => {
                bytes = file.size();
                bins.push(vec![file]);
            }
        }
    }
    bins.retain(|bin| bin.len() > 1);
    bins
}

/// Converts to the table's columns, of which an older file may lack some.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef, ArrowError> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::logical_expr::{ident, lit};

    use super::*;
    use crate::location::Location;
    use crate::session::read_session;

    fn schema(columns: usize) -> SchemaRef {
        let fields = [Field::new("n", DataType::Int64, true), Field::new("nome", DataType::Utf8, true)];
        Arc::new(Schema::new(fields[..columns].to_vec()))
    }

    fn rows(numbers: Range<i64>, columns: usize) -> RecordBatch {
        let names: ArrayRef = Arc::new(numbers.clone().map(|n| Some(format!("nome {n}"))).collect::<StringArray>());
        let all = [Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef, names];
        RecordBatch::try_new(schema(columns), all[..columns].to_vec()).expect("rows")
    }

    async fn open(dir: &Path, columns: usize) -> Table {
        Table::open("t", &Location::folder(dir).expect("a place"), schema(columns)).await.expect("opened")
    }

    /// A table of `files` files of ten rows each.
    async fn table(dir: &Path, files: i64) -> Table {
        let mut table = open(dir, 2).await;
        for file in 0..files {
            table.append(vec![rows(file * 10..file * 10 + 10, 2)], &[]).await.expect("appended");
        }
        table
    }

    async fn numbers(dir: &Path) -> Vec<i64> {
        let table = open(dir, 2).await;
        let frame = read_session(1).read_table(table.provider().await.expect("a provider")).expect("a frame");
        let batches = frame.collect().await.expect("rows");
        let numbers = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    #[tokio::test]
    async fn many_small_files_become_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut table = table(dir.path(), 23).await;
        assert!(!table.compact().await.expect("looked at"), "there are not enough");
        table.append(vec![rows(230..240, 2)], &[]).await.expect("appended");
        assert!(table.compact().await.expect("merged"));
        assert_eq!(table.file_count().expect("counted"), 1);
        assert_eq!(numbers(dir.path()).await, (0..240).collect::<Vec<_>>());
        table.append(vec![rows(240..250, 2)], &[]).await.expect("appended");
        table.compact_wholly().await.expect("merged");
        assert_eq!((table.file_count().expect("counted"), numbers(dir.path()).await.len()), (1, 250));
    }

    #[tokio::test]
    async fn older_files_lack_columns() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut narrow = open(dir.path(), 1).await;
        narrow.append(vec![rows(0..10, 1)], &[]).await.expect("appended");
        let mut wide = open(dir.path(), 2).await;
        wide.append(vec![rows(10..20, 2)], &[]).await.expect("appended");
        wide.compact_wholly().await.expect("merged");
        assert_eq!((wide.file_count().expect("counted"), numbers(dir.path()).await.len()), (1, 20));
    }

    /// A rewrite that began before another one was committed must fail, in any order; appends must
    /// succeed.
    #[tokio::test]
    async fn of_two_rewrites_at_once_one_comes_through() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut one = table(dir.path(), 4).await;
        let wanted = || ident("n").lt(lit(5_i64));
        let put = || rows(0..5, 2);
        let files = |table: &Table| bins(table.candidates(&WHOLLY).expect("files"), WHOLLY.target_bytes);

        let mut other = open(dir.path(), 2).await;
        one.compact_wholly().await.expect("merged");
        let (late, size) = (files(&other), WHOLLY.target_bytes);
        assert!(other.rewrite_files(late, size).await.is_err(), "a merge after a merge");
        assert_eq!(numbers(dir.path()).await, (0..40).collect::<Vec<_>>());

        one.append(vec![rows(40..50, 2)], &[]).await.expect("appended");
        let mut other = open(dir.path(), 2).await;
        one.compact_wholly().await.expect("merged");
        let refused = other.replace(wanted(), put(), &[]).await.expect_err("a repair after a merge");
        assert!(refused.is_conflict(), "{refused}");
        assert_eq!(numbers(dir.path()).await, (0..50).collect::<Vec<_>>());

        one.append(vec![rows(50..60, 2)], &[]).await.expect("appended");
        let mut other = open(dir.path(), 2).await;
        one.replace(wanted(), put(), &[]).await.expect("repaired");
        let late = files(&other);
        assert!(other.rewrite_files(late, size).await.is_err(), "a merge after a repair");
        // An append after a repair is refused until it has refreshed, and then succeeds.
        assert!(other.append(vec![rows(60..70, 2)], &[]).await.expect_err("it has not looked").is_conflict());
        other.refresh().await.expect("refreshed");
        other.append(vec![rows(60..70, 2)], &[]).await.expect("appended");
        assert_eq!(numbers(dir.path()).await, (0..70).collect::<Vec<_>>());
    }
}
