//! Shops on a real Kafka.

use futures::executor::block_on;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;
use vitral_connect_kafka::{EventProducer, KafkaConfig, KafkaConnector, client, create_topic};

use crate::world::{DeadLetter, PATIENCE, Shop, TestBroker};

/// The broker under test. Without one the tests say so and pass; in CI its absence is a failure.
pub fn kafka() -> Option<KafkaConfig> {
    match std::env::var("VITRAL_TEST_KAFKA") {
        Ok(brokers) => Some(KafkaConfig { brokers, ..KafkaConfig::default() }),
        Err(_) if std::env::var_os("CI").is_some() => {
            panic!("VITRAL_TEST_KAFKA is not set: run scripts/services start kafka")
        }
        Err(_) => {
            eprintln!("left out: VITRAL_TEST_KAFKA is not set (scripts/services start kafka)");
            None
        }
    }
}

pub type KafkaShop = Shop<Kafka>;

/// A cluster, and a producer that keeps the order.
#[derive(Clone)]
pub struct Kafka {
    pub config: KafkaConfig,
    producer: FutureProducer,
}

impl Kafka {
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.config).create().expect("an admin client")
    }
}

impl Shop<Kafka> {
    /// The built-in catalog on a topic of its own.
    pub async fn on(kafka: KafkaConfig, partitions: i32) -> Self {
        Self::on_with_settings(kafka, partitions, &[]).await
    }

    /// The same, with settings of the topic in Kafka.
    pub async fn on_with_settings(kafka: KafkaConfig, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let shop = Self::on_no_topic(kafka);
        create_topic(&shop.broker.config, &shop.topic.kafka_topic, partitions, settings).await.expect("a topic");
        shop
    }

    /// The same on a topic that does not exist yet.
    pub fn on_no_topic(kafka: KafkaConfig) -> Self {
        let producer = producer(&kafka, &[("enable.idempotence", "true"), ("linger.ms", "0")]);
        let connector = Arc::new(KafkaConnector::new(kafka.clone()));
        Self::of(Kafka { config: kafka, producer }, connector)
    }

    /// Sends messages to one partition by a producer of its own with these settings.
    pub fn produce_with<P: AsRef<[u8]>>(&self, settings: &[(&str, &str)], partition: i32, payloads: &[P]) {
        let payloads: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
        send(&producer(&self.broker.config, settings), &self.topic.kafka_topic, partition, &payloads);
    }
}

impl TestBroker for Kafka {
    fn send_to(&self, topic: &str, partition: i32, payloads: &[&[u8]]) {
        send(&self.producer, topic, partition, payloads);
    }

    fn send_keyed(&self, topic: &str, messages: &[(&str, &[u8])]) {
        let producer = EventProducer::new(&self.config, topic).expect("a producer");
        for (key, payload) in messages {
            producer.send(key, payload).expect("sent");
        }
        producer.flush(PATIENCE).expect("flushed");
        assert_eq!(producer.undelivered(), 0);
    }

    fn dead_letters(&self, topic: &str) -> Vec<DeadLetter> {
        // By the plain listener of the same cluster: a client of the library alone fetches no
        // tokens.
        let mut settings = client(&kafka().expect("the broker"));
        settings.set("group.id", "tests").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = settings.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&list).expect("assigned");
        let mut found = Vec::new();
        // Its end, or an error, ends the reading: the caller asks again if it needs more.
        while let Some(Ok(message)) = consumer.poll(Duration::from_secs(5)) {
            let headers = message.headers().map(|headers| {
                let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
            });
            let payload = message.payload().unwrap_or_default().to_vec();
            found.push(DeadLetter { payload, headers: headers.unwrap_or_default() });
        }
        found
    }
}

fn producer(kafka: &KafkaConfig, settings: &[(&str, &str)]) -> FutureProducer {
    let mut client = client(kafka);
    for (key, value) in settings {
        client.set(*key, *value);
    }
    client.create().expect("a producer")
}

fn send(producer: &FutureProducer, topic: &str, partition: i32, payloads: &[&[u8]]) {
    let mut deliveries = Vec::new();
    for payload in payloads {
        let record = FutureRecord::<(), [u8]>::to(topic).partition(partition).payload(*payload);
        deliveries.push(producer.send_result(record).map_err(|(error, _)| error).expect("queued"));
    }
    for delivery in deliveries {
        let outcome = block_on(delivery).expect("an answer");
        outcome.map_err(|(error, _)| error).expect("taken by the broker");
    }
}
