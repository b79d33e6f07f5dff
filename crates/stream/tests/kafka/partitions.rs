//! Partitions that a topic gains while it is read.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewPartitions};
use vitral_stream::StreamConfig;
use vitral_stream::kafka::Source;

use crate::world::{PATIENCE, Shop, archived, end, event, kafka, product_views, views, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_while_running_are_read_from_their_beginning() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) =
        shop.start_with(StreamConfig { partitions_every: Duration::from_millis(200), ..shop.config(dir.path()) });
    let events: Vec<Vec<u8>> = (0..40).map(|id| event(id, "p1", "clique")).collect();
    shop.produce_to(0, &events[..10]).await;
    wait_for(&mut view, "the first partition is read", |seen| seen.read == 10).await;

    let topic = shop.topic.kafka_topic.as_str();
    let made = shop.admin().create_partitions(&[NewPartitions::new(topic, 3)], &AdminOptions::new()).await;
    for outcome in made.expect("answered") {
        outcome.expect("made");
    }
    let source = Source::new(&shop.kafka, topic, 1 << 20).expect("a source");
    let began = Instant::now();
    while source.partitions().expect("the partitions").len() < 3 {
        assert!(began.elapsed() < PATIENCE, "the broker does not know its new partitions");
    }
    // A producer that is there already learns of them later.
    for (partition, events) in [(1, &events[10..20]), (2, &events[20..30])] {
        shop.produce_with(&[], partition, events).await;
    }
    let seen = wait_for(&mut view, "all partitions are read", |seen| seen.read == 30).await;
    assert_eq!(seen.counted, 30, "{seen:?}");
    end(stream).await;

    let (stream, mut view) = shop.start(dir.path());
    shop.produce_with(&[], 2, &events[30..]).await;
    let seen = wait_for(&mut view, "a restart goes on in all of them", |seen| seen.read == 40).await;
    assert_eq!(seen.counted, 40, "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 40)]));
    let rows = archived(&view).await;
    let of = |partition: i32| rows.iter().filter(|row| row.partition == partition).count();
    assert_eq!([of(0), of(1), of(2)], [10, 10, 20]);
}
