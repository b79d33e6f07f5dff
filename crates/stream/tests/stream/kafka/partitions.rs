//! Partitions that a topic gains while it is read, and those that are held back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewPartitions};
use vitral_connect::Source;
use vitral_connect_kafka::KafkaSource;
use vitral_schemas::position::{Offset, PartitionId};

use super::world::kafka;
use crate::partitions::added_partitions_are_read;
use crate::world::{PATIENCE, Shop, event};

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_while_running_are_read_from_their_beginning() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let to = shop.clone();
    let add_two = async || {
        let topic = to.topic.kafka_topic.as_str();
        let made = to.broker.admin().create_partitions(&[NewPartitions::new(topic, 3)], &AdminOptions::new()).await;
        for outcome in made.expect("answered") {
            outcome.expect("made");
        }
        let source = KafkaSource::new(&to.broker.config, topic, 1 << 20).expect("a source");
        let began = Instant::now();
        while source.log().partitions().expect("the partitions").len() < 3 {
            assert!(began.elapsed() < PATIENCE, "the broker does not know its new partitions");
        }
    };
    // A producer that is there already learns of them later.
    added_partitions_are_read(shop, add_two, |partition, events| to.produce_with(&[], partition, events)).await;
}

/// What a partition that is held back has is read once it goes on, and each message once.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_held_back_loses_nothing() {
    const EVENTS: usize = 300;
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 2).await;
    let events: Vec<Vec<u8>> = (0..EVENTS).map(|id| event(id, "p1", "clique")).collect();
    for partition in [0, 1] {
        shop.produce_to(partition, &events[..100]);
    }
    let mut source = KafkaSource::new(&shop.broker.config, &shop.topic.kafka_topic, 1 << 20).expect("a source");
    let [zero, one] = [0, 1].map(PartitionId);
    source.assign(&BTreeMap::from([(zero, None), (one, None)])).expect("assigned");
    let mut found = [Vec::new(), Vec::new()];
    let read_until = |source: &mut KafkaSource, found: &mut [Vec<i64>; 2], done: &dyn Fn(&[Vec<i64>; 2]) -> bool| {
        let began = Instant::now();
        while !done(found) {
            assert!(began.elapsed() < PATIENCE, "{found:?}");
            let polled = source.poll(Duration::from_millis(50), 64).expect("polled");
            for batch in &polled.batches {
                let offsets = (0..batch.len()).map(|row| batch.offset(row).0);
                found[usize::from(batch.partition == one)].extend(offsets);
            }
        }
    };
    read_until(&mut source, &mut found, &|found| found[0].len() == 100 && found[1].len() == 100);
    for round in 1..3_usize {
        source.hold(&BTreeSet::from([zero]));
        let (from, to) = (round * 100, round * 100 + 100);
        for partition in [0, 1] {
            shop.produce_to(partition, &events[from..to]);
        }
        read_until(&mut source, &mut found, &|found| found[1].len() == to);
        assert_eq!(found[0].len(), from, "it waits");
        source.hold(&BTreeSet::new());
        read_until(&mut source, &mut found, &|found| found[0].len() == to);
    }
    let all: Vec<i64> = (0..EVENTS as i64).collect();
    assert_eq!(found, [all.clone(), all]);

    // Assigned again, both are read again.
    source.hold(&BTreeSet::from([one]));
    source.assign(&BTreeMap::from([(zero, Some(Offset(290))), (one, Some(Offset(280)))])).expect("assigned");
    let mut found = [Vec::new(), Vec::new()];
    read_until(&mut source, &mut found, &|found| found[0].len() == 10 && found[1].len() == 20);
}
