//! Topics and brokers that are not there yet.

use std::time::Duration;

use vitral_connect_kafka::{KafkaConfig, KafkaConnector, create_topic};

use super::world::kafka;
use crate::world::{Shop, completeness, end, event, product_views, views, wait_for, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_yet_is_waited_for_and_the_view_says_so() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on_no_topic(kafka.clone());
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_until(&mut view, "it waits", |view| view.ready).await;
    let reason = &seen.topics_waiting[&shop.topic.name];
    assert!(reason.contains(&shop.topic.kafka_topic) && reason.contains("does not exist"), "{reason}");
    assert!(seen.topics.is_empty() && seen.metrics.is_empty());

    create_topic(&kafka, &shop.topic.kafka_topic, 1, &[]).await.expect("a topic");
    shop.produce_to(0, &[event(1, "p1", "clique")]);
    wait_for(&mut view, "it is read", |seen| seen.read == 1).await;
    assert!(view.borrow().topics_waiting.is_empty() && view.borrow().ready);
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_what_was_archived_is_served() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(1, "p1", "clique"), b"{".to_vec()]);
    wait_for(&mut view, "both are read", |seen| seen.read == 2).await;
    end(stream).await;

    let nobody = KafkaConfig { brokers: "127.0.0.1:1".to_owned(), ..KafkaConfig::default() };
    let (stream, mut view) = shop.through(KafkaConnector::new(nobody)).start(dir.path());
    let seen = wait_until(&mut view, "the earlier rows are shown", |view| !view.topics.is_empty()).await;
    assert!(seen.ready && seen.topics_waiting[&shop.topic.name].contains("does not answer"), "{seen:?}");
    let counts = completeness(&seen);
    assert_eq!((counts.read, counts.counted, counts.refused), (2, 1, 1));
    tokio::time::timeout(Duration::from_secs(20), end(stream)).await.expect("a stop while it waits");

    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "it goes on", |seen| seen.read == 2).await;
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 1)]));
}
