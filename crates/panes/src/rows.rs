//! The rows of windows, as they are stored and served: window start and end first, in the metric's
//! order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{self, SortColumn, SortOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err};
use vitral_catalog::{Metric, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::timestamp_type;
use vitral_schemas::window::Windows;

/// The stored schema of a metric whose finished plan has `output`: a window's start and end, then
/// its columns, in the types that every store knows.
pub(crate) fn rows_schema(output: &Schema) -> SchemaRef {
    let mut fields = vec![
        Field::new(WINDOW_START_COLUMN, timestamp_type(), false),
        Field::new(WINDOW_END_COLUMN, timestamp_type(), false),
    ];
    let others = output.fields().iter().filter(|field| !is_of_window(field));
    fields.extend(others.map(|field| Field::new(field.name(), stored_type(field.data_type()), true)));
    Arc::new(Schema::new(fields))
}

/// Whether it says which window a row is of: sessions come with their last event as their end.
fn is_of_window(field: &Field) -> bool {
    [WINDOW_START_COLUMN, WINDOW_END_COLUMN].contains(&field.name().as_str())
}

/// Delta tables know no unsigned integers, views or nanoseconds.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Nanosecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        other => other.clone(),
    }
}

/// The stored rows of windows that were computed elsewhere, in any order: `finished` is what the
/// metric's query gives.
pub fn stored_rows(metric: &Metric, windows: &Windows, finished: &RecordBatch) -> Result<RecordBatch> {
    let rows = with_ends(windows, &rows_schema(&finished.schema()), finished)?;
    // To order many rows costs as much as to compute them; a LIMIT needs it.
    if metric.limit.is_some() { limit(metric, in_order(metric, &rows)?) } else { Ok(rows) }
}

/// Adds the windows' ends, orders the rows and keeps the metric's LIMIT of each window.
pub(crate) fn arrange(
    metric: &Metric,
    windows: &Windows,
    schema: &SchemaRef,
    finished: &RecordBatch,
) -> Result<RecordBatch> {
    limit(metric, in_order(metric, &with_ends(windows, schema, finished)?)?)
}

fn with_ends(windows: &Windows, schema: &SchemaRef, finished: &RecordBatch) -> Result<RecordBatch> {
    let start_index = finished.schema().index_of(WINDOW_START_COLUMN)?;
    let starts = compute::cast(finished.column(start_index), &timestamp_type())?;
    let ends = match windows.window.session_gap_micros() {
        None => window_ends(windows, starts.as_primitive()),
        Some(_) => {
            let lasts = finished.column(finished.schema().index_of(WINDOW_END_COLUMN)?);
            session_ends(windows, compute::cast(lasts, &timestamp_type())?.as_primitive())
        }
    };
    let mut columns: Vec<ArrayRef> = vec![starts, Arc::new(ends.with_timezone("UTC"))];
    let found = finished.schema();
    let others = (0..found.fields().len()).filter(|index| !is_of_window(found.field(*index)));
    for (field, index) in schema.fields().iter().skip(2).zip(others) {
        columns.push(compute::cast(finished.column(index), field.data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn window_ends(windows: &Windows, starts: &TimestampMicrosecondArray) -> TimestampMicrosecondArray {
    let mut known = BTreeMap::new();
    let ends = starts.values().iter().map(|start| {
        let end = || windows.bounds(start / MICROS_PER_MS).end_ms * MICROS_PER_MS;
        *known.entry(*start).or_insert_with(end)
    });
    TimestampMicrosecondArray::from_iter_values(ends)
}

fn session_ends(windows: &Windows, lasts: &TimestampMicrosecondArray) -> TimestampMicrosecondArray {
    // Neighbours mostly share a day, and with it what the calendar says.
    let gap = windows.window.session_gap_micros().unwrap_or_default();
    let mut day = 0..0;
    let ends = lasts.values().iter().map(|last| {
        if !day.contains(last) {
            let start_ms = windows.pane_start_ms(*last);
            day = start_ms * MICROS_PER_MS..windows.pane_end_ms(start_ms) * MICROS_PER_MS;
        }
        last.saturating_add(gap).min(day.end)
    });
    TimestampMicrosecondArray::from_iter_values(ends)
}

/// By window, then by the metric's ORDER BY, then by every other column: the same rows always in
/// the same order.
pub fn in_order(metric: &Metric, batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let mut columns = vec![SortColumn { values: Arc::clone(batch.column(0)), options: None }];
    let mut taken = vec![0, 1];
    for order in &metric.order {
        let index = schema.index_of(&order.name)?;
        let options = SortOptions { descending: order.descending, nulls_first: order.descending };
        columns.push(SortColumn { values: Arc::clone(batch.column(index)), options: Some(options) });
        taken.push(index);
    }
    for index in (0..batch.num_columns()).filter(|index| !taken.contains(index)) {
        columns.push(SortColumn { values: Arc::clone(batch.column(index)), options: None });
    }
    let order = compute::lexsort_to_indices(&columns, None)?;
    Ok(compute::take_record_batch(batch, &order)?)
}

fn limit(metric: &Metric, batch: RecordBatch) -> Result<RecordBatch> {
    let Some(limit) = metric.limit else { return Ok(batch) };
    let kept: Vec<RecordBatch> =
        split_by_window(&batch)?.into_values().map(|window| window.slice(0, window.num_rows().min(limit))).collect();
    Ok(compute::concat_batches(&batch.schema(), &kept)?)
}

/// The rows of each window, by its start in milliseconds, each with memory of its own: windows are
/// replaced one by one. The batch must be ordered by window.
pub fn split_by_window(batch: &RecordBatch) -> Result<BTreeMap<i64, RecordBatch>> {
    let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>().values();
    let mut windows = BTreeMap::new();
    let mut first = 0;
    for same in starts.chunk_by(|a, b| a == b) {
        let rows = first..first + same.len();
        first = rows.end;
        let window = if rows.len() == starts.len() { batch.clone() } else { copy(batch, rows)? };
        windows.insert(same[0] / MICROS_PER_MS, window);
    }
    Ok(windows)
}

/// Some rows, with memory of their own.
pub(crate) fn copy(batch: &RecordBatch, rows: Range<usize>) -> Result<RecordBatch> {
    let rows = u32_of(rows.start)?..u32_of(rows.end)?;
    Ok(compute::take_record_batch(batch, &UInt32Array::from_iter_values(rows))?)
}

pub(crate) fn u32_of(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|_| exec_datafusion_err!("over 4 billion rows in one batch"))
}
