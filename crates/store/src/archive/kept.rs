//! Columns that an archive has besides those that are declared: they were, and go with their rows
//! wherever these go.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{FieldRef, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::logical_expr::{Expr, ident};
use vitral_schemas::topic::{Topic, archive_columns};

use super::cold::rows_place;
use super::{ArchiveBatch, ArchiveReader};
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::{Table, Undeclared};

/// Columns that say of which offset a row is.
const OWN: usize = 3;

impl ArchiveReader {
    /// The rows with what the archive has in other columns for their offsets, which `wanted` names.
    pub(super) async fn with_kept(&self, rows: ArchiveBatch, wanted: Expr) -> Result<RecordBatch, StoreError> {
        use archive_columns::{LOG, OFFSET, PARTITION};
        let stored = self.table.stored_schema()?;
        let kept = stored.fields().iter().filter(|field| !self.columns.contains(field.name()));
        let kept: Vec<FieldRef> = kept.cloned().collect();
        if kept.is_empty() {
            return Ok(rows.into_rows());
        }
        let failed = StoreError::read(&self.table.name);
        let names = [LOG, PARTITION, OFFSET].into_iter().chain(kept.iter().map(|field| field.name().as_str()));
        let names: Vec<Expr> = names.map(ident).collect();
        let found = async {
            let provider = self.table.delta_provider().await?;
            let frame = read_session(1).read_table(provider).and_then(|frame| frame.filter(wanted)?.select(names));
            frame.map_err(&failed)?.collect().await.map_err(&failed)
        };
        put_beside(rows, &kept, &found.await?).map_err(|error| failed(error.into()))
    }
}

/// What was found, in the columns of a log, a partition, an offset and then these.
fn put_beside(rows: ArchiveBatch, kept: &[FieldRef], found: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let Some(first) = found.first() else { return Ok(rows.into_rows()) };
    let found = concat_batches(&first.schema(), found)?;
    let logs = found.column(0).as_string::<i32>();
    let partitions = found.column(1).as_primitive::<Int32Type>();
    let offsets = found.column(2).as_primitive::<Int64Type>();
    let key = |row: usize| (logs.value(row), partitions.value(row), offsets.value(row));
    let known: HashMap<(&str, i32, i64), u64> = (0..found.num_rows()).map(|row| (key(row), row as u64)).collect();
    let (logs, partitions, offsets) = (rows.logs(), rows.partitions(), rows.offsets());
    let place = |row| known.get(&(logs.value(row), partitions.value(row), offsets.value(row))).copied();
    let places: UInt64Array = (0..rows.len()).map(place).collect();
    let rows = rows.into_rows();
    let mut columns = rows.columns().to_vec();
    for column in &found.columns()[OWN..] {
        columns.push(take(column, &places, None)?);
    }
    let fields: Vec<FieldRef> = rows.schema().fields().iter().chain(kept).map(Arc::clone).collect();
    RecordBatch::try_new(Schema::new(fields).into(), columns)
}

/// The cold table, with every column that the hot one has.
pub(super) async fn open_cold(topic: &Topic, store: &Location, hot: &Table) -> Result<Table, StoreError> {
    let declared = topic.archive_schema();
    let stored = hot.stored_schema()?;
    let kept = stored.fields().iter().filter(|field| declared.field_with_name(field.name()).is_err());
    let fields: Vec<FieldRef> = declared.fields().iter().chain(kept).map(Arc::clone).collect();
    let schema: SchemaRef = Schema::new(fields).into();
    Table::open_with(&topic.name, &rows_place(store, topic), schema, Undeclared::Kept).await
}
