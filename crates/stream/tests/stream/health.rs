//! What readiness is made of: a pipeline reports what keeps it from committing.

use std::time::{Duration, Instant};

use vitral_panes::view::ViewReceiver;
use vitral_schemas::health::{Phase, TopicHealth};

use crate::world::{PATIENCE, Shop, end, event, wait_for};

/// Waits until the topic's pipeline reports something.
async fn wait_for_health(
    shop: &Shop,
    view: &ViewReceiver,
    what: &str,
    is_so: impl Fn(&TopicHealth) -> bool,
) -> TopicHealth {
    let health = view.borrow().health.clone();
    let began = Instant::now();
    loop {
        let topic = health.topics().get(&shop.topic.name).cloned().unwrap_or_default();
        if is_so(&topic) {
            return topic;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {topic:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_committed_are_reported_and_so_is_that_they_are_committed() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(0, "p1", "clique")]);
    let is_well =
        |topic: &TopicHealth| topic.phase == Phase::Serving && topic.uncommitted.is_none() && topic.retrying.is_none();
    let well = wait_for_health(&shop, &view, "it is well", |topic| is_well(topic) && topic.committed.is_some()).await;
    assert_eq!(well.retries, 0, "{well:?}");

    // A file in its folder's place keeps the archive from being written.
    let folder = dir.path().join("archive").join(&shop.topic.name);
    let aside = dir.path().join("aside");
    std::fs::rename(&folder, &aside).expect("moved aside");
    std::fs::write(&folder, b"").expect("a file");
    shop.produce_to(0, &[event(1, "p1", "clique")]);
    let is_reported = |topic: &TopicHealth| {
        topic.uncommitted.is_some() && topic.retrying.as_ref().is_some_and(|retrying| retrying.attempts > 1)
    };
    let failing = wait_for_health(&shop, &view, "both are reported", is_reported).await;
    assert_eq!(failing.phase, Phase::Serving);
    let retrying = failing.retrying.expect("it is tried again");
    assert!(retrying.reason.contains(&shop.topic.name) && retrying.attempts <= failing.retries, "{retrying:?}");
    let since = failing.uncommitted;
    let longer = wait_for_health(&shop, &view, "it goes on", |topic| topic.retries > failing.retries + 1).await;
    assert_eq!((longer.uncommitted, longer.retrying.map(|retrying| retrying.since)), (since, Some(retrying.since)));

    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(&aside, &folder).expect("moved back");
    let again = wait_for_health(&shop, &view, "it is well again", is_well).await;
    assert!(again.committed > failing.committed && again.retries >= longer.retries, "{again:?}");
    wait_for(&mut view, "both are read", |seen| seen.read == 2).await;
    end(stream).await;
}
