//! Copies of views in a broker without transactions: messages come at least once, and it is known
//! what is there.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use vitral_broker::{Broker, Limits};
use vitral_connect::{Epoch, Sink};
use vitral_connect_kafka::{KafkaConfig, KafkaSink};

fn rows(keys: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("p", Arc::new(StringArray::from_iter_values(keys)) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![1; keys.len()])) as ArrayRef),
    ])
    .expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_there_is_known_again_without_transactions() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = "127.0.0.1:0".parse().expect("an address");
    let broker = Broker::start(address, dir.path(), Limits::default()).expect("it starts");
    broker.ensure_topic("copia", 1).expect("a topic");
    let config = KafkaConfig { brokers: broker.address().to_string(), ..KafkaConfig::default() };
    let new_process = || KafkaSink::new(&config, "copia", "copia", &["p".to_owned()]);
    let first = new_process();
    assert_eq!(first.last_epoch().await.expect("an answer"), None);
    first.write(Epoch(1), &[rows(&["a", "b"])]).await.expect("written");
    first.write(Epoch(1), &[rows(&["a", "b"])]).await.expect("known");
    let second = new_process();
    assert_eq!(second.last_epoch().await.expect("an answer"), Some(Epoch(1)));
    second.write(Epoch(1), &[rows(&["a", "b"])]).await.expect("known");
    second.write(Epoch(2), &[rows(&["c"])]).await.expect("written");
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().expect("a consumer");
    let (_, end) = reader.fetch_watermarks("copia", 0, Duration::from_secs(20)).expect("an answer");
    assert_eq!(end, 3, "each came once");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_that_is_committed_again_never_goes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = "127.0.0.1:0".parse().expect("an address");
    let broker = Broker::start(address, dir.path(), Limits::default()).expect("it starts");
    let config = KafkaConfig { brokers: broker.address().to_string(), ..KafkaConfig::default() };
    let new_process = || KafkaSink::new(&config, "copia", "copia", &["p".to_owned()]);
    let first = new_process();
    first.keep_progress().await.expect("nothing to keep");
    assert_eq!(first.last_epoch().await.expect("an answer"), None);
    first.write(Epoch(1), &[rows(&["a"])]).await.expect("written");
    first.keep_progress().await.expect("kept");
    let second = new_process();
    assert_eq!(second.last_epoch().await.expect("an answer"), Some(Epoch(1)));
    second.write(Epoch(2), &[rows(&["b"])]).await.expect("written");
    first.keep_progress().await.expect("left to its successor");
    assert_eq!(new_process().last_epoch().await.expect("an answer"), Some(Epoch(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_is_made_again_after_a_failure() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = "127.0.0.1:0".parse().expect("an address");
    let broker = Broker::start(address, dir.path(), Limits::default()).expect("it starts");
    let config = KafkaConfig { brokers: broker.address().to_string(), ..KafkaConfig::default() };
    let sink = KafkaSink::new(&config, "copia", "copia", &["p".to_owned()]);
    sink.write(Epoch(1), &[rows(&["a"])]).await.expect("written");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    let admin: AdminClient<DefaultClientContext> = client.create().expect("a client");
    let deleted = admin.delete_topics(&["copia"], &AdminOptions::new()).await.expect("an answer");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    // More than a message may have.
    let long = "x".repeat(2 << 20);
    sink.write(Epoch(2), &[rows(&[long.as_str()])]).await.expect_err("too large");
    assert_eq!(sink.last_epoch().await.expect("an answer"), None, "nothing is left of it");
    let all = admin.inner().fetch_metadata(None, Duration::from_secs(20)).expect("metadata");
    let partitions = all.topics().iter().find(|topic| topic.name() == "copia").map(|topic| topic.partitions().len());
    // A topic that the broker makes by itself has more of them.
    assert_eq!(partitions, Some(1));
    sink.write(Epoch(2), &[rows(&["a"])]).await.expect("written");
}
