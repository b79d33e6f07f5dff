//! Partitions that a topic gains while it is read, and those that are far ahead of others.

use std::ops::Range;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use vitral_schemas::position::PartitionId;
use vitral_stream::{StreamConfig, StreamTelemetry, TopicLabel};

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, PATIENCE, Shop, TestBroker, archived, completeness, end, event, event_at,
    product_views, views, wait_for, wait_for_archive,
};

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_while_running_are_read_from_their_beginning() {
    let shop = Shop::new(1);
    let to = shop.clone();
    let add_two = async || to.broker.add_partitions(&to.topic.kafka_topic, 2);
    added_partitions_are_read(shop, add_two, |partition, events| to.produce_to(partition, events)).await;
}

/// On a topic of one partition, which gains two.
pub async fn added_partitions_are_read<B: TestBroker>(
    shop: Shop<B>,
    add_two: impl AsyncFnOnce(),
    produce_to: impl Fn(i32, &[Vec<u8>]),
) {
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) =
        shop.start_with(StreamConfig { partitions_every: Duration::from_millis(200), ..shop.config(dir.path()) });
    let events: Vec<Vec<u8>> = (0..40).map(|id| event(id, "p1", "clique")).collect();
    shop.produce_to(0, &events[..10]);
    wait_for(&mut view, "the first partition is read", |seen| seen.read == 10).await;

    add_two().await;
    for (partition, events) in [(1, &events[10..20]), (2, &events[20..30])] {
        produce_to(partition, events);
    }
    let seen = wait_for(&mut view, "all partitions are read", |seen| seen.read == 30).await;
    assert_eq!(seen.counted, 30, "{seen:?}");
    end(stream).await;

    let (stream, mut view) = shop.start(dir.path());
    produce_to(2, &events[30..]);
    let seen = wait_for(&mut view, "a restart goes on in all of them", |seen| seen.read == 40).await;
    assert_eq!(seen.counted, 40, "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 40)]));
    let rows = archived(&view).await;
    let of = |partition: i32| rows.iter().filter(|row| row.partition == partition).count();
    assert_eq!([of(0), of(1), of(2)], [10, 10, 20]);
}

/// Of two partitions with a backlog of days one is read first; nothing of the other is late for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_days_counts_whole_however_uneven_it_is_read() {
    const EVENTS: usize = 3_000;
    let shop = Shop::new(2);
    let dir = tempfile::tempdir().expect("a folder");
    let begin_ms = chrono::Utc::now().timestamp_millis() - 40 * 24 * HOUR_MS;
    for partition in [0, 1] {
        // One of them has its days in a hundredth of the bytes.
        let padding = " ".repeat(if partition == 0 { 0 } else { 4_000 });
        let events: Vec<Vec<u8>> = (0..EVENTS)
            .map(|id| {
                let event = event_at(id, "p1", "clique", begin_ms + id as i64 * 15 * MINUTE_MS);
                [event, padding.clone().into_bytes()].concat()
            })
            .collect();
        shop.produce_to(partition, &events);
    }
    let config = StreamConfig { batch_rows: 100, ..shop.config(dir.path()) };
    let (stream, mut view) = shop.start_with(config);
    let seen = wait_for(&mut view, "all is read", |seen| seen.read == 2 * EVENTS as u64).await;
    assert_eq!((seen.counted, seen.late), (2 * EVENTS as u64, 0), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 2 * EVENTS as i64)]));
}

/// One event of the partition for each of these hours, which begin 40 days before noon.
fn hourly(partition: usize, hours: Range<usize>) -> Vec<Vec<u8>> {
    let time_ms = |hour: usize| NOON_MS - 40 * 24 * HOUR_MS + hour as i64 * HOUR_MS;
    hours.map(|hour| event_at(10 * hour + partition, "p1", "clique", time_ms(hour))).collect()
}

/// Waits until so many partitions are held back.
async fn wait_for_held(shop: &Shop, telemetry: &StreamTelemetry, count: i64) {
    let held = telemetry.gauges.held_partitions.get_or_create_owned(&TopicLabel { topic: shop.topic.name.clone() });
    let began = Instant::now();
    while held.get() != count {
        assert!(began.elapsed() < PATIENCE, "{} partitions are held, not {count}", held.get());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Partition 0 is read in no time, partition 1 slowly; 2 is at its end. Whether 1 has seen an event
/// yet makes no difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_far_ahead_of_a_slow_one_is_not_read_until_that_has_come_nearer() {
    const HOURS: usize = 400;
    const SLOW: PartitionId = PartitionId(1);
    for begun in [1, 0] {
        let (shop, _clock) = Shop::at_noon(3);
        let dir = tempfile::tempdir().expect("a folder");
        let telemetry = StreamTelemetry::register(&mut Registry::default());
        let (stream, mut view) = shop.start_observed(shop.config(dir.path()), telemetry.clone());
        shop.produce_to(1, &hourly(1, 0..begun));
        shop.produce_to(2, &hourly(2, 0..1));
        wait_for(&mut view, "they have begun", |seen| seen.read == begun as u64 + 1).await;
        shop.broker.withhold(&shop.topic.kafka_topic, SLOW, true).expect("withheld");
        shop.produce_to(1, &hourly(1, begun..HOURS));
        shop.produce_to(0, &hourly(0, 0..HOURS));
        wait_for_held(&shop, &telemetry, 1).await;

        // What comes now is left where it is, though others are read.
        shop.produce_to(0, &hourly(0, HOURS..HOURS + 1));
        shop.produce_to(2, &hourly(2, 1..2));
        wait_for_archive(&mut view, 2, 2).await;
        let rows = archived(&view).await;
        assert!(!rows.iter().any(|row| row.partition == 0 && row.last >= HOURS as i64), "{begun}: {:?}", rows.last());
        let seen = completeness(&view.borrow());
        assert_eq!(seen.late, 0, "{seen:?}");

        shop.broker.withhold(&shop.topic.kafka_topic, SLOW, false).expect("let go");
        let sent = (2 * HOURS + 3) as u64;
        let seen = wait_for(&mut view, "all is read", |seen| seen.read == sent).await;
        assert_eq!((seen.counted, seen.late), (sent, 0), "{begun}: {seen:?}");
        wait_for_held(&shop, &telemetry, 0).await;
        end(stream).await;
        assert_eq!(product_views(&view).await, views([("p1", sent as i64)]));
    }
}

/// Nobody knows when more of it will come, or whether.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_events_keeps_nobody_waiting_while_its_broker_does_not_answer() {
    const HOURS: usize = 400;
    const SILENT: PartitionId = PartitionId(1);
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let telemetry = StreamTelemetry::register(&mut Registry::default());
    let (stream, mut view) = shop.start_observed(shop.config(dir.path()), telemetry.clone());
    shop.broker.withhold(&shop.topic.kafka_topic, SILENT, true).expect("withheld");
    shop.produce_to(1, &hourly(1, 0..10));
    shop.produce_to(0, &hourly(0, 0..HOURS));
    wait_for_held(&shop, &telemetry, 1).await;
    shop.broker.silence(&shop.topic.kafka_topic, SILENT, true).expect("silenced");
    clock.set_ms(NOON_MS + shop.topic.idle_ms);
    wait_for_held(&shop, &telemetry, 0).await;
    shop.produce_to(0, &hourly(0, HOURS..2 * HOURS));
    wait_for(&mut view, "the other is read", |seen| seen.read == 2 * HOURS as u64).await;

    shop.broker.silence(&shop.topic.kafka_topic, SILENT, false).expect("it speaks");
    shop.broker.withhold(&shop.topic.kafka_topic, SILENT, false).expect("let go");
    let seen = wait_for(&mut view, "both are read", |seen| seen.read == 2 * HOURS as u64 + 10).await;
    assert_eq!((seen.counted, seen.late), (seen.read, 0), "{seen:?}");
    end(stream).await;
}
