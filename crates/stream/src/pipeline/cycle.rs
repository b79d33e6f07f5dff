//! What has been read since the last commit was handed over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch};
use vitral_store::ArchiveCommit;

use crate::archive_rows::Gap;
use crate::kafka::Delivery;

pub(super) struct Cycle {
    rows: Vec<RecordBatch>,
    /// Counted rows of the cycle, for readers of the live tail.
    pub(super) counted: Vec<RecordBatch>,
    pub(super) dead_letters: Vec<Delivery>,
    /// The offset to read next, by partition; none before the first row of a new partition.
    next_offsets: BTreeMap<i32, Option<i64>>,
    /// Where each partition stood when the last commit was cut.
    cut_offsets: BTreeMap<i32, Option<i64>>,
    /// Counted rows of the commit that is under way.
    committing: Vec<RecordBatch>,
    committing_bytes: usize,
    /// Since when the oldest row of that commit waits; none if no commit with rows is under way.
    committing_since: Option<Instant>,
    bytes: usize,
    began: Instant,
}

impl Cycle {
    pub(super) fn new(next_offsets: BTreeMap<i32, Option<i64>>) -> Self {
        Self {
            rows: Vec::new(),
            counted: Vec::new(),
            dead_letters: Vec::new(),
            cut_offsets: next_offsets.clone(),
            next_offsets,
            committing: Vec::new(),
            committing_bytes: 0,
            committing_since: None,
            bytes: 0,
            began: Instant::now(),
        }
    }

    pub(super) fn has_partition(&self, partition: i32) -> bool {
        self.next_offsets.contains_key(&partition)
    }

    pub(super) fn add_partition(&mut self, partition: i32, next_offset: Option<i64>) {
        self.next_offsets.insert(partition, next_offset);
        self.cut_offsets.insert(partition, next_offset);
    }

    pub(super) fn next_offsets(&self) -> Vec<(i32, Option<i64>)> {
        self.next_offsets.iter().map(|(partition, next)| (*partition, *next)).collect()
    }

    pub(super) fn next_offset(&self, partition: i32) -> Option<i64> {
        self.next_offsets.get(&partition).copied().flatten()
    }

    /// Whether reading has gone beyond the offset already.
    pub(super) fn is_past(&self, partition: i32, offset: i64) -> bool {
        self.next_offsets.get(&partition).copied().flatten().is_some_and(|next| next > offset)
    }

    /// `count` offsets from `offset` on were delivered; the gap before them, if the broker skipped any.
    pub(super) fn advance(&mut self, partition: i32, offset: i64, count: i64) -> Option<Gap> {
        let next = self.next_offsets.entry(partition).or_default();
        // A new partition begins where the broker's log begins, not with a gap.
        let expected = next.unwrap_or(offset);
        if next.is_some() || count > 0 {
            *next = Some(offset + count);
        }
        (expected < offset).then_some(Gap { partition, first: expected, last: offset - 1 })
    }

    pub(super) fn push(&mut self, rows: RecordBatch) {
        if self.rows.is_empty() {
            self.began = Instant::now();
        }
        self.bytes += bytes_of(&rows);
        self.rows.push(rows);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How long the oldest row has waited; without rows, how long ago the last cycle was cut.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Since when the oldest row that is not committed waits.
    pub(super) fn uncommitted_since(&self) -> Option<Instant> {
        self.committing_since.or_else(|| (!self.rows.is_empty()).then_some(self.began))
    }

    /// Rows that wait for their commit, the one under way included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.committing_bytes
    }

    /// Takes the rows out for a commit.
    pub(super) fn cut(&mut self, effective_ms: Option<i64>) -> (ArchiveCommit, Vec<Delivery>) {
        self.committing_since = (!self.rows.is_empty()).then_some(self.began);
        let offsets = self.next_offsets.iter().filter_map(|(partition, next)| {
            let from = self.cut_offsets.get(partition).copied().flatten();
            next.filter(|next| Some(*next) != from).map(|next| (*partition, (from, next)))
        });
        let commit = ArchiveCommit {
            offsets: offsets.collect(),
            rows: std::mem::take(&mut self.rows),
            effective_ms,
            token: token(),
        };
        self.cut_offsets = self.next_offsets.clone();
        self.committing = std::mem::take(&mut self.counted);
        self.committing_bytes = std::mem::take(&mut self.bytes);
        self.began = Instant::now();
        (commit, std::mem::take(&mut self.dead_letters))
    }

    /// The commit under way has succeeded.
    pub(super) fn committed(&mut self) {
        self.committing.clear();
        self.committing_bytes = 0;
        self.committing_since = None;
    }

    /// Counted rows that are not committed yet.
    pub(super) fn tail(&self) -> Vec<RecordBatch> {
        self.committing.iter().chain(&self.counted).cloned().collect()
    }
}

/// Sixty-three random bits.
pub(super) fn token() -> i64 {
    (uuid::Uuid::new_v4().as_u64_pair().1 >> 1).cast_signed()
}

/// The bytes of the rows alone: columns of constants are shared by all batches.
fn bytes_of(rows: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(column.get_array_memory_size());
    rows.columns().iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_offsets_are_gaps() {
        let mut cycle = Cycle::new(BTreeMap::from([(0, Some(5)), (1, None)]));
        assert_eq!(cycle.advance(0, 5, 1), None);
        assert_eq!(cycle.advance(0, 9, 1), Some(Gap { partition: 0, first: 6, last: 8 }));
        assert_eq!(cycle.advance(0, 12, 0), Some(Gap { partition: 0, first: 10, last: 11 }));
        assert!(cycle.is_past(0, 11) && !cycle.is_past(0, 12) && !cycle.is_past(1, 0));
        assert_eq!(cycle.advance(1, 40, 1), None, "a new partition begins where its log begins");
        let (commit, _) = cycle.cut(None);
        assert_eq!(commit.offsets, BTreeMap::from([(0, (Some(5), 12)), (1, (None, 41))]));
        let (commit, _) = cycle.cut(None);
        assert!(commit.offsets.is_empty());
    }
}
