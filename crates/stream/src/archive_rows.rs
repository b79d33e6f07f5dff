//! The archive's rows of a classified batch: one for each offset, and one for each range that was
//! never delivered.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use vitral_messages::decode::Refusal;
use vitral_schemas::kept_payload::Kept;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Unread, Verdict};

use crate::batch::MessageBatch;
use crate::classify::Classified;

/// A range of offsets that has no messages here: `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub partition: PartitionId,
    pub first: Offset,
    pub last: Offset,
}

/// Where the topic's own columns begin among the archive's.
pub(crate) const FIRST_OWN_COLUMN: usize = 8;

/// Makes the rows of one topic's archive.
pub struct ArchiveRows {
    schema: SchemaRef,
    keep_raw: bool,
    payload_bytes_max: usize,
    log: Column,
    counted: Column,
    no_offset: Column,
    no_reason: Column,
    no_payload: Column,
}

impl ArchiveRows {
    pub fn new(topic: &Topic, log: &str) -> Self {
        Self {
            schema: topic.archive_schema(),
            keep_raw: topic.keep_raw,
            payload_bytes_max: topic.message_bytes_max,
            log: Column::text(log),
            counted: Column::text(Verdict::Counted.name()),
            no_offset: Column::null(&DataType::Int64),
            no_reason: Column::null(&DataType::Utf8),
            no_payload: Column::null(&DataType::Binary),
        }
    }

    /// One row for each message, in the archive's schema.
    pub fn delivered(
        &mut self,
        messages: &MessageBatch<'_>,
        classified: &Classified,
        arrival_ms: i64,
    ) -> Result<RecordBatch, ArrowError> {
        let len = messages.len();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(partitions(messages)),
            Arc::new(Int64Array::from_iter_values(messages.offsets.iter().map(|offset| offset.0))),
            self.no_offset.of(len),
            arrivals(arrival_ms, len),
            self.log.of(len),
            self.verdicts(&classified.verdicts),
            self.reasons(&classified.refused, len),
            self.payloads(&classified.refused, &messages.payloads),
        ];
        columns.extend(classified.rows.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    /// One row for each range that was never delivered, or, for this reason, not asked for.
    pub fn undelivered(
        &mut self,
        gaps: &[Gap],
        reason: Option<Unread>,
        arrival_ms: i64,
    ) -> Result<RecordBatch, ArrowError> {
        let len = gaps.len();
        let reasons = std::iter::repeat_n(reason.map(Unread::name), len);
        let verdicts = std::iter::repeat_n(Verdict::Undelivered.name(), len);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(gaps.iter().map(|gap| gap.partition.0))),
            Arc::new(Int64Array::from_iter_values(gaps.iter().map(|gap| gap.first.0))),
            Arc::new(Int64Array::from_iter_values(gaps.iter().map(|gap| gap.last.0))),
            arrivals(arrival_ms, len),
            self.log.of(len),
            Arc::new(StringArray::from_iter_values(verdicts)),
            Arc::new(reasons.collect::<StringArray>()),
        ];
        let others = self.schema.fields().iter().skip(columns.len());
        columns.extend(others.map(|field| new_null_array(field.data_type(), len)));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    fn verdicts(&mut self, verdicts: &[Verdict]) -> ArrayRef {
        if verdicts.iter().all(|verdict| *verdict == Verdict::Counted) {
            return self.counted.of(verdicts.len());
        }
        Arc::new(StringArray::from_iter_values(verdicts.iter().map(|verdict| verdict.name())))
    }

    fn reasons(&mut self, refused: &[Refusal], len: usize) -> ArrayRef {
        if refused.is_empty() {
            return self.no_reason.of(len);
        }
        let mut refused = refused.iter().peekable();
        let reason = |row| refused.next_if(|refusal| refusal.row == row).map(|refusal| refusal.reason.name());
        Arc::new((0..len).map(reason).collect::<StringArray>())
    }

    /// What was refused is kept as it came, up to the topic's bound; where the topic says so,
    /// everything is.
    fn payloads(&mut self, refused: &[Refusal], payloads: &[Option<&[u8]>]) -> ArrayRef {
        if refused.is_empty() && !self.keep_raw {
            return self.no_payload.of(payloads.len());
        }
        let mut refused = refused.iter().peekable();
        let kept = payloads.iter().enumerate().map(|(row, payload)| {
            let is_refused = refused.next_if(|refusal| refusal.row == row).is_some();
            let payload = payload.filter(|_| self.keep_raw || is_refused)?;
            Some(Kept::of(payload, self.payload_bytes_max).bytes)
        });
        Arc::new(kept.collect::<BinaryArray>())
    }
}

/// A column with the same value in every row: made once, then shared by all batches.
struct Column {
    rows: ArrayRef,
    make: Box<dyn Fn(usize) -> ArrayRef + Send>,
}

impl Column {
    fn new(make: impl Fn(usize) -> ArrayRef + Send + 'static) -> Self {
        Self { rows: make(0), make: Box::new(make) }
    }

    fn text(value: &str) -> Self {
        let value = value.to_owned();
        Self::new(move |len| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&value, len))))
    }

    fn null(data_type: &DataType) -> Self {
        let data_type = data_type.clone();
        Self::new(move |len| new_null_array(&data_type, len))
    }

    fn of(&mut self, len: usize) -> ArrayRef {
        if self.rows.len() < len {
            self.rows = (self.make)(len);
        }
        self.rows.slice(0, len)
    }
}

fn partitions(messages: &MessageBatch<'_>) -> Int32Array {
    let mut partitions = Vec::with_capacity(messages.len());
    for each in &messages.partitions {
        partitions.resize(partitions.len() + each.rows.len(), each.partition.0);
    }
    partitions.into()
}

fn arrivals(arrival_ms: i64, len: usize) -> ArrayRef {
    let micros = std::iter::repeat_n(arrival_ms * MICROS_PER_MS, len);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}
