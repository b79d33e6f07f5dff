//! A Kafka client against the broker: topics, codecs, groups, restarts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use vitral_broker::{Broker, Limits};

const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: &str = "events";

fn start(address: &str, dir: &Path) -> Broker {
    let broker = Broker::start(address.parse().expect("an address"), dir, Limits::default()).expect("it starts");
    broker.ensure_topic(TOPIC, 2).expect("the topic");
    broker
}

fn client(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.to_string());
    config
}

fn produce(config: &ClientConfig, values: &[String]) {
    let producer: BaseProducer = config.create().expect("a producer");
    for value in values {
        let headers = OwnedHeaders::new().insert(Header { key: "origin", value: Some("test") });
        producer.send(BaseRecord::to(TOPIC).key(value).payload(value).headers(headers)).expect("queued");
    }
    producer.flush(PATIENCE).expect("all are taken");
}

fn assigned(address: SocketAddr) -> BaseConsumer {
    let consumer: BaseConsumer = client(address).set("group.id", "none").create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..2 {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("assigned");
    consumer
}

fn values(consumer: &BaseConsumer, count: usize) -> BTreeSet<String> {
    let (mut values, began) = (BTreeSet::new(), Instant::now());
    while values.len() < count {
        assert!(began.elapsed() < PATIENCE, "{} of {count} came", values.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a message");
        assert_eq!(message.headers().map(|headers| headers.get(0).value), Some(Some(b"test".as_slice())));
        values.insert(String::from_utf8(message.payload().expect("a value").to_vec()).expect("text"));
    }
    values
}

#[test]
fn every_codec_with_and_without_idempotence_is_read_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let mut sent = BTreeSet::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for idempotence in ["true", "false"] {
            let batch: Vec<String> = (0..500).map(|n| format!("{codec} {idempotence} {n}")).collect();
            let mut config = client(broker.address());
            produce(config.set("compression.type", codec).set("enable.idempotence", idempotence), &batch);
            sent.extend(batch);
        }
    }
    assert_eq!(values(&assigned(broker.address()), sent.len()), sent);
}

#[test]
fn a_restart_keeps_messages_and_what_groups_have_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let address = broker.address();
    let mut config = client(address);
    config.set("group.id", "readers").set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let first: Vec<String> = (0..100).map(|n| format!("first {n}")).collect();
    produce(&client(address), &first);
    let reader: BaseConsumer = config.create().expect("a consumer");
    reader.subscribe(&[TOPIC]).expect("subscribed");
    assert_eq!(values(&reader, 100), first.into_iter().collect());
    reader.commit_consumer_state(CommitMode::Sync).expect("committed");
    drop(reader);
    broker.stop().expect("stopped");

    let broker = start(&address.to_string(), dir.path());
    let second: Vec<String> = (0..100).map(|n| format!("second {n}")).collect();
    produce(&client(address), &second);
    let reader: BaseConsumer = config.create().expect("a consumer");
    reader.subscribe(&[TOPIC]).expect("subscribed");
    assert_eq!(values(&reader, 100), second.into_iter().collect());
    assert_eq!(values(&assigned(address), 200).len(), 200);
    drop(reader);
    broker.stop().expect("stopped");
}

#[test]
fn two_members_of_a_group_share_the_partitions() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let mut config = client(broker.address());
    config.set("group.id", "shared").set("auto.offset.reset", "earliest").set("session.timeout.ms", "6000");
    let members: Vec<BaseConsumer> = (0..2).map(|_| config.create().expect("a consumer")).collect();
    members.iter().for_each(|member| member.subscribe(&[TOPIC]).expect("subscribed"));
    let partitions = |count| {
        let began = Instant::now();
        loop {
            members.iter().take(count).for_each(|member| drop(member.poll(Duration::from_millis(50))));
            let assignments =
                members.iter().take(count).map(|member| member.assignment().expect("an assignment").count());
            if assignments.clone().sum::<usize>() == 2 && assignments.clone().all(|share| share == 2 / count) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{:?}", assignments.collect::<Vec<_>>());
        }
    };
    partitions(2);
    // One leaves; the other gets all.
    members[1].unsubscribe();
    let began = Instant::now();
    while members[0].assignment().expect("an assignment").count() != 2 {
        members.iter().for_each(|member| drop(member.poll(Duration::from_millis(50))));
        assert!(began.elapsed() < PATIENCE, "the partitions of a member that left stay unread");
    }
}

#[test]
fn transactions_are_refused_in_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let producer: BaseProducer = client(broker.address()).set("transactional.id", "t1").create().expect("a producer");
    let error = producer.init_transactions(PATIENCE).expect_err("refused").to_string();
    assert!(error.contains("has no transactions"), "{error}");
}

#[test]
fn topics_are_made_deleted_and_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let admin: AdminClient<DefaultClientContext> = client(broker.address()).create().expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = AdminOptions::new();
        let create = |partitions| {
            let admin = &admin;
            let options = &options;
            async move {
                let topic = NewTopic::new("made", partitions, TopicReplication::Fixed(1));
                admin.create_topics([&topic], options).await.expect("an answer").remove(0)
            }
        };
        create(3).await.expect("made");
        assert!(create(3).await.is_err(), "it is there");
        admin.delete_topics(&["made"], &options).await.expect("an answer").remove(0).expect("deleted");
        create(5).await.expect("created again");
    });
    let metadata = admin.inner().fetch_metadata(Some("made"), PATIENCE).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
}

#[test]
fn both_loopback_addresses_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start("127.0.0.1:0", dir.path());
    let other = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), broker.address().port());
    if std::net::TcpStream::connect(other).is_err() {
        // A machine without the newer protocol.
        assert!(std::net::TcpListener::bind("[::1]:0").is_err(), "it could have been listened on");
        return;
    }
    let consumer: BaseConsumer = client(other).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(TOPIC), PATIENCE).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 2);
}
