//! Two streams on one archive: the one that was replaced must stop.

use std::time::{Duration, Instant};

use futures::FutureExt;
use vitral_store::StoreError;
use vitral_stream::{StreamConfig, StreamError};

use super::world::kafka;
use crate::world::{PATIENCE, Shop, archived, end, event, product_views, views, wait_for, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_streams_on_one_folder_one_is_fenced() {
    const BURST: usize = 2_000;
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    // They cut their commits at different offsets.
    let start = |batch_rows| {
        shop.start_with(StreamConfig {
            batch_rows,
            commit_interval: Duration::from_millis(1),
            ..shop.config(dir.path())
        })
    };
    let (mut first, mut first_view) = start(100);
    wait_until(&mut first_view, "the first runs", |view| view.ready).await;
    let (mut second, mut second_view) = start(70);
    wait_until(&mut second_view, "the second runs", |view| view.ready).await;

    let began = Instant::now();
    let mut sent = 0;
    let (outcome, other, mut view) = loop {
        assert!(began.elapsed() < PATIENCE, "neither is fenced");
        let events: Vec<Vec<u8>> = (sent..sent + BURST).map(|id| event(id, "p1", "clique")).collect();
        sent += BURST;
        shop.produce_to(0, &events);
        if let Some(outcome) = first.finished().now_or_never() {
            break (outcome, second, second_view);
        }
        if let Some(outcome) = second.finished().now_or_never() {
            break (outcome, first, first_view);
        }
    };
    let error = outcome.expect_err("it was not stopped");
    assert!(matches!(error, StreamError::Store(StoreError::Fenced { .. } | StoreError::Overtaken { .. })), "{error}");

    // The other has noticed nothing.
    let seen = wait_for(&mut view, "the other reads on", |seen| seen.read >= sent as u64).await;
    assert_eq!((seen.read, seen.counted), (sent as u64, sent as u64), "{seen:?}");
    end(other).await;
    assert_eq!(archived(&view).await.len(), sent);
    assert_eq!(product_views(&view).await, views([("p1", sent as i64)]));
}
