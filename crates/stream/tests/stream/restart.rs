//! Stops and starts.

use std::time::{Duration, Instant};

use vitral_schemas::verdict::Verdict;
use vitral_stream::StreamConfig;

use crate::world::{
    Shop, TestBroker, archived, completeness, end, event, key, product_views, views, wait_for, with_verdict,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_gets_one_verdict_and_a_restart_goes_on() {
    verdicts_over_a_restart(Shop::new(4)).await;
}

/// On a topic of four partitions.
pub async fn verdicts_over_a_restart<B: TestBroker>(shop: Shop<B>) {
    let dir = tempfile::tempdir().expect("a folder");

    let (stream, mut view) = shop.start(dir.path());
    let events: Vec<(String, Vec<u8>)> = (0..300).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    let mut messages = events.clone();
    let bad: [&[u8]; 8] = [
        b"not json",
        b"[1]",
        b"",
        br#"{"id_usuario":"u"}"#,
        br#"{"id_usuario":7.5e0,"tipo_evento":true,"timestamp":"2025-01-01T00:00:00Z"}"#,
        br#"{"id_usuario":"u","tipo_evento":"compra","timestamp":"2025-02-30T00:00:00Z"}"#,
        &[b"[".repeat(10_000), b"]".repeat(10_000)].concat(),
        br#"{"id_usuario":"u","tipo_evento":"clique","timestamp":"2999-01-01T00:00:00Z"}"#,
    ];
    messages.extend(bad.iter().map(|payload| ("bad".to_owned(), payload.to_vec())));
    messages.push(events[0].clone());
    shop.produce(&messages);
    let seen = wait_for(&mut view, "309 messages", |seen| seen.read == 309).await;
    assert_eq!((seen.counted, seen.refused, seen.duplicate, seen.late), (300, 8, 1, 0), "{seen:?}");
    end(stream).await;

    // Ids known before the restart still are; the open windows are rebuilt.
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same numbers", |seen| seen.read == 309).await;
    assert_eq!(seen.counted, 300);
    assert_eq!(product_views(&view).await, views([("p1", 300)]));
    let mut again: Vec<(String, Vec<u8>)> = (300..400).map(|id| (key(id), event(id, "p2", "visualizacao"))).collect();
    again.extend_from_slice(&events[..50]);
    shop.produce(&again);
    let seen = wait_for(&mut view, "150 more", |seen| seen.read == 459).await;
    assert_eq!((seen.counted, seen.duplicate), (400, 51), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 300), ("p2", 100)]));
    let rows = archived(&view).await;
    assert_eq!((rows.len(), with_verdict(&rows, Verdict::Refused)), (459, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_under_load_lose_nothing_and_repeat_nothing() {
    const EVENTS: usize = 200_000;
    let shop = Shop::new(2);
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<(String, Vec<u8>)> = (0..EVENTS).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    shop.produce(&events);

    let mut read = 0;
    for _ in 0..3 {
        // Small batches, so that much is left when the stop comes.
        let config =
            StreamConfig { batch_rows: 200, commit_interval: Duration::from_millis(20), ..shop.config(dir.path()) };
        let shutdown = config.patience.shutdown;
        let (stream, mut view) = shop.start_with(config);
        wait_for(&mut view, "it reads on", |seen| seen.read > read).await;
        let asked = Instant::now();
        end(stream).await;
        assert!(asked.elapsed() < shutdown, "{:?}", asked.elapsed());
        let seen = completeness(&view.borrow());
        assert_eq!((seen.counted, seen.duplicate), (seen.read, 0), "{seen:?}");
        assert_eq!(archived(&view).await.len() as u64, seen.read);
        read = seen.read;
    }
    assert!(read < EVENTS as u64, "the stops came when all was read");
    // As soon as it was started.
    let (stream, _view) = shop.start(dir.path());
    end(stream).await;

    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the rest is read", |seen| seen.read >= EVENTS as u64).await;
    assert_eq!((seen.read, seen.counted, seen.duplicate), (EVENTS as u64, EVENTS as u64, 0), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", EVENTS as i64)]));
    let rows = archived(&view).await;
    assert_eq!((rows.len(), with_verdict(&rows, Verdict::Counted)), (EVENTS, EVENTS));
}
