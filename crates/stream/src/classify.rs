//! The verdict of every message, decided once for all metrics.
//!
//! Order: decode (refuse), deduplicate, lateness. What is late, and which ids are known, goes by
//! the topic's watermark as it stood when the batch began.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;
use datafusion::execution::context::SessionContext;
use vitral_engine::rules::RowRules;
use vitral_messages::decode::{Decoded, Refusal};
use vitral_messages::deduplication_index::DeduplicationIndex;
use vitral_panes::PanesError;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;

use crate::batch::PartitionRows;
use crate::error::StreamError;

/// Gives every message of a topic its verdict.
pub struct Classifier {
    topic: Topic,
    rules: RowRules,
    id_key: (u64, u64),
    known: BTreeMap<PartitionId, DeduplicationIndex>,
    known_bytes_max: usize,
}

/// The rows of a batch with their verdicts.
pub struct Classified {
    /// The topic's columns; those of refused rows and tombstones are null.
    pub rows: RecordBatch,
    /// One for each row.
    pub verdicts: Vec<Verdict>,
    /// Why rows were refused, ascending by row.
    pub refused: Vec<Refusal>,
}

/// What a classification depends on besides the rows.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The wall clock, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Of the topic, as it stood when the batch began.
    pub watermark: Option<Watermark>,
}

impl Classifier {
    /// The ids of all partitions may use `known_bytes_max`.
    pub fn new(topic: &Topic, session: &SessionContext, known_bytes_max: usize) -> Result<Self, StreamError> {
        let rules = RowRules::new(topic, session).map_err(PanesError::from)?;
        let id_key = uuid::Uuid::new_v4().as_u64_pair();
        Ok(Self { topic: topic.clone(), rules, id_key, known: BTreeMap::new(), known_bytes_max })
    }

    /// Judges decoded messages, ordered by partition and offset; `partitions` has the rows of each,
    /// and `is_empty` says which rows have no payload.
    pub fn classify(
        &mut self,
        decoded: Decoded,
        partitions: &[PartitionRows],
        is_empty: impl Fn(usize) -> bool,
        moment: Moment,
    ) -> Result<Classified, StreamError> {
        let (rows, refused) =
            self.complete(decoded, moment).map_err(|source| failed(&self.topic, "checked", source))?;
        self.make_room(partitions, moment)?;
        let verdicts = self.verdicts(&rows, partitions, &refused, is_empty, moment);
        Ok(Classified { rows, verdicts, refused })
    }

    /// Learns ids that were counted before a restart, with their times.
    pub fn remember<'a>(&mut self, partition: PartitionId, ids: impl Iterator<Item = (&'a str, i64)>) {
        let id_key = self.id_key;
        self.known.entry(partition).or_insert_with(|| DeduplicationIndex::new(id_key)).remember(ids);
    }

    /// Sees that the ids of these rows fit. To forget one that could still come again would count
    /// it twice, so what does not fit stops the stream.
    fn make_room(&mut self, partitions: &[PartitionRows], moment: Moment) -> Result<(), StreamError> {
        if self.topic.event_id.is_none() {
            return Ok(());
        }
        let mut coming = BTreeMap::<PartitionId, usize>::new();
        for PartitionRows { partition, rows } in partitions {
            *coming.entry(*partition).or_default() += rows.len();
        }
        let bytes = |known: &BTreeMap<PartitionId, DeduplicationIndex>| -> usize {
            known
                .iter()
                .map(|(partition, ids)| ids.bytes_with(coming.get(partition).copied().unwrap_or_default()))
                .sum()
        };
        if bytes(&self.known) <= self.known_bytes_max {
            return Ok(());
        }
        if let Some(watermark) = moment.watermark {
            let bound_ms = watermark.late_before(self.topic.lateness_ms).ms();
            self.known.values_mut().for_each(|known| known.sweep_now(bound_ms));
        }
        if bytes(&self.known) <= self.known_bytes_max {
            return Ok(());
        }
        Err(StreamError::DeduplicationIndex {
            topic: self.topic.name.clone(),
            ids: self.known_id_count(),
            limit_bytes: self.known_bytes_max,
        })
    }

    /// The key by which ids are hashed.
    pub fn id_key(&self) -> (u64, u64) {
        self.id_key
    }

    /// Forgets everything, and hashes ids with this key from now on.
    pub fn start_over(&mut self, id_key: (u64, u64)) {
        self.id_key = id_key;
        self.known.clear();
    }

    /// Takes back ids that [`Self::take_new_ids`] gave, under the same key.
    pub fn restore_ids(&mut self, partition: PartitionId, ids: &RecordBatch) {
        let id_key = self.id_key;
        self.known.entry(partition).or_insert_with(|| DeduplicationIndex::new(id_key)).restore(ids);
    }

    /// Ids that came since the last call, or all, by partition, and whether it is all.
    pub fn take_new_ids(&mut self, all: bool) -> Result<Vec<(PartitionId, RecordBatch, bool)>, StreamError> {
        let taken = self.known.iter_mut().map(|(partition, known)| {
            let (ids, all) =
                known.take_new(all).map_err(|source| failed(&self.topic, "written down", source.into()))?;
            Ok((*partition, ids, all))
        });
        taken.collect()
    }

    /// How many ids came since the last [`Self::take_new_ids`].
    pub fn new_id_count(&self) -> usize {
        self.known.values().map(DeduplicationIndex::new_count).sum()
    }

    /// Forgets ids that can no longer count.
    pub fn sweep(&mut self, watermark: Watermark) {
        let bound_ms = watermark.late_before(self.topic.lateness_ms).ms();
        self.known.values_mut().for_each(|known| known.sweep(bound_ms));
    }

    /// How many ids are kept.
    pub fn known_id_count(&self) -> usize {
        self.known.values().map(DeduplicationIndex::count).sum()
    }

    /// Fills in defaults, refuses what a check or the clock forbids.
    fn complete(&self, decoded: Decoded, moment: Moment) -> Result<(RecordBatch, Vec<Refusal>)> {
        let Decoded { columns, mut refused } = decoded;
        let (rows, forbidden) = self.rules.apply(columns, moment.now_ms)?;
        refused.extend(forbidden.into_iter().map(|(row, (reason, detail))| Refusal { row, reason, detail }));
        refused.sort_by_key(|refusal| refusal.row);
        Ok((rows, refused))
    }

    fn verdicts(
        &mut self,
        rows: &RecordBatch,
        partitions: &[PartitionRows],
        refused: &[Refusal],
        is_empty: impl Fn(usize) -> bool,
        moment: Moment,
    ) -> Vec<Verdict> {
        let bound = moment.watermark.map_or(EventTime::MIN, |watermark| watermark.late_before(self.topic.lateness_ms));
        let bound_micros = bound.micros();
        let times = rows.column(self.topic.event_time).as_primitive::<TimestampMicrosecondType>();
        let ids = self.topic.event_id.map(|index| rows.column(index).as_string::<i32>());
        let mut refused = refused.iter().map(|refusal| refusal.row).peekable();
        let mut verdicts = Vec::with_capacity(rows.num_rows());
        for PartitionRows { partition, rows } in partitions {
            let id_key = self.id_key;
            let known = self.known.entry(*partition).or_insert_with(|| DeduplicationIndex::new(id_key));
            for row in rows.clone() {
                let verdict = if refused.next_if_eq(&row).is_some() {
                    Verdict::Refused
                } else if is_empty(row) {
                    Verdict::Empty
                } else {
                    let time = times.value(row);
                    let id = ids.filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row));
                    match id {
                        Some(id) if time < bound_micros => {
                            // A late row is not counted, so it makes no id known.
                            if known.contains(id, bound_micros) { Verdict::Duplicate } else { Verdict::Late }
                        }
                        Some(id) if known.insert(id, time, bound_micros) => Verdict::Counted,
                        Some(_) => Verdict::Duplicate,
                        None if time < bound_micros => Verdict::Late,
                        None => Verdict::Counted,
                    }
                };
                verdicts.push(verdict);
            }
        }
        verdicts
    }
}

/// The rows that count, or the batch itself if all do.
pub fn counted(rows: &RecordBatch, verdicts: &[Verdict]) -> Result<RecordBatch> {
    if verdicts.iter().all(|verdict| *verdict == Verdict::Counted) {
        return Ok(rows.clone());
    }
    let mask: BooleanArray = verdicts.iter().map(|verdict| Some(*verdict == Verdict::Counted)).collect();
    Ok(compute::filter_record_batch(rows, &mask)?)
}

fn failed(topic: &Topic, action: &'static str, source: datafusion::error::DataFusionError) -> StreamError {
    StreamError::Batch { topic: topic.name.clone(), action, source }
}
