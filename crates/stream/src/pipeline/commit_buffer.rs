//! What has been read since the last commit was submitted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch};
use vitral_connect::Delivery;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::{Advance, ArchiveCommit};

use crate::archive_rows::Gap;

pub(super) struct CommitBuffer {
    rows: Vec<RecordBatch>,
    /// Counted rows of the next commit, for readers of the live tail.
    pub(super) counted: Vec<RecordBatch>,
    pub(super) dead_letters: Vec<Delivery>,
    /// The offset to read next, by partition; none before the first row of a new partition.
    next_offsets: BTreeMap<PartitionId, Option<Offset>>,
    /// Where each partition stood when the last commit was taken.
    taken_offsets: BTreeMap<PartitionId, Option<Offset>>,
    /// The same of the last commit that has succeeded, and of which everything that it has closed
    /// is published.
    committed_offsets: BTreeMap<PartitionId, Option<Offset>>,
    /// Counted rows of the commit that is under way.
    committing: Vec<RecordBatch>,
    committing_bytes: usize,
    /// Since when the oldest row of that commit waits; none if no commit with rows is under way.
    committing_since: Option<Instant>,
    bytes: usize,
    began: Instant,
}

impl CommitBuffer {
    pub(super) fn new(next_offsets: BTreeMap<PartitionId, Option<Offset>>) -> Self {
        Self {
            rows: Vec::new(),
            counted: Vec::new(),
            dead_letters: Vec::new(),
            taken_offsets: next_offsets.clone(),
            committed_offsets: next_offsets.clone(),
            next_offsets,
            committing: Vec::new(),
            committing_bytes: 0,
            committing_since: None,
            bytes: 0,
            began: Instant::now(),
        }
    }

    pub(super) fn has_partition(&self, partition: PartitionId) -> bool {
        self.next_offsets.contains_key(&partition)
    }

    pub(super) fn add_partition(&mut self, partition: PartitionId, next_offset: Option<Offset>) {
        self.next_offsets.insert(partition, next_offset);
        self.taken_offsets.insert(partition, next_offset);
        self.committed_offsets.insert(partition, next_offset);
    }

    pub(super) fn next_offsets(&self) -> &BTreeMap<PartitionId, Option<Offset>> {
        &self.next_offsets
    }

    pub(super) fn next_offset(&self, partition: PartitionId) -> Option<Offset> {
        self.next_offsets.get(&partition).copied().flatten()
    }

    /// The offset after the last one that is committed, with what that has closed published.
    pub(super) fn committed_offset(&self, partition: PartitionId) -> Option<Offset> {
        self.committed_offsets.get(&partition).copied().flatten()
    }

    /// Whether reading has passed the offset already.
    pub(super) fn is_past(&self, partition: PartitionId, offset: Offset) -> bool {
        self.next_offset(partition).is_some_and(|next| next > offset)
    }

    /// `count` offsets from `offset` on were delivered; the gap before them, if the broker skipped
    /// any.
    pub(super) fn advance(&mut self, partition: PartitionId, offset: Offset, count: i64) -> Option<Gap> {
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

    /// How long the oldest row has waited; without rows, how long ago the last commit was taken.
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

    /// Takes the rows out for a commit, which carries how far event time has come. `standing` is
    /// how far reading had come before rows that are not here yet; none if all that was read is
    /// here.
    pub(super) fn take(
        &mut self,
        watermarks: &Watermarks,
        standing: Option<&BTreeMap<PartitionId, Option<Offset>>>,
    ) -> (ArchiveCommit, Vec<Delivery>) {
        self.committing_since = (!self.rows.is_empty()).then_some(self.began);
        let next_offsets = standing.unwrap_or(&self.next_offsets);
        let offsets = next_offsets.iter().filter_map(|(partition, next)| {
            let from = self.taken_offsets.get(partition).copied().flatten();
            let next = next.filter(|next| Some(*next) != from)?;
            Some((*partition, Advance { from, to: next }))
        });
        let commit = ArchiveCommit {
            offsets: offsets.collect(),
            rows: std::mem::take(&mut self.rows),
            watermark: watermarks.of_topic(),
            watermarks: watermarks.by_partition().collect(),
            token: token(),
        };
        // A partition that was found meanwhile stays where it began.
        self.taken_offsets.extend(next_offsets);
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

    /// Nothing is under way any more, neither a commit nor the publication of what one has closed.
    pub(super) fn settled(&mut self) {
        self.committed_offsets.clone_from(&self.taken_offsets);
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
pub(super) fn bytes_of(rows: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(column.get_array_memory_size());
    rows.columns().iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_offsets_are_gaps() {
        let [zero, one] = [0, 1].map(PartitionId);
        let gap = |first, last| Some(Gap { partition: zero, first: Offset(first), last: Offset(last) });
        let mut buffer = CommitBuffer::new(BTreeMap::from([(zero, Some(Offset(5))), (one, None)]));
        assert_eq!(buffer.advance(zero, Offset(5), 1), None);
        assert_eq!(buffer.advance(zero, Offset(9), 1), gap(6, 8));
        assert_eq!(buffer.advance(zero, Offset(12), 0), gap(10, 11));
        assert!(
            buffer.is_past(zero, Offset(11)) && !buffer.is_past(zero, Offset(12)) && !buffer.is_past(one, Offset(0))
        );
        assert_eq!(buffer.advance(one, Offset(40), 1), None, "a new partition begins where its log begins");
        let watermarks = Watermarks::new(0, 0, None);
        let before = BTreeMap::from([(zero, Some(Offset(9)))]);
        let advance = |from: Option<i64>, to| Advance { from: from.map(Offset), to: Offset(to) };
        let (commit, _) = buffer.take(&watermarks, Some(&before));
        assert_eq!(commit.offsets, BTreeMap::from([(zero, advance(Some(5), 9))]), "what waits is left for later");
        let (commit, _) = buffer.take(&watermarks, None);
        assert_eq!(commit.offsets, BTreeMap::from([(zero, advance(Some(9), 12)), (one, advance(None, 41))]));
        let (commit, _) = buffer.take(&watermarks, None);
        assert!(commit.offsets.is_empty());
        assert_eq!(buffer.committed_offset(zero), Some(Offset(5)), "they are under way");
        buffer.committed();
        buffer.settled();
        assert_eq!([zero, one].map(|id| buffer.committed_offset(id)), [Some(Offset(12)), Some(Offset(41))]);
    }
}
