//! The messages of a poll as columns, with the rows of each partition: found once, and used by
//! every step.

use std::ops::Range;

use vitral_connect::PartitionBatch;
use vitral_schemas::position::{Offset, PartitionId};

/// The rows of a batch that are of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRows {
    /// Their partition.
    pub partition: PartitionId,
    /// Where they are in the batch.
    pub rows: Range<usize>,
}

/// Messages that are decoded together, ordered by partition and offset.
pub(crate) struct MessageBatch<'a> {
    pub offsets: Vec<Offset>,
    /// None is a tombstone.
    pub payloads: Vec<Option<&'a [u8]>>,
    pub partitions: Vec<PartitionRows>,
    /// For each of them, where its rows come from and how many of it came before them.
    origins: Vec<(&'a PartitionBatch, usize)>,
}

impl<'a> MessageBatch<'a> {
    /// In parts of at most so many payload bytes, each of at least one message.
    pub fn parts(batches: &'a [PartitionBatch], bytes_max: usize) -> Vec<Self> {
        let count = batches.iter().map(PartitionBatch::len).sum();
        let mut whole = Self::with_capacity(count);
        for batch in batches {
            let first = whole.offsets.len();
            batch.append_to(&mut whole.offsets, &mut whole.payloads);
            whole.partitions.push(PartitionRows { partition: batch.partition, rows: first..whole.offsets.len() });
            whole.origins.push((batch, 0));
        }
        whole.split(bytes_max)
    }

    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn key(&self, row: usize) -> Option<&'a [u8]> {
        let index = self.partitions.iter().position(|partition| partition.rows.contains(&row))?;
        let (batch, before) = self.origins[index];
        batch.key(before + row - self.partitions[index].rows.start)
    }

    pub fn partition_of(&self, row: usize) -> PartitionId {
        let found = self.partitions.iter().find(|partition| partition.rows.contains(&row));
        found.map(|partition| partition.partition).unwrap_or_default()
    }

    /// Rows of one partition whose offsets follow each other: the first offset, and how many.
    pub fn runs(&self, partition: &PartitionRows) -> impl Iterator<Item = (Offset, i64)> {
        let offsets = &self.offsets[partition.rows.clone()];
        offsets.chunk_by(|a, b| *a + 1 == *b).map(|run| (run[0], run.len() as i64))
    }

    fn with_capacity(count: usize) -> Self {
        let (offsets, payloads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { offsets, payloads, partitions: Vec::new(), origins: Vec::new() }
    }

    fn split(self, bytes_max: usize) -> Vec<Self> {
        let bytes = |payload: &Option<&[u8]>| payload.map_or(0, <[u8]>::len);
        if self.payloads.is_empty() {
            return Vec::new();
        }
        if self.payloads.iter().map(bytes).sum::<usize>() <= bytes_max {
            return vec![self];
        }
        let (mut parts, mut first) = (Vec::new(), 0);
        while first < self.len() {
            let mut sum = 0;
            let fitting = self.payloads[first..].iter().take_while(|payload| {
                sum += bytes(payload);
                sum <= bytes_max
            });
            let next = first + fitting.count().max(1);
            parts.push(self.slice(first..next));
            first = next;
        }
        parts
    }

    fn slice(&self, rows: Range<usize>) -> Self {
        let mut part = Self::with_capacity(rows.len());
        part.offsets.extend_from_slice(&self.offsets[rows.clone()]);
        part.payloads.extend_from_slice(&self.payloads[rows.clone()]);
        for (PartitionRows { partition, rows: all }, (batch, before)) in self.partitions.iter().zip(&self.origins) {
            let (start, end) = (all.start.max(rows.start), all.end.min(rows.end));
            if start < end {
                let own = start - rows.start..end - rows.start;
                part.partitions.push(PartitionRows { partition: *partition, rows: own });
                part.origins.push((batch, before + start - all.start));
            }
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use vitral_connect::Messages;

    use super::*;

    /// Messages with these offsets, whose keys are their offsets, of ten bytes each.
    struct Tens(Vec<(i64, [u8; 1])>);

    impl Messages for Tens {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn offset(&self, row: usize) -> Offset {
            Offset(self.0[row].0)
        }

        fn payload(&self, _: usize) -> Option<&[u8]> {
            Some(b"0123456789")
        }

        fn key(&self, row: usize) -> Option<&[u8]> {
            Some(&self.0[row].1)
        }
    }

    fn of(partition: i32, offsets: Range<i64>) -> PartitionBatch {
        let messages = offsets.map(|offset| (offset, [u8::try_from(offset).expect("a byte")])).collect();
        PartitionBatch::new(PartitionId(partition), Box::new(Tens(messages)))
    }

    #[test]
    fn what_is_too_large_is_cut_and_nothing_is_lost_or_mixed_up() {
        let mut first = of(0, 0..7);
        assert_eq!(first.skip_before(Offset(2)), 2);
        let batches = [first, of(3, 40..44)];
        for bytes_max in [1, 10, 25, 40, 1_000] {
            let parts = MessageBatch::parts(&batches, bytes_max);
            let mut seen = Vec::new();
            for part in &parts {
                assert!(part.len() <= (bytes_max / 10).max(1), "{bytes_max}");
                assert_eq!(part.partitions.last().expect("rows").rows.end, part.len());
                for row in 0..part.len() {
                    assert_eq!(part.key(row), Some(&[part.offsets[row].0 as u8][..]), "{bytes_max}");
                    seen.push((part.partition_of(row).0, part.offsets[row].0));
                }
            }
            let expected = (2..7).map(|offset| (0, offset)).chain((40..44).map(|offset| (3, offset)));
            assert_eq!(seen, expected.collect::<Vec<_>>(), "{bytes_max}");
        }
        assert!(MessageBatch::parts(&[], 10).is_empty());
    }

    #[test]
    fn offsets_that_follow_each_other_are_one_run() {
        let batches = [of(1, 5..8)];
        let part = MessageBatch::parts(&batches, 1_000).remove(0);
        assert_eq!(part.runs(&part.partitions[0]).collect::<Vec<_>>(), [(Offset(5), 3)]);
        let messages = [1, 2, 5, 9, 10].map(|offset| (offset, [0]));
        let batches = [PartitionBatch::new(PartitionId(1), Box::new(Tens(messages.to_vec())))];
        let part = MessageBatch::parts(&batches, 1_000).remove(0);
        let runs: Vec<_> = part.runs(&part.partitions[0]).map(|(first, count)| (first.0, count)).collect();
        assert_eq!(runs, [(1, 2), (5, 1), (9, 2)]);
    }
}
