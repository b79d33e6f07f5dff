//! The archive's rows of a judged batch: one for each offset, and one for each range that was never delivered.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::error::ArrowError;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;

use crate::judge::{Judged, repeat};
use crate::kafka::Message;

/// One row for each message, in the archive's schema.
pub fn delivered(
    topic: &Topic,
    log: &str,
    messages: &[Message],
    judged: &Judged,
    arrival_ms: i64,
) -> Result<RecordBatch, ArrowError> {
    let len = messages.len();
    let mut reasons = StringBuilder::with_capacity(len, judged.refused.len() * 8);
    let mut payloads = BinaryBuilder::new();
    let mut refused = judged.refused.iter().peekable();
    for (row, message) in messages.iter().enumerate() {
        let refusal = refused.next_if(|refusal| refusal.row == row);
        reasons.append_option(refusal.map(|refusal| refusal.reason.name()));
        payloads.append_option(message.payload().filter(|_| topic.keep_raw || refusal.is_some()));
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(messages.iter().map(Message::partition))),
        Arc::new(Int64Array::from_iter_values(messages.iter().map(Message::offset))),
        Arc::new(Int64Array::new_null(len)),
        arrivals(arrival_ms, len),
        repeat(log, len),
        Arc::new(StringArray::from_iter_values(judged.verdicts.iter().map(|verdict| verdict.name()))),
        Arc::new(reasons.finish()),
        Arc::new(payloads.finish()),
    ];
    columns.extend(judged.rows.columns().iter().cloned());
    RecordBatch::try_new(topic.archive_schema(), columns)
}

/// A range of offsets that the broker skipped: `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub partition: i32,
    pub first: i64,
    pub last: i64,
}

/// One row for each range.
pub fn undelivered(topic: &Topic, log: &str, gaps: &[Gap], arrival_ms: i64) -> Result<RecordBatch, ArrowError> {
    let len = gaps.len();
    let schema = topic.archive_schema();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(gaps.iter().map(|gap| gap.partition))),
        Arc::new(Int64Array::from_iter_values(gaps.iter().map(|gap| gap.first))),
        Arc::new(Int64Array::from_iter_values(gaps.iter().map(|gap| gap.last))),
        arrivals(arrival_ms, len),
        repeat(log, len),
        repeat(Verdict::Undelivered.name(), len),
    ];
    columns.extend(schema.fields().iter().skip(columns.len()).map(|field| new_null_array(field.data_type(), len)));
    RecordBatch::try_new(schema, columns)
}

fn arrivals(arrival_ms: i64, len: usize) -> ArrayRef {
    let micros = std::iter::repeat_n(arrival_ms * MICROS_PER_MS, len);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}
