//! Partitions that a topic gains while it is read, and those that are far ahead of others.

use std::time::Duration;

use vitral_stream::StreamConfig;

use crate::world::{
    HOUR_MS, MINUTE_MS, Shop, TestBroker, archived, end, event, event_at, product_views, views, wait_for,
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
