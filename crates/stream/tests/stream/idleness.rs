//! Partitions without events: they hold M until they are idle.

use std::time::Duration;

use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_stream::{Limits, StreamConfig};

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, PATIENCE, Shop, archived, completeness, end, event_at, go_on, go_on_until,
    product_views, published, views, views_in, wait_for, wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_partition_lets_the_other_move_m() {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "the first is read", |seen| seen.read == 1).await;
    clock.set_ms(NOON_MS + shop.topic.idle_ms - 1);
    shop.produce_to(0, &[event_at(1, "p1", "clique", NOON_MS)]);
    let seen = wait_for(&mut view, "the second is read", |seen| seen.read == 2).await;
    assert!(seen.watermark.is_none() && seen.idle_partitions.is_empty(), "{seen:?}");

    let what = "the partition without events is idle";
    let seen = go_on_until(&shop, &clock, &mut view, what, |seen| seen.watermark.is_some()).await;
    assert!(seen.idle_partitions.contains(&PartitionId(1)), "{seen:?}");
    // Windows close without the idle partition.
    let later_ms = NOON_MS + 3 * HOUR_MS;
    let m = later_ms - shop.topic.watermark_ms;
    clock.set_ms(later_ms);
    shop.produce_to(0, &[event_at(2, "p2", "clique", later_ms)]);
    let seen = wait_until(&mut view, "the first events are published", |view| {
        view.metrics["produtos_mais_vistos"].published_through_ms == Some(m)
    })
    .await;
    assert_eq!(completeness(&seen).idle_partitions, [PartitionId(1)]);
    assert_eq!(views_in(&published(&view, "produtos_mais_vistos").await).get("p1"), Some(&2));

    // Its first event ends the idleness and is classified like any other.
    shop.produce_to(1, &[event_at(3, "p2", "clique", later_ms - HOUR_MS)]);
    let read = completeness(&seen).read + 1;
    let seen = wait_for(&mut view, "it has an event", |seen| seen.read == read).await;
    assert_eq!((seen.counted, seen.watermark.map(Watermark::ms)), (read, Some(m)), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await.get("p2"), Some(&2));
    archived(&view).await;
}

/// While the store is away, what was read waits for its commit and reading waits too: what came
/// meanwhile is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_partition_is_not_idle() {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start_with(StreamConfig {
        limits: Limits { uncommitted_bytes: 2, ..Limits::default() },
        ..shop.config(dir.path())
    });
    for (id, partition) in [(0, 0), (1, 1)] {
        shop.produce_to(partition, &[event_at(id, "p1", "clique", NOON_MS)]);
    }
    let m = Some(NOON_MS - shop.topic.watermark_ms);
    wait_until(&mut view, "nothing is under way any more", |view| {
        completeness(view).watermark.map(Watermark::ms) == m
            && view.metrics.values().all(|metric| metric.published_through_ms == m)
    })
    .await;

    // A file in its folder's place keeps the archive from being written.
    let folder = dir.path().join("archive").join(&shop.topic.name);
    let aside = dir.path().join("aside");
    std::fs::rename(&folder, &aside).expect("moved aside");
    std::fs::write(&folder, b"").expect("a file");
    shop.produce_to(0, &[event_at(2, "p1", "clique", NOON_MS + 50 * MINUTE_MS)]);
    wait_for(&mut view, "one more is read", |seen| seen.read == 3).await;
    // It would be late if its partition looked idle and the other moved M alone.
    shop.produce_to(1, &[event_at(3, "p1", "clique", NOON_MS - 30 * MINUTE_MS)]);
    clock.set_ms(NOON_MS + 2 * HOUR_MS);
    for _ in 0..5 {
        view.changed().await.expect("a stream that runs");
        let seen = completeness(&view.borrow_and_update());
        assert!(seen.idle_partitions.is_empty(), "{seen:?}");
        assert_eq!((seen.read, seen.watermark.map(Watermark::ms)), (3, m), "{seen:?}");
    }

    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(&aside, &folder).expect("moved back");
    let seen = wait_for(&mut view, "the last is read", |seen| seen.read == 4).await;
    assert_eq!((seen.counted, seen.late, seen.watermark.map(Watermark::ms)), (4, 0, m), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 4)]));
    assert_eq!(archived(&view).await.len(), 4);
}

/// The mark of a partition's end comes once: a pause must not let it be forgotten for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_events_is_idle_again_after_a_pause() {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    // Each event pauses the reading until it is committed.
    let (stream, mut view) = shop.start_with(StreamConfig {
        limits: Limits { uncommitted_bytes: 2, ..Limits::default() },
        commit_interval: Duration::from_millis(20),
        ..shop.config(dir.path())
    });
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "the first is read", |seen| seen.read == 1).await;
    let what = "the partition without events is idle again";
    let mut rounds = 0;
    while completeness(&view.borrow()).watermark.is_none() {
        rounds += 1;
        assert!(rounds < 20, "{what}");
        go_on(&shop, &clock, &mut view).await;
        // The pause is over once all is committed; a few views later the ends were looked at, on a
        // busy machine some more.
        wait_until(&mut view, "committed", |view| view.topics.values().all(|topic| topic.tail.is_empty())).await;
        for _ in 0..3 * rounds {
            view.changed().await.expect("the stream runs");
        }
    }
    let seen = completeness(&view.borrow());
    assert_eq!(seen.read, seen.counted);
    end(stream).await;
    archived(&view).await;
}

/// Where partitions end is asked alongside the reading, however long the answer takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_about_a_partitions_end_keeps_no_other_from_being_read() {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "the first is read", |seen| seen.read == 1).await;
    shop.broker.delay_answers(2 * PATIENCE);
    // It is time to ask for partition 1 again, before the second event is read at the latest.
    clock.set_ms(NOON_MS + shop.topic.idle_ms);
    for id in 1..5 {
        shop.produce_to(0, &[event_at(id, "p1", "clique", NOON_MS)]);
        let seen = wait_for(&mut view, "partition 0 goes on", |seen| seen.read == id as u64 + 1).await;
        assert!(seen.watermark.is_none() && seen.idle_partitions.is_empty(), "{seen:?}");
    }

    shop.broker.delay_answers(Duration::ZERO);
    let what = "the answer is taken when it comes";
    go_on_until(&shop, &clock, &mut view, what, |seen| seen.watermark.is_some()).await;
    end(stream).await;
}
