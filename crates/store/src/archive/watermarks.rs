//! How far event time had come with a commit: of each partition, and of the topic, which is the
//! smallest of them.
//!
//! A commit carries `LOG/TOPIC/PARTITION/watermark` for each partition whose watermark it raises,
//! and `LOG/TOPIC/M` for the topic. Older versions wrote and read the second alone: where a
//! partition has none of its own, the topic's is its.

use std::collections::BTreeMap;

use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;

use crate::error::StoreError;
use crate::table::Table;

/// What was committed of one log.
#[derive(Debug, Clone, Default)]
pub(super) struct Watermarks {
    of_topic: Option<Watermark>,
    /// Of partitions that have one of their own.
    of_partitions: BTreeMap<PartitionId, Watermark>,
}

impl Watermarks {
    /// Of a topic whose logs, the one that is read last, are these. What the topic has come to
    /// survives a log that was created again.
    pub(super) async fn of_topic(
        table: &Table,
        logs: impl IntoIterator<Item = &str>,
        kafka_topic: &str,
    ) -> Result<Self, StoreError> {
        let mut of_topic = None;
        for log in logs {
            let found = table.transaction(&topic_application(log, kafka_topic)).await?;
            of_topic = of_topic.max(found.map(Watermark::from_ms));
        }
        Ok(Self { of_topic, of_partitions: BTreeMap::new() })
    }

    /// Learns what a partition of the log has; whether it has any of its own.
    pub(super) async fn learn(
        &mut self,
        table: &Table,
        log: &str,
        kafka_topic: &str,
        partition: PartitionId,
    ) -> Result<bool, StoreError> {
        let found = table.transaction(&partition_application(log, kafka_topic, partition)).await?;
        self.of_partitions.extend(found.map(|ms| (partition, Watermark::from_ms(ms))));
        Ok(found.is_some())
    }

    /// The topic's: the smallest of its partitions', once every one has one. An older version that
    /// went on here raised the topic's alone.
    pub(super) fn topic(&self) -> Option<Watermark> {
        let of_topic = self.of_topic?;
        let smallest = self.of_partitions.values().copied().min();
        Some(smallest.map_or(of_topic, |smallest| smallest.max(of_topic)))
    }

    /// A partition's, which is never behind the topic's.
    pub(super) fn partition(&self, partition: PartitionId) -> Option<Watermark> {
        self.of_partitions.get(&partition).copied().max(self.topic())
    }

    /// The transactions of a commit that raises watermarks: none goes back, and one that stays is
    /// not written again.
    pub(super) fn raising(
        &self,
        log: &str,
        kafka_topic: &str,
        topic: Option<Watermark>,
        partitions: &BTreeMap<PartitionId, Watermark>,
    ) -> Vec<(String, i64)> {
        let raised = partitions.iter().filter(|(partition, to)| self.of_partitions.get(partition) < Some(*to));
        let raised = raised.map(|(partition, to)| (partition_application(log, kafka_topic, *partition), to.ms()));
        let of_topic = topic.max(self.of_topic).map(|to| (topic_application(log, kafka_topic), to.ms()));
        raised.chain(of_topic).collect()
    }

    /// A commit has raised these.
    pub(super) fn raise(&mut self, topic: Option<Watermark>, partitions: &BTreeMap<PartitionId, Watermark>) {
        self.of_topic = self.of_topic.max(topic);
        for (partition, to) in partitions {
            let known = self.of_partitions.entry(*partition).or_insert(*to);
            *known = (*known).max(*to);
        }
    }
}

/// Of a log that is read without its broker: partitions are numbered from 0, and once the topic has
/// a watermark each of them has one, but for those that came since, which stand where the topic
/// stands.
pub(super) async fn stored(table: &Table, log: &str, kafka_topic: &str) -> Result<Option<Watermark>, StoreError> {
    let mut watermarks = Watermarks::of_topic(table, [log], kafka_topic).await?;
    if watermarks.of_topic.is_some() {
        let mut partition = 0;
        while watermarks.learn(table, log, kafka_topic, PartitionId(partition)).await? {
            partition += 1;
        }
    }
    Ok(watermarks.topic())
}

/// What older versions wrote too.
pub(super) fn topic_application(log: &str, kafka_topic: &str) -> String {
    format!("{log}/{kafka_topic}/M")
}

fn partition_application(log: &str, kafka_topic: &str, partition: PartitionId) -> String {
    format!("{log}/{kafka_topic}/{partition}/watermark")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: BTreeMap<PartitionId, Watermark> = BTreeMap::new();

    const ZERO: PartitionId = PartitionId(0);
    const ONE: PartitionId = PartitionId(1);

    fn ms(ms: i64) -> Watermark {
        Watermark::from_ms(ms)
    }

    #[test]
    fn a_directory_of_an_older_version_has_the_topics_for_all() {
        let mut watermarks = Watermarks { of_topic: Some(ms(10)), ..Watermarks::default() };
        assert_eq!((watermarks.topic(), watermarks.partition(PartitionId(3))), (Some(ms(10)), Some(ms(10))));
        watermarks.raise(Some(ms(12)), &BTreeMap::from([(ZERO, ms(20)), (ONE, ms(12))]));
        assert_eq!((watermarks.topic(), watermarks.partition(ZERO)), (Some(ms(12)), Some(ms(20))));
        // It goes on there, and raises the topic's alone.
        watermarks.raise(Some(ms(15)), &NOTHING);
        assert_eq!([ZERO, ONE].map(|partition| watermarks.partition(partition)), [Some(ms(20)), Some(ms(15))]);
    }

    #[test]
    fn nothing_goes_back_and_what_stays_is_not_written_again() {
        let mut watermarks = Watermarks::default();
        assert_eq!(
            watermarks.raising("log", "t", None, &BTreeMap::from([(ZERO, ms(5))])),
            [("log/t/0/watermark".into(), 5)]
        );
        watermarks.raise(Some(ms(5)), &BTreeMap::from([(ZERO, ms(9)), (ONE, ms(5))]));
        let back = BTreeMap::from([(ZERO, ms(8)), (ONE, ms(6))]);
        let written = watermarks.raising("log", "t", Some(ms(4)), &back);
        assert_eq!(written, [("log/t/1/watermark".to_owned(), 6), ("log/t/M".to_owned(), 5)]);
        watermarks.raise(Some(ms(4)), &back);
        assert_eq!((watermarks.topic(), watermarks.partition(ZERO)), (Some(ms(6)), Some(ms(9))));
    }

    #[test]
    fn a_topic_without_a_watermark_has_none_whatever_some_partitions_have() {
        let mut watermarks = Watermarks::default();
        watermarks.raise(None, &BTreeMap::from([(ZERO, ms(9))]));
        assert_eq!(
            (watermarks.topic(), watermarks.partition(ZERO), watermarks.partition(ONE)),
            (None, Some(ms(9)), None)
        );
    }
}
