//! Topics that cannot be read yet.

use std::time::Duration;

use crate::world::{Shop, TestBroker, completeness, end, event, product_views, views, wait_for, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_yet_is_waited_for_and_the_view_says_so() {
    let shop = Shop::without_topic();
    let to = shop.clone();
    a_topic_is_waited_for(shop, async || to.broker.create_topic(&to.topic.kafka_topic, 1)).await;
}

/// On a topic that is created while it is waited for.
pub async fn a_topic_is_waited_for<B: TestBroker>(shop: Shop<B>, create: impl AsyncFnOnce()) {
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_until(&mut view, "it waits", |view| view.ready).await;
    let reason = &seen.topics_waiting[&shop.topic.name];
    assert!(reason.contains(&shop.topic.kafka_topic) && reason.contains("does not exist"), "{reason}");
    assert!(seen.topics.is_empty() && seen.metrics.is_empty());

    create().await;
    shop.produce_to(0, &[event(1, "p1", "clique")]);
    wait_for(&mut view, "it is read", |seen| seen.read == 1).await;
    assert!(view.borrow().topics_waiting.is_empty() && view.borrow().ready);
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_what_was_archived_is_served() {
    let shop = Shop::new(1);
    let broker = shop.broker.clone();
    let same = shop.clone();
    let away = || {
        broker.set_away(true);
        same
    };
    the_archive_is_served_without_a_broker(shop, away, || broker.set_away(false)).await;
}

/// On a topic of one partition. `away` gives the shop whose broker does not answer, `back` ends
/// that.
pub async fn the_archive_is_served_without_a_broker<B: TestBroker>(
    shop: Shop<B>,
    away: impl FnOnce() -> Shop<B>,
    back: impl FnOnce(),
) {
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(1, "p1", "clique"), b"{".to_vec()]);
    wait_for(&mut view, "both are read", |seen| seen.read == 2).await;
    end(stream).await;

    let (stream, mut view) = away().start(dir.path());
    let seen = wait_until(&mut view, "the earlier rows are shown", |view| !view.topics.is_empty()).await;
    assert!(seen.ready && seen.topics_waiting[&shop.topic.name].contains("does not answer"), "{seen:?}");
    let counts = completeness(&seen);
    assert_eq!((counts.read, counts.counted, counts.refused), (2, 1, 1));
    tokio::time::timeout(Duration::from_secs(20), end(stream)).await.expect("a stop while it waits");

    back();
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "it goes on", |seen| seen.read == 2).await;
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 1)]));
}
