//! What was in Kafka when the process began to read, and whether all of that is committed.

use std::collections::BTreeMap;

use super::{PartitionHealth, Phase, TopicHealth};
use crate::position::{Offset, PartitionId};

impl TopicHealth {
    /// How far a partition's commits have come, with what they have closed published.
    pub fn commits(&mut self, partition: PartitionId, committed: Option<Offset>, has_rows: bool) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            (known.committed, known.has_rows) = (committed, has_rows);
        }
    }

    /// Of what was in Kafka when that was first known, the offset after the last one that is
    /// committed, by partition; none while that is not all of it, or the topic is not read.
    pub fn backlog(&self) -> Option<BTreeMap<PartitionId, Offset>> {
        if self.is_absent {
            return Some(BTreeMap::new());
        }
        if self.phase != Phase::Serving || self.partitions.is_empty() {
            return None;
        }
        let through = |(id, partition): (&PartitionId, &PartitionHealth)| {
            let first_end = partition.first_end?;
            // Behind the last row there may be what is read and never committed, such as the end of
            // a transaction.
            // The other partitions may be busy forever.
            let is_read = partition.position >= first_end && (self.is_settled || !partition.has_rows);
            let is_through = is_read || partition.committed >= Some(first_end);
            is_through.then(|| (*id, partition.committed.unwrap_or_default().min(first_end)))
        };
        self.partitions.iter().map(through).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn through(offsets: &[(i32, i64)]) -> BTreeMap<PartitionId, Offset> {
        offsets.iter().map(|(partition, offset)| (PartitionId(*partition), Offset(*offset))).collect()
    }

    #[test]
    fn a_backlog_is_what_was_there_at_first_and_is_over_once_it_is_committed() {
        let now = Instant::now();
        let mut topic = TopicHealth::default();
        assert_eq!(topic.backlog(), None, "it is not read yet");
        topic.phase = Phase::Serving;
        assert_eq!(topic.backlog(), None, "its partitions are not known");
        topic.reads(PartitionId(0), Offset(0), Some(Offset(30)), now);
        topic.reads(PartitionId(1), Offset(0), None, now);
        topic.reads(PartitionId(0), Offset(30), Some(Offset(50)), now);
        topic.commits(PartitionId(0), Some(Offset(29)), true);
        assert_eq!(topic.backlog(), None, "the end of a partition is not known");
        topic.reads(PartitionId(1), Offset(0), Some(Offset(0)), now);
        assert_eq!(topic.backlog(), None, "its last row waits for its commit");
        topic.commits(PartitionId(0), Some(Offset(30)), true);
        topic.commits(PartitionId(1), Some(Offset(0)), true);
        assert_eq!(topic.backlog(), Some(through(&[(0, 30), (1, 0)])), "what came since is not waited for");
        topic.phase = Phase::Waiting("its broker is away".to_owned());
        assert_eq!(topic.backlog(), None);
    }

    #[test]
    fn what_is_read_and_is_no_row_is_not_waited_for() {
        let now = Instant::now();
        let settled = TopicHealth { phase: Phase::Serving, is_settled: true, ..TopicHealth::default() };
        let mut topic = settled.clone();
        topic.reads(PartitionId(0), Offset(0), Some(Offset(0)), now);
        assert_eq!(topic.backlog(), Some(through(&[(0, 0)])), "an empty topic");
        // The end of a transaction is offset 9; of the partition 1, retention has deleted
        // everything.
        let mut topic = settled;
        topic.reads(PartitionId(0), Offset(10), Some(Offset(10)), now);
        topic.commits(PartitionId(0), Some(Offset(9)), true);
        topic.reads(PartitionId(1), Offset(500), Some(Offset(500)), now);
        assert_eq!(topic.backlog(), Some(through(&[(0, 9), (1, 0)])));
    }

    #[test]
    fn an_empty_partition_does_not_wait_for_the_busy_ones() {
        let now = Instant::now();
        let mut topic = TopicHealth { phase: Phase::Serving, is_settled: false, ..TopicHealth::default() };
        for partition in [0, 1] {
            topic.reads(PartitionId(partition), Offset(500), Some(Offset(500)), now);
        }
        topic.commits(PartitionId(0), Some(Offset(500)), true);
        topic.commits(PartitionId(1), None, false);
        assert_eq!(topic.backlog(), Some(through(&[(0, 500), (1, 0)])));
        topic.commits(PartitionId(1), None, true);
        assert_eq!(topic.backlog(), None, "its first rows wait for their commit");
    }

    #[test]
    fn a_topic_that_does_not_exist_has_no_backlog() {
        let waiting = Phase::Waiting("the topic does not exist in Kafka yet".to_owned());
        let topic = TopicHealth { phase: waiting, is_absent: true, ..TopicHealth::default() };
        assert_eq!(topic.backlog(), Some(BTreeMap::new()));
    }
}
