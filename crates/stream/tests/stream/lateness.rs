//! Events that come late.

use vitral_schemas::event_time::Watermark;
use vitral_schemas::verdict::Verdict;

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, Shop, archived, end, event_at, product_views, published, views, views_in, wait_for,
    wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn late_counts_within_lateness_and_is_only_archived_beyond_it() {
    let (shop, clock) = Shop::at_noon(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS)]);
    let m = NOON_MS - shop.topic.watermark_ms;
    wait_for(&mut view, "M follows the event", |seen| seen.watermark.map(Watermark::ms) == Some(m)).await;

    // All in the minute that begins at 10:59, but for the last.
    let oldest_ms = m - shop.topic.lateness_ms;
    let late = [
        event_at(1, "p1", "clique", oldest_ms),
        event_at(2, "p1", "clique", oldest_ms - 1),
        event_at(3, "p1", "clique", NOON_MS - 30 * MINUTE_MS),
    ];
    shop.produce_to(0, &late);
    let seen = wait_for(&mut view, "the late ones are read", |seen| seen.read == 4).await;
    assert_eq!((seen.counted, seen.late, seen.watermark.map(Watermark::ms)), (3, 1, Some(m)), "{seen:?}");

    // What is late for a window that is published changes it no more.
    let next_ms = NOON_MS + 2 * HOUR_MS;
    let next_m = next_ms - shop.topic.watermark_ms;
    clock.set_ms(next_ms);
    shop.produce_to(0, &[event_at(4, "p2", "clique", next_ms)]);
    wait_until(&mut view, "the first events are published", |view| {
        view.metrics["produtos_mais_vistos"].published_through_ms == Some(next_m)
    })
    .await;
    assert_eq!(views_in(&published(&view, "produtos_mais_vistos").await), views([("p1", 3)]));
    shop.produce_to(0, &[event_at(5, "p1", "clique", NOON_MS)]);
    let seen = wait_for(&mut view, "the last one is read", |seen| seen.read == 6).await;
    assert_eq!((seen.counted, seen.late, seen.watermark.map(Watermark::ms)), (4, 2, Some(next_m)), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 3), ("p2", 1)]));
    let verdicts: Vec<Verdict> = archived(&view).await.iter().map(|row| row.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Counted, Verdict::Counted, Verdict::Late, Verdict::Counted, Verdict::Counted, Verdict::Late]
    );
}
