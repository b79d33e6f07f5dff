//! The way of a batch: decode, classify, send refusals on, make archive rows; then, once its
//! look-ups are there, fold what counts.

use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use vitral_connect::{DeadLetter, DeadLetters, End, PartitionBatch, Polled};
use vitral_messages::decode::Decoder;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::kept_payload::Kept;
use vitral_schemas::position::PartitionId;
use vitral_schemas::verdict::Verdict;

use super::Pipeline;
use super::looking_up::{ClassifiedBatch, LookUpQueue, PollRows};
use crate::archive_rows::{ArchiveRows, Gap};
use crate::batch::{MessageBatch, PartitionRows};
use crate::classify::{Classified, Moment, counted};
use crate::error::StreamError;
use crate::telemetry::VerdictLabels;

/// Payloads decoded together, whatever their number: Arrow counts a column's bytes in 32 bits, and
/// a batch of the largest messages must not multiply in memory.
const BATCH_BYTES: usize = 128 << 20;

/// What makes rows of messages.
pub(super) struct Processor {
    pub(super) decoder: Decoder,
    pub(super) archive_rows: ArchiveRows,
    pub(super) dead_letters: Box<dyn DeadLetters>,
    pub(super) looking_up: LookUpQueue,
}

impl Pipeline {
    pub(super) fn process(&mut self, mut polled: Polled) -> Result<(), StreamError> {
        self.discovery.ends.delivered(polled.batches.iter().map(|batch| batch.partition));
        polled.batches.iter_mut().for_each(|batch| self.leave_out_repeats(batch));
        let now_ms = self.context.clock.now_ms();
        let standing = self.standing_before();
        let (mut gaps, mut waiting) = (Vec::new(), PollRows::default());
        for batch in MessageBatch::parts(&polled.batches, BATCH_BYTES) {
            for partition in &batch.partitions {
                let runs = batch.runs(partition);
                gaps.extend(runs.filter_map(|(first, count)| self.buffer.advance(partition.partition, first, count)));
            }
            let classified = self.classify(&batch, now_ms)?;
            match standing {
                Some(_) => waiting.batches.push(classified),
                None => self.take_in(classified)?,
            }
        }
        for end in polled.ends {
            gaps.extend(self.mark_end(end));
        }
        let gaps = self.archived_gaps(&gaps, now_ms)?;
        match standing {
            Some(standing) => self.look_up(standing, PollRows { gaps, ..waiting }),
            None => {
                gaps.into_iter().for_each(|gaps| self.buffer.push(gaps));
                Ok(())
            }
        }
    }

    /// Never seen with a source that keeps its promise; twice in the archive would be worse than a
    /// warning.
    fn leave_out_repeats(&self, batch: &mut PartitionBatch) {
        let Some(next) = self.buffer.next_offset(batch.partition) else { return };
        if batch.is_empty() || batch.offset(0) >= next {
            return;
        }
        let (partition, first) = (batch.partition, batch.offset(0));
        let repeated = batch.skip_before(next);
        tracing::warn!(topic = self.context.topic.name, %partition, %first, repeated, "delivered again; left out");
    }

    /// Classify, and see how far event time has come.
    fn classify(&mut self, batch: &MessageBatch<'_>, now_ms: i64) -> Result<ClassifiedBatch, StreamError> {
        let decoded = self.processor.decoder.decode_changes(batch.payloads.iter().copied(), |row| batch.key(row));
        let moment = Moment { now_ms, watermark: self.state.watermarks.of_topic() };
        let is_empty = |row: usize| batch.payloads[row].is_none();
        let classified = self.state.classifier.classify(decoded, &batch.partitions, is_empty, moment)?;
        self.send_refusals(batch, &classified)?;
        for PartitionRows { partition, rows } in &batch.partitions {
            self.observe(*partition, rows.clone(), &classified);
        }
        let archived = self.processor.archive_rows.delivered(batch, &classified, now_ms);
        let archived = archived.map_err(|source| self.context.failed("archived", source.into()))?;
        let Classified { rows, verdicts, .. } = classified;
        Ok(ClassifiedBatch { rows, verdicts, partitions: batch.partitions.clone(), archived })
    }

    /// Folds what counts, and lets the rows wait for their commit.
    pub(super) fn take_in(&mut self, batch: ClassifiedBatch) -> Result<(), StreamError> {
        for PartitionRows { partition, rows } in &batch.partitions {
            self.fold(*partition, rows.clone(), &batch)?;
        }
        self.count_verdicts(&batch.verdicts);
        self.buffer.push(batch.archived);
        failpoint!("cycle.judged");
        Ok(())
    }

    fn send_refusals(&mut self, batch: &MessageBatch<'_>, classified: &Classified) -> Result<(), StreamError> {
        let topic = &self.context.topic;
        for refusal in &classified.refused {
            let payload = batch.payloads[refusal.row].unwrap_or_default();
            let kept = Kept::of(payload, topic.message_bytes_max);
            let delivery = self.processor.dead_letters.send(&DeadLetter {
                topic: &topic.kafka_topic,
                partition: batch.partition_of(refusal.row),
                offset: batch.offsets[refusal.row],
                key: batch.key(refusal.row),
                payload: &kept.bytes,
                truncated_bytes: kept.is_cut.then_some(payload.len()),
                reason: refusal.reason,
                detail: &refusal.detail,
            })?;
            self.buffer.dead_letters.push(delivery);
            self.count(Verdict::Refused, refusal.reason.name(), 1);
        }
        Ok(())
    }

    /// Sees how far the event time of a partition has come.
    fn observe(&mut self, partition: PartitionId, rows: Range<usize>, classified: &Classified) {
        let times = classified.rows.column(self.context.topic.event_time).as_primitive::<TimestampMicrosecondType>();
        let accepted = || rows.clone().filter(|row| times.is_valid(*row)).map(|row| times.value(row));
        let watermarks = &mut self.state.watermarks;
        watermarks.observe_delivery(partition);
        // Until the topic has a watermark, windows are open from its oldest event.
        let oldest_micros = if watermarks.of_topic().is_none() { accepted().min() } else { None };
        for micros in oldest_micros.into_iter().chain(accepted().max()) {
            watermarks.observe_event(partition, EventTime::from_micros(micros));
        }
    }

    /// Folds the rows of a partition that count.
    fn fold(&mut self, partition: PartitionId, rows: Range<usize>, batch: &ClassifiedBatch) -> Result<(), StreamError> {
        let part = counted(&batch.rows.slice(rows.start, rows.len()), &batch.verdicts[rows]);
        let part = part.map_err(|source| self.context.failed("filtered", source))?;
        self.state.panes.fold(partition, &part);
        if part.num_rows() > 0 {
            self.buffer.counted.push(part);
        }
        Ok(())
    }

    fn count_verdicts(&mut self, verdicts: &[Verdict]) {
        for verdict in Verdict::ALL {
            let rows = verdicts.iter().filter(|each| **each == verdict).count() as u64;
            self.state.counts.add(verdict, rows);
            if rows > 0 && verdict != Verdict::Refused {
                self.count(verdict, "", rows);
            }
        }
    }

    fn count(&self, verdict: Verdict, reason: &'static str, rows: u64) {
        let labels = VerdictLabels { topic: self.context.topic.name.clone(), verdict: verdict.name(), reason };
        self.context.telemetry.messages.get_or_create(&labels).inc_by(rows);
    }

    /// A partition was read to its end; the gap before it, if its last offsets were never
    /// delivered.
    fn mark_end(&mut self, end: End) -> Option<Gap> {
        let End { partition, next_offset, is_high_watermark } = end;
        // Messages that came after the end was reached are in this poll too.
        if self.buffer.is_past(partition, next_offset) {
            return None;
        }
        let gap = self.buffer.advance(partition, next_offset, 0);
        self.discovery.ends.mark(partition, next_offset);
        if is_high_watermark {
            self.state.watermarks.observe_end(partition, self.context.clock.steady_ms());
        }
        gap
    }

    /// The gaps as the archive has them.
    fn archived_gaps(&mut self, gaps: &[Gap], now_ms: i64) -> Result<Option<RecordBatch>, StreamError> {
        if gaps.is_empty() {
            return Ok(None);
        }
        let rows = self.processor.archive_rows.undelivered(gaps, None, now_ms);
        rows.map(Some).map_err(|source| self.context.failed("archived", source.into()))
    }
}
