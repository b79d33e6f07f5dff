//! A process that follows a stream in this process: what it shows is what the stream showed, and
//! without the stream, or next to one of another version, what is stored.

mod http;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use vitral_follow::NotLive;
use vitral_panes::view::{Live, View};
use vitral_schemas::health::Bounds;

use crate::world::{Shop, Wired, count, end, picture, wait_until};

const BOUNDS: Bounds = Bounds { commit: std::time::Duration::from_secs(60), still: std::time::Duration::from_secs(60) };

fn troubles(view: &View) -> Vec<(&'static str, bool)> {
    let troubles = view.health.troubles(BOUNDS, std::time::Instant::now());
    troubles.iter().map(|trouble| (trouble.code, trouble.is_grave())).collect()
}

/// Rows of a commit and rows behind it, published windows and open ones: at every moment together
/// what was counted, and the same as the stream's own.
#[tokio::test(flavor = "multi_thread")]
async fn every_moment_is_the_streams_own() {
    let (shop, dir) = (Shop::new(), tempfile::tempdir().expect("a folder"));
    let (stream, view) = shop.start(dir.path());
    let mut wired = Wired::start(&shop, &shop.catalog, dir.path(), view);
    let (mut with_tail, mut with_published, mut with_open) = (0, 0, 0);
    for round in 0..60 {
        shop.produce(round * 8..(round + 1) * 8);
        let (shown, described) = wired.turn().await;
        let described = described.expect("the stream's");
        assert_eq!(picture(&shown).await, picture(&described).await, "round {round}");
        let topic = &shown.topics["eventos"];
        assert_eq!(count(&shown).await, topic.completeness.counted, "round {round}: no overlap and no gap");
        assert_eq!(topic.completeness.live, Live::Current);
        with_tail += usize::from(!topic.tail.is_empty());
        let metric = &shown.metrics["contagem"];
        with_published += usize::from(metric.published_through_ms.is_some());
        with_open += usize::from(!metric.open.rows().is_empty());
    }
    assert!(with_tail > 0 && with_published > 0 && with_open > 0, "{with_tail} {with_published} {with_open}");
    assert!(troubles(&wired.view()).iter().all(|(_, is_grave)| !is_grave));
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_stream_it_is_what_is_stored_and_says_so() {
    let (shop, dir) = (Shop::new(), tempfile::tempdir().expect("a folder"));
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(0..200);
    wait_until(&mut view, |view| view.topics.get("eventos").is_some_and(|topic| topic.completeness.counted == 200))
        .await;
    let mut wired = Wired::start(&shop, &shop.catalog, dir.path(), view);
    let (shown, _) = wired.turn().await;
    assert_eq!(count(&shown).await, 200);

    // It is killed with what it has not committed, or ends in order: others see the same.
    end(stream).await;
    wired.fail(Some(NotLive::Away("killed".to_owned())));
    let (shown, _) = wired.turn().await;
    let of_topic = &shown.topics["eventos"];
    assert!(matches!(of_topic.completeness.live, Live::Away { .. }), "{:?}", of_topic.completeness);
    assert!(of_topic.tail.is_empty());
    assert_eq!((count(&shown).await, of_topic.completeness.counted), (200, 200));
    let metric = &shown.metrics["contagem"];
    assert!(metric.open.rows().is_empty() && metric.published_through_ms.is_some());
    assert_eq!(metric.completeness, of_topic.completeness);
    assert!(shown.keyed.contains_key("por_produto") && shown.ready);
    assert_eq!(troubles(&shown), [("stream_away", false)]);

    // It comes back, and goes on where it was.
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(200..240);
    wait_until(&mut view, |view| view.topics.get("eventos").is_some_and(|topic| topic.completeness.counted == 240))
        .await;
    wired.fail(None);
    wired.follow(view);
    let (shown, described) = wired.turn().await;
    assert_eq!(picture(&shown).await, picture(&described.expect("the stream's")).await);
    assert_eq!(shown.topics["eventos"].completeness.live, Live::Current);
    assert!(troubles(&shown).iter().all(|(code, _)| *code != "stream_away"));
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_any_stream_nothing_is_stored_and_nothing_is_wrong_with_that() {
    let (shop, dir) = (Shop::new(), tempfile::tempdir().expect("a folder"));
    let (_sender, view) = tokio::sync::watch::channel(Arc::default());
    let mut wired = Wired::start(&shop, &shop.catalog, dir.path(), view);
    wired.fail(Some(NotLive::Away("not started".to_owned())));
    let (shown, _) = wired.turn().await;
    assert!(shown.ready && shown.keyed.is_empty());
    assert_eq!(count(&shown).await, 0);
    let written: Vec<_> = std::fs::read_dir(dir.path()).expect("the folder").collect();
    assert!(written.is_empty(), "{written:?}");
}

/// What is declared otherwise is not merged: of it only what is stored is shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_computes_otherwise_is_never_merged() {
    let (shop, dir) = (Shop::new(), tempfile::tempdir().expect("a folder"));
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(0..80);
    wait_until(&mut view, |view| view.topics.get("eventos").is_some_and(|topic| topic.completeness.counted == 80))
        .await;
    let other = Shop::catalog_with(|text| text.replace("count(*) AS n", "count(*) + 1 AS n"));
    let mut wired = Wired::start(&shop, &other, dir.path(), view);
    let (shown, described) = wired.turn().await;
    let described = described.expect("the stream's");
    let of = |name: &str| shown.metrics[name].completeness.live;
    assert_eq!((of("contagem"), of("sessoes")), (Live::OtherVersion, Live::Current));
    assert!(shown.metrics["contagem"].open.rows().is_empty());
    assert!(!described.metrics["contagem"].open.rows().is_empty());
    let (mut mine, mut theirs) = (picture(&shown).await, picture(&described).await);
    for picture in [&mut mine, &mut theirs] {
        picture.retain(|name, _| !name.contains("contagem"));
    }
    assert_eq!(mine, theirs, "the others are the stream's");
    assert!(troubles(&shown).contains(&("stream_other_version", false)), "{:?}", troubles(&shown));

    // A table, and columns of the topic.
    let other = Shop::catalog_with(|text| text.replace("count(*) AS vezes", "count(n) AS vezes"));
    let mut wired = Wired::start(&shop, &other, dir.path(), wired.stream_view());
    let (shown, _) = wired.turn().await;
    assert!(!shown.keyed.contains_key("por_produto"), "of its own version nothing is stored");
    let other = Shop::catalog_with(|text| text.replace("n BIGINT", "n BIGINT, m BIGINT"));
    let mut wired = Wired::start(&shop, &other, dir.path(), wired.stream_view());
    let (shown, _) = wired.turn().await;
    assert_eq!(shown.topics["eventos"].completeness.live, Live::OtherVersion);
    assert!(shown.topics["eventos"].tail.is_empty());
    end(stream).await;

    wired.fail(Some(NotLive::OtherVersion("another format".to_owned())));
    let (shown, _) = wired.turn().await;
    let lives: BTreeMap<_, _> = shown.topics.iter().map(|(name, topic)| (name, topic.completeness.live)).collect();
    assert!(lives.values().all(|live| *live == Live::OtherVersion), "{lives:?}");
}
