//! Epochs as stored rows: each of its batches is one row, compressed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::{SinkEpoch, SinkState, text_column};

/// Changed rows.
pub(super) const CHANGES: &str = "mudancas";
/// Keys, each with a hash of its row.
pub(super) const BASE: &str = "base";

pub(super) fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        number("epoca"),
        number("parte"),
        text("tipo"),
        Field::new("instante", vitral_schemas::topic::timestamp_type(), false),
        text("versoes"),
        text("colunas"),
        number("gravadas"),
        number("apagadas"),
        Field::new("conteudo", DataType::Binary, false),
    ]))
}

pub(super) fn of(epoch: &SinkEpoch, kind: &'static str) -> Result<RecordBatch, ArrowError> {
    let mut parts = epoch.rows.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        // Without rows it is there all the same.
        parts.push(Vec::new());
    }
    let count = parts.len();
    let same = |value: u64| Arc::new(Int64Array::from_value(signed(value), count)) as ArrayRef;
    let text = |value: &str| text_column(std::iter::repeat_n(value, count));
    let micros = epoch.at_ms.saturating_mul(1_000);
    RecordBatch::try_new(
        schema(),
        vec![
            same(epoch.number),
            Arc::new(Int64Array::from_iter_values((0..count).map(|part| signed(part as u64)))),
            text(kind),
            Arc::new(TimestampMicrosecondArray::from_value(micros, count).with_timezone("UTC")),
            text(&epoch.versions),
            text(&epoch.columns),
            same(epoch.upserts),
            same(epoch.deletes),
            Arc::new(BinaryArray::from_iter_values(&parts)),
        ],
    )
}

/// Of all rows, in any order.
pub(super) fn read(batches: &[RecordBatch]) -> Result<SinkState, ArrowError> {
    let mut known: BTreeMap<(u64, bool), (SinkEpoch, BTreeMap<i64, RecordBatch>)> = BTreeMap::new();
    let schema = schema();
    for batch in batches {
        let plain = schema.fields().iter().map(|field| {
            let column = batch
                .column_by_name(field.name())
                .ok_or_else(|| ArrowError::SchemaError(format!("an epoch without its column {}", field.name())))?;
            cast(column, field.data_type())
        });
        let plain = plain.collect::<Result<Vec<_>, _>>()?;
        let number = |column: usize, row: usize| plain[column].as_primitive::<Int64Type>().value(row);
        let text = |column: usize, row: usize| plain[column].as_string::<i32>().value(row);
        for row in 0..batch.num_rows() {
            let epoch = unsigned(number(0, row));
            let is_changes = text(2, row) == CHANGES;
            let (_, parts) = known.entry((epoch, is_changes)).or_insert_with(|| {
                let micros = plain[3].as_primitive::<TimestampMicrosecondType>().value(row);
                let epoch = SinkEpoch {
                    number: epoch,
                    at_ms: micros.div_euclid(1_000),
                    versions: text(4, row).to_owned(),
                    columns: text(5, row).to_owned(),
                    upserts: unsigned(number(6, row)),
                    deletes: unsigned(number(7, row)),
                    rows: Vec::new(),
                };
                (epoch, BTreeMap::new())
            });
            let content = plain[8].as_binary::<i32>().value(row);
            if !content.is_empty() {
                parts.insert(number(1, row), decode(content)?);
            }
        }
    }
    let mut state = SinkState::default();
    for ((_, is_changes), (mut epoch, parts)) in known {
        epoch.rows = parts.into_values().collect();
        if is_changes {
            state.epochs.push(epoch);
        } else {
            state.base = Some(epoch);
        }
    }
    Ok(state)
}

fn encode(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn decode(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut reader = StreamReader::try_new(bytes, None)?;
    reader.next().unwrap_or_else(|| Err(ArrowError::IpcError("an epoch's part without rows".to_owned())))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
