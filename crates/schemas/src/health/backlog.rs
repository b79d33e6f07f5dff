//! What was in Kafka when the process began to read, and whether all of that is committed.

use std::collections::BTreeMap;

use super::{PartitionHealth, Phase, TopicHealth};

impl TopicHealth {
    /// How far a partition's commits have come, with what they have closed published.
    pub fn commits(&mut self, partition: i32, committed: Option<i64>) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.committed = committed;
        }
    }

    /// Of what was in Kafka when that was first known, the offset after the last one that is committed, by partition; none while that is not
    /// all of it, or the topic is not read.
    pub fn backlog(&self) -> Option<BTreeMap<i32, i64>> {
        if self.phase != Phase::Serving || self.partitions.is_empty() {
            return None;
        }
        let through = |(id, partition): (&i32, &PartitionHealth)| {
            let first_end = partition.first_end?;
            // Behind the last row there may be what is read and never committed, such as the end of a transaction.
            let is_read = partition.position >= first_end && self.is_settled;
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

    #[test]
    fn a_backlog_is_what_was_there_at_first_and_is_over_once_it_is_committed() {
        let now = Instant::now();
        let mut topic = TopicHealth::default();
        assert_eq!(topic.backlog(), None, "it is not read yet");
        topic.phase = Phase::Serving;
        assert_eq!(topic.backlog(), None, "its partitions are not known");
        topic.reads(0, 0, Some(30), now);
        topic.reads(1, 0, None, now);
        topic.reads(0, 30, Some(50), now);
        topic.commits(0, Some(29));
        assert_eq!(topic.backlog(), None, "the end of a partition is not known");
        topic.reads(1, 0, Some(0), now);
        assert_eq!(topic.backlog(), None, "its last row waits for its commit");
        topic.commits(0, Some(30));
        topic.commits(1, Some(0));
        assert_eq!(topic.backlog(), Some([(0, 30), (1, 0)].into()), "what came since is not waited for");
        topic.phase = Phase::Waiting("its broker is away".to_owned());
        assert_eq!(topic.backlog(), None);
    }

    #[test]
    fn what_is_read_and_is_no_row_is_not_waited_for() {
        let now = Instant::now();
        let settled = TopicHealth { phase: Phase::Serving, is_settled: true, ..TopicHealth::default() };
        let mut topic = settled.clone();
        topic.reads(0, 0, Some(0), now);
        assert_eq!(topic.backlog(), Some([(0, 0)].into()), "an empty topic");
        // The end of a transaction is offset 9; of the partition 1, retention has deleted everything.
        let mut topic = settled;
        topic.reads(0, 10, Some(10), now);
        topic.commits(0, Some(9));
        topic.reads(1, 500, Some(500), now);
        assert_eq!(topic.backlog(), Some([(0, 9), (1, 0)].into()));
    }
}
