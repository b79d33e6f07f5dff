//! Rows of the ledger, fed again.

use vitral_batch::ledger::replay::{Replayed, replay};
use vitral_batch::ledger::{Cause, LedgerFilter};
use vitral_catalog::DomainSettings;
use vitral_schemas::verdict::{Reason, Verdict};
use vitral_store::Location;

use crate::world::{HOUR_MS, NOON_MS, Shop, archived, end, event_at, product_views, views, wait_for, with_verdict};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fed_again_counts_once() {
    let (shop, _clock) = Shop::at_noon(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(1, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "the first", |seen| seen.read == 1 && seen.watermark.is_some()).await;
    let late_ms = NOON_MS - 3 * HOUR_MS;
    let ahead_ms = NOON_MS + 2 * HOUR_MS;
    let second = [
        event_at(2, "p2", "clique", late_ms),
        event_at(2, "p2", "clique", late_ms),
        event_at(1, "p1", "clique", late_ms),
        event_at(3, "p3", "clique", ahead_ms),
        b"{broken".to_vec(),
    ];
    shop.produce_to(0, &second);
    let seen = wait_for(&mut view, "the second", |seen| seen.read == 6).await;
    // The id of the first is known, whatever time it bears now.
    assert_eq!((seen.counted, seen.late, seen.duplicate, seen.refused), (1, 2, 1, 2), "{seen:?}");
    end(stream).await;

    let store = Location::folder(dir.path()).expect("a location");
    let feed = async |cause: Option<Cause>, now_ms: i64| {
        let filter = LedgerFilter { cause, ..LedgerFilter::default() };
        replay(&shop.topic, &DomainSettings::default(), &store, &Default::default(), &filter, now_ms)
            .await
            .expect("fed again")
    };
    let again = feed(Some(Cause::Refused(Reason::Future)), NOON_MS).await;
    assert_eq!(again, Replayed { refused: 1, ..Replayed::default() }, "it is still ahead");
    let late = feed(Some(Cause::Late), NOON_MS).await;
    assert_eq!(
        late,
        Replayed { counted: 1, duplicate: 1, refused: 0, times_ms: Some((late_ms, late_ms)), ..Replayed::default() }
    );
    assert_eq!(feed(Some(Cause::Late), NOON_MS).await, Replayed::default(), "nothing is left");
    let rest = feed(None, NOON_MS + HOUR_MS).await;
    assert_eq!(
        rest,
        Replayed { counted: 1, duplicate: 0, refused: 1, times_ms: Some((ahead_ms, ahead_ms)), ..Replayed::default() }
    );

    // The snapshot of the stop is older than the replay, and is not believed.
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same messages", |seen| seen.read == 6).await;
    assert_eq!((seen.counted, seen.late, seen.duplicate, seen.refused), (3, 0, 2, 1), "{seen:?}");
    end(stream).await;
    let rows = archived(&view).await;
    assert_eq!((rows.len(), with_verdict(&rows, Verdict::Counted)), (6, 3), "one row for each offset");
    let shown = product_views(&view).await;
    // The closed window of the late row is published again by the one who asked for the replay.
    assert!(shown == views([("p1", 1), ("p3", 1)]) || shown == views([("p1", 1), ("p2", 1), ("p3", 1)]), "{shown:?}");
}
