//! Topics and brokers that are not there yet.

use vitral_connect_kafka::{KafkaConfig, KafkaConnector, create_topic};

use super::world::kafka;
use crate::waiting::{a_topic_is_waited_for, the_archive_is_served_without_a_broker};
use crate::world::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_yet_is_waited_for_and_the_view_says_so() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on_no_topic(kafka.clone());
    let topic = shop.topic.kafka_topic.clone();
    let create = async || create_topic(&kafka, &topic, 1, &[]).await.expect("a topic");
    a_topic_is_waited_for(shop, create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_what_was_archived_is_served() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let nobody = KafkaConfig { brokers: "127.0.0.1:1".to_owned(), ..KafkaConfig::default() };
    let elsewhere = shop.through(KafkaConnector::new(nobody));
    the_archive_is_served_without_a_broker(shop, || elsewhere, || ()).await;
}
