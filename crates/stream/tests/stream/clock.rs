//! Events ahead of the wall clock, and a wall clock that steps back.

use vitral_schemas::event_time::Watermark;
use vitral_schemas::verdict::{Reason, Verdict};

use crate::world::{HOUR_MS, MINUTE_MS, NOON_MS, Shop, archived, end, event_at, product_views, views, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_ahead_counts_and_m_stays_behind_the_clock() {
    /// 2099-01-01T00:00:00Z
    const FAR_MS: i64 = 4_070_908_800_000;
    let (shop, clock) = Shop::at_noon(1);
    let delay_ms = shop.topic.watermark_ms;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let far = event_at(1, "p1", "clique", FAR_MS);
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS + 59 * MINUTE_MS), far.clone()]);
    let seen = wait_for(&mut view, "both are read", |seen| seen.read == 2 && seen.watermark.is_some()).await;
    assert_eq!(
        (seen.counted, seen.refused, seen.watermark.map(Watermark::ms)),
        (1, 1, Some(NOON_MS - delay_ms)),
        "{seen:?}"
    );

    // M goes with the clock as long as the newest event is ahead of it.
    let now_ms = NOON_MS + 5_000;
    clock.set_ms(now_ms);
    wait_for(&mut view, "M goes with the clock", |seen| seen.watermark.map(Watermark::ms) == Some(now_ms - delay_ms))
        .await;
    let too_far = event_at(3, "p1", "clique", now_ms + HOUR_MS + 1);
    shop.produce_to(0, &[event_at(2, "p1", "clique", now_ms + HOUR_MS), too_far.clone()]);
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == 4).await;
    assert_eq!(
        (seen.counted, seen.refused, seen.watermark.map(Watermark::ms)),
        (2, 2, Some(now_ms - delay_ms)),
        "{seen:?}"
    );
    end(stream).await;

    assert_eq!(product_views(&view).await, views([("p1", 2)]));
    let rows: Vec<_> = archived(&view).await.iter().map(|row| (row.verdict, row.reason)).collect();
    let (counted, refused) = ((Verdict::Counted, None), (Verdict::Refused, Some(Reason::Future)));
    assert_eq!(rows, [counted, refused, counted, refused]);
    let dead = shop.dead_letters(2);
    for ((letter, payload), offset) in dead.iter().zip([far, too_far]).zip(["1", "3"]) {
        assert_eq!(letter.payload, payload);
        assert_eq!((letter.header("vitral.reason"), letter.header("vitral.offset")), (Some("futuro"), Some(offset)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_an_hour_loses_nothing() {
    let (shop, clock) = Shop::at_noon(1);
    let delay_ms = shop.topic.watermark_ms;
    let m = NOON_MS - delay_ms;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event_at(0, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "M follows the event", |seen| seen.watermark.map(Watermark::ms) == Some(m)).await;

    // A producer whose clock stepped back too, and one whose clock did not.
    let back_ms = NOON_MS - HOUR_MS;
    clock.set_ms(back_ms);
    shop.produce_to(0, &[event_at(1, "p1", "clique", back_ms), event_at(2, "p1", "clique", NOON_MS)]);
    let seen = wait_for(&mut view, "both are read", |seen| seen.read == 3).await;
    assert_eq!((seen.counted, seen.late, seen.watermark.map(Watermark::ms)), (3, 0, Some(m)), "{seen:?}");
    end(stream).await;

    // M survives a restart while the clock is behind it.
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same numbers", |seen| seen.read == 3).await;
    assert_eq!((seen.counted, seen.watermark.map(Watermark::ms)), (3, Some(m)), "{seen:?}");
    shop.produce_to(0, &[event_at(3, "p1", "clique", back_ms)]);
    let seen = wait_for(&mut view, "one more is read", |seen| seen.read == 4).await;
    assert_eq!((seen.counted, seen.watermark.map(Watermark::ms)), (4, Some(m)), "{seen:?}");

    let later_ms = NOON_MS + MINUTE_MS;
    clock.set_ms(later_ms);
    shop.produce_to(0, &[event_at(4, "p1", "clique", later_ms)]);
    let seen =
        wait_for(&mut view, "M goes on", |seen| seen.watermark.map(Watermark::ms) == Some(later_ms - delay_ms)).await;
    assert_eq!((seen.counted, seen.late, seen.refused), (5, 0, 0), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 5)]));
    assert_eq!(archived(&view).await.len(), 5);
}
