//! Two writers of one archive: the one that was replaced must stop.

use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::replay::{Replayed, replay};
use vitral_catalog::DomainSettings;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Location, StoreError};
use vitral_stream::StreamError;

use crate::world::{
    HOUR_MS, NOON_MS, Shop, archived, end, event_at, failure, wait_for, wait_for_archive, with_verdict,
};

/// On another host no lock keeps a replay out: the stream, which has folded what the archive said
/// before, must stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stops_when_rows_were_fed_again_elsewhere() {
    let (shop, _clock) = Shop::at_noon(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(1, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "the first", |seen| seen.read == 1 && seen.watermark.is_some()).await;
    shop.produce_to(0, &[event_at(2, "p2", "clique", NOON_MS - 3 * HOUR_MS)]);
    wait_for_archive(&mut view, 0, 2).await;

    let store = Location::folder(dir.path()).expect("a location");
    let (settings, filter) = (DomainSettings::default(), LedgerFilter::default());
    let fed = replay(&shop.topic, &settings, &store, &Default::default(), &filter, NOON_MS).await;
    let late_ms = NOON_MS - 3 * HOUR_MS;
    assert_eq!(
        fed.expect("fed again"),
        Replayed { counted: 1, times_ms: Some((late_ms, late_ms)), ..Replayed::default() }
    );
    // The same id again would count twice.
    shop.produce_to(0, &[event_at(2, "p2", "clique", NOON_MS)]);
    let error = failure(stream).await;
    assert!(matches!(error, StreamError::Store(StoreError::Replayed { .. })), "{error}");
    assert_eq!(archived(&view).await.len(), 2, "nothing was committed after it");

    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "started again", |seen| seen.read == 3).await;
    assert_eq!((seen.counted, seen.late), (3, 0), "the late one's time is too old for its id to be known: {seen:?}");
    end(stream).await;
    assert_eq!(with_verdict(&archived(&view).await, Verdict::Counted), 3);
}
