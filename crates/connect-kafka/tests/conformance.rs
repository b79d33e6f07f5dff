//! Kafka passes the suites of its ports: `scripts/services start kafka`, then `env
//! $(scripts/services env) cargo test`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use vitral_connect::Connector;
use vitral_connect::conformance::{
    TestTopic, dead_letters_conform, keyed_sink_conforms, notifier_conforms, publisher_conforms, source_conforms,
};
use vitral_connect::{Epoch, Sink};
use vitral_connect_kafka::{KafkaConfig, KafkaConnector, KafkaNotifier, KafkaSink, client, create_topic};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Column, ColumnKind, Topic};

struct OnKafka {
    connector: KafkaConnector,
    topic: Topic,
    producer: BaseProducer,
}

impl OnKafka {
    /// A topic of its own. Without a broker the tests say so and pass; in CI its absence is a
    /// failure.
    async fn new() -> Option<Self> {
        let Ok(brokers) = std::env::var("VITRAL_TEST_KAFKA") else {
            assert!(std::env::var_os("CI").is_none(), "VITRAL_TEST_KAFKA is not set: run scripts/services start kafka");
            eprintln!("left out: VITRAL_TEST_KAFKA is not set (scripts/services start kafka)");
            return None;
        };
        let config = KafkaConfig { brokers, ..KafkaConfig::default() };
        let topic = topic(&format!("conformance-{}", uuid::Uuid::new_v4()));
        create_topic(&config, &topic.kafka_topic, 2, &[]).await.expect("a topic");
        let producer = client(&config).set("linger.ms", "0").create().expect("a producer");
        Some(Self { connector: KafkaConnector::new(config), topic, producer })
    }
}

impl TestTopic for OnKafka {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn topic(&self) -> &Topic {
        &self.topic
    }

    fn append(&self, partition: PartitionId, key: Option<&[u8]>, payload: Option<&[u8]>) {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic.kafka_topic).partition(partition.0);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        self.producer.flush(Duration::from_secs(60)).expect("taken by the broker");
    }
}

fn topic(name: &str) -> Topic {
    Topic {
        name: "eventos".to_owned(),
        kafka_topic: name.to_owned(),
        columns: vec![Column::new("timestamp", ColumnKind::Text)],
        event_time: 0,
        event_id: None,
        watermark_ms: 0,
        lateness_ms: 0,
        ahead_ms: 0,
        idle_ms: 0,
        message_bytes_max: 1 << 20,
        keep_raw: false,
        changes: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_on_kafka_conforms() {
    let Some(test) = OnKafka::new().await else { return };
    tokio::task::spawn_blocking(move || source_conforms(&test)).await.expect("it conforms");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_on_kafka_conform() {
    let Some(test) = OnKafka::new().await else { return };
    dead_letters_conform(&test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_on_kafka_conforms() {
    let Some(test) = OnKafka::new().await else { return };
    publisher_conforms(&test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_on_kafka_conforms() {
    let Some(test) = OnKafka::new().await else { return };
    let brokers = std::env::var("VITRAL_TEST_KAFKA").expect("it is set");
    let config = KafkaConfig { brokers, ..KafkaConfig::default() };
    let name = format!("alertas-{}", uuid::Uuid::new_v4());
    let notifier = KafkaNotifier::new(&config, &name).expect("a notifier");
    let keys = async || {
        let mut source = test.connector.source(&topic(&name)).expect("a source");
        source.assign(&[(PartitionId(0), Some(Offset(0)))].into()).expect("assigned");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut keys = Vec::new();
        while keys.len() < 3 && Instant::now() < deadline {
            let polled = source.poll(Duration::from_millis(100), 100).expect("a poll");
            for batch in &polled.batches {
                let of = |row| String::from_utf8_lossy(batch.key(row).expect("a key")).into_owned();
                keys.extend((0..batch.len()).map(of));
            }
        }
        keys
    };
    notifier_conforms(&notifier, keys).await;
}

/// What a topic holds for readers of committed messages, the newest of each key.
fn newest(connector: &KafkaConnector, name: &str) -> Vec<(String, i64)> {
    let mut source = connector.source(&topic(name)).expect("a source");
    source.assign(&[(PartitionId(0), Some(Offset(0)))].into()).expect("assigned");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut newest = BTreeMap::new();
    loop {
        assert!(Instant::now() < deadline, "the topic's end does not come");
        let polled = source.poll(Duration::from_millis(100), 100).expect("a poll");
        for batch in &polled.batches {
            for row in 0..batch.len() {
                let key = String::from_utf8_lossy(batch.key(row).expect("a key")).into_owned();
                match batch.payload(row) {
                    None => drop(newest.remove(&key)),
                    Some(payload) => {
                        let text = String::from_utf8_lossy(payload);
                        let number = text.rsplit_once(':').expect("an object").1.trim_end_matches('}');
                        newest.insert(key, number.parse().expect("a number"));
                    }
                }
            }
        }
        if !polled.ends.is_empty() {
            return newest.into_iter().collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_on_kafka_conforms_and_is_fenced_by_its_successor() {
    let Some(test) = OnKafka::new().await else { return };
    let brokers = std::env::var("VITRAL_TEST_KAFKA").expect("it is set");
    let config = KafkaConfig { brokers, ..KafkaConfig::default() };
    let name = format!("copia-{}", uuid::Uuid::new_v4());
    let new_process = || KafkaSink::new(&config, "copia", &name, &["chave".to_owned()]);
    let first = new_process();
    let found = async || {
        let (connector, name) = (test.connector.clone(), name.clone());
        tokio::task::spawn_blocking(move || newest(&connector, &name)).await.expect("read")
    };
    keyed_sink_conforms(&first, found).await;
    let before = found().await;
    // Another process knows what was sent; the first can send nothing any more.
    let second = new_process();
    assert_eq!(second.last_epoch().await.expect("an answer"), Some(Epoch(8)));
    first.write(Epoch(9), &[]).await.expect_err("it is fenced");
    second.write(Epoch(9), &[]).await.expect("it goes on");
    second.keep_progress().await.expect("committed again");
    second.write(Epoch(10), &[]).await.expect("it goes on after that");
    second.keep_progress().await.expect("committed again");
    assert_eq!(new_process().last_epoch().await.expect("an answer"), Some(Epoch(10)));
    assert_eq!(found().await, before);
}
