//! Two writers of one archive: the one that was replaced must stop.

use std::time::{Duration, Instant};

use futures::FutureExt;
use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::replay::{Replayed, replay};
use vitral_catalog::DomainSettings;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Location, StoreError};
use vitral_stream::{StreamConfig, StreamError};

use crate::world::{
    HOUR_MS, NOON_MS, PATIENCE, Shop, archived, end, event, event_at, failure, kafka, product_views, views, wait_for,
    wait_for_archive, wait_until, with_verdict,
};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_streams_on_one_folder_one_is_fenced() {
    const BURST: usize = 2_000;
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    // They cut their commits at different offsets.
    let start = |batch_rows| {
        shop.start_with(StreamConfig { batch_rows, cycle: Duration::from_millis(1), ..shop.config(dir.path()) })
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
        shop.produce_to(0, &events).await;
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

/// On another host no lock keeps a replay out: the stream, which has folded what the archive said before, must stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stops_when_rows_were_fed_again_elsewhere() {
    let Some(kafka) = kafka() else { return };
    let (shop, _clock) = Shop::at_noon(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(1, "p1", "clique", NOON_MS)]).await;
    wait_for(&mut view, "the first", |seen| seen.read == 1 && seen.watermark_ms.is_some()).await;
    shop.produce_to(0, &[event_at(2, "p2", "clique", NOON_MS - 3 * HOUR_MS)]).await;
    wait_for_archive(&mut view, 0, 2).await;

    let store = Location::folder(dir.path()).expect("a location");
    let (settings, filter) = (DomainSettings::default(), LedgerFilter::default());
    let fed = replay(&shop.topic, &settings, &store, &filter, NOON_MS).await;
    let late_ms = NOON_MS - 3 * HOUR_MS;
    assert_eq!(
        fed.expect("fed again"),
        Replayed { counted: 1, times_ms: Some((late_ms, late_ms)), ..Replayed::default() }
    );
    // The same id again would count twice.
    shop.produce_to(0, &[event_at(2, "p2", "clique", NOON_MS)]).await;
    let error = failure(stream).await;
    assert!(matches!(error, StreamError::Store(StoreError::Replayed { .. })), "{error}");
    assert_eq!(archived(&view).await.len(), 2, "nothing was committed after it");

    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "started again", |seen| seen.read == 3).await;
    assert_eq!((seen.counted, seen.late), (3, 0), "the late one's time is too old for its id to be known: {seen:?}");
    end(stream).await;
    assert_eq!(with_verdict(&archived(&view).await, Verdict::Counted), 3);
}
