//! The implementations in memory conform, and the broker in memory behaves like one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Column, ColumnKind, Topic};

use vitral_connect::conformance::{self, TestTopic};
use vitral_connect::memory::{MemoryBroker, MemoryLookup, MemoryMessage, MemoryNotifier, MemorySink};
use vitral_connect::{
    Connector, Epoch, LookupExt, Outgoing, RetryHint, RetryPolicy, Sink, SinkExt, Source, TroubleKind,
};

const FIRST: PartitionId = PartitionId(0);

struct InMemory {
    broker: MemoryBroker,
    topic: Topic,
}

impl InMemory {
    fn new() -> Self {
        let broker = MemoryBroker::new();
        let topic = topic();
        broker.create_topic(&topic.kafka_topic, 2);
        Self { broker, topic }
    }

    fn append(&self, payloads: &[&[u8]]) {
        let messages = payloads.iter().map(|payload| MemoryMessage::new(payload));
        self.broker.append_all(&self.topic.kafka_topic, FIRST, messages).expect("appended");
    }

    fn source_at(&self, offset: i64) -> Box<dyn Source> {
        let mut source = self.broker.source(&self.topic).expect("a source");
        source.assign(&BTreeMap::from([(FIRST, Some(Offset(offset)))])).expect("assigned");
        source
    }
}

impl TestTopic for InMemory {
    fn connector(&self) -> &dyn Connector {
        &self.broker
    }

    fn topic(&self) -> &Topic {
        &self.topic
    }

    fn append(&self, partition: PartitionId, key: Option<&[u8]>, payload: Option<&[u8]>) {
        let message = MemoryMessage { key: key.map(Into::into), payload: payload.map(Into::into), headers: Vec::new() };
        self.broker.append(&self.topic.kafka_topic, partition, message).expect("appended");
    }
}

fn topic() -> Topic {
    Topic {
        name: "eventos".to_owned(),
        kafka_topic: "eventos".to_owned(),
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

fn texts(columns: &[(&str, &[&str])]) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.to_vec())) as _).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("rows")
}

#[test]
fn a_source_in_memory_conforms() {
    conformance::source_conforms(&InMemory::new());
}

#[tokio::test]
async fn dead_letters_in_memory_conform() {
    let test = InMemory::new();
    conformance::dead_letters_conform(&test).await;
    let kept = test.broker.messages(&test.topic.dead_letter_topic(), FIRST);
    let header = |name: &str| kept[0].1.header(name);
    assert_eq!((header("vitral.reason"), header("vitral.offset")), (Some("json"), Some("7")));
    assert_eq!(header("vitral.partition"), Some("3"));
}

#[tokio::test]
async fn a_publisher_in_memory_conforms() {
    let test = InMemory::new();
    conformance::publisher_conforms(&test).await;
    let kept = test.broker.messages(&test.topic.kafka_topic, FIRST);
    assert_eq!(kept[0].1.header("vitral.correlation_id"), Some("c1"));
    // Nothing is sent to a broker that is away, or to a topic that is not there.
    test.broker.set_away(true);
    let publisher = test.broker.publisher(Duration::ZERO).expect("a publisher");
    let unsent = publisher.publish(&test.topic.kafka_topic, vec![Outgoing::default()]).await.remove(0);
    let unsent = unsent.expect_err("it is away");
    assert!(unsent.error.is_outage() && !unsent.may_have_arrived);
    test.broker.set_away(false);
    assert!(publisher.publish("nenhum", vec![Outgoing::default()]).await.remove(0).is_err());
}

#[tokio::test]
async fn a_lookup_in_memory_conforms_with_and_without_decorators() {
    let rows = texts(&[("chave", &["a", "b", "b"]), ("valor", &["1", "0", "2"])]);
    let lookup = || MemoryLookup::new(&rows, "chave").expect("a look-up");
    conformance::lookup_conforms(&lookup(), "valor").await;
    let policy = RetryPolicy::endless(Duration::from_millis(1), Duration::from_millis(1));
    let decorated = lookup().timed_out(Duration::from_secs(5)).retrying(policy);
    conformance::lookup_conforms(&decorated, "valor").await;
    let rows = texts(&[("chave", &["a", "b"]), ("valor", &["1", "2"])]);
    let whole = || MemoryLookup::new(&rows, "chave").expect("a look-up");
    conformance::whole_table_conforms(&whole(), "valor").await;
    let decorated = whole().timed_out(Duration::from_secs(5)).retrying(policy);
    conformance::whole_table_conforms(&decorated.with_breaker(), "valor").await;
    MemoryLookup::new(&rows, "outra").expect_err("it has no such key");
}

fn sum(sink: &MemorySink) -> i64 {
    let numbers = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    sink.written().values().flatten().map(numbers).sum()
}

#[tokio::test]
async fn a_sink_in_memory_conforms() {
    let sink = MemorySink::new();
    conformance::sink_conforms(&sink, async || sum(&sink)).await;
}

#[tokio::test]
async fn a_sink_in_memory_conforms_by_key() {
    let sink = MemorySink::new();
    let found = async || {
        let number = |row: &str| row.rsplit_once(':').and_then(|(_, end)| end.trim_end_matches('}').parse().ok());
        let rows = sink.rows(&["chave".to_owned()]);
        rows.into_iter().map(|(key, row)| (key, number(&row).expect("a number"))).collect()
    };
    conformance::keyed_sink_conforms(&sink, found).await;
}

#[tokio::test]
async fn a_sink_with_decorators_writes_an_epoch_once() {
    let policy = RetryPolicy::endless(Duration::from_millis(1), Duration::from_millis(1));
    let sink = MemorySink::new().retrying(policy).timed_out(Duration::from_secs(5));
    let rows = texts(&[("a", &["x"])]);
    for _ in 0..2 {
        sink.write(Epoch(1), std::slice::from_ref(&rows)).await.expect("written");
    }
    assert_eq!(sink.last_epoch().await.expect("an epoch"), Some(Epoch(1)));
}

#[tokio::test]
async fn a_notifier_in_memory_conforms() {
    let notifier = MemoryNotifier::new();
    let ids = async || notifier.delivered().into_iter().map(|notification| notification.id).collect();
    conformance::notifier_conforms(&notifier, ids).await;
}

#[test]
fn offsets_that_are_never_delivered_show_as_a_step() {
    let test = InMemory::new();
    let topic = &test.topic.kafka_topic;
    test.append(&[b"a"]);
    test.broker.append_gap(topic, FIRST, 3).expect("a gap");
    let mut source = test.source_at(0);
    let polled = source.poll(Duration::ZERO, 10).expect("a poll");
    assert_eq!((polled.message_count(), polled.ends[0].next_offset), (1, Offset(4)));
    test.append(&[b"b"]);
    let polled = source.poll(Duration::ZERO, 10).expect("a poll");
    assert_eq!((polled.batches[0].offset(0), polled.ends[0].next_offset), (Offset(4), Offset(5)));
    // A gap alone moves the end.
    test.broker.append_gap(topic, FIRST, 1).expect("a gap");
    let polled = source.poll(Duration::ZERO, 10).expect("a poll");
    assert_eq!((polled.message_count(), polled.ends[0].next_offset), (0, Offset(6)));
}

#[test]
fn what_was_deleted_or_is_damaged_is_named() {
    let test = InMemory::new();
    let topic = &test.topic.kafka_topic;
    test.append(&[b"0", b"1", b"2", b"3", b"4"]);
    test.broker.delete_before(topic, FIRST, Offset(1)).expect("deleted");
    test.broker.damage(topic, FIRST, Offset(2)..Offset(4)).expect("damaged");
    let trouble = |offset: i64| {
        let polled = test.source_at(offset).poll(Duration::ZERO, 10).expect("a poll");
        (polled.message_count(), polled.trouble.map(|trouble| (trouble.kind, trouble.offset)))
    };
    assert_eq!(trouble(0), (0, Some((TroubleKind::OffsetsGone, Offset(0)))));
    assert_eq!(trouble(1), (1, Some((TroubleKind::Unreadable, Offset(2)))));
    assert_eq!(trouble(4), (1, None));
    assert_eq!(trouble(9), (0, Some((TroubleKind::OffsetsGone, Offset(9)))));
    let log = test.source_at(1).log();
    assert_eq!(log.unreadable_until(FIRST, Offset(3), Offset(5)).expect("an answer"), Some(Offset(4)));
    assert_eq!(log.range(FIRST, Duration::ZERO).expect("its range"), Offset(1)..Offset(5));
}

#[test]
fn a_broker_that_is_away_answers_nothing_until_it_is_back() {
    let test = InMemory::new();
    let mut source = test.source_at(0);
    test.append(&[b"a"]);
    test.broker.set_away(true);
    assert_eq!(source.poll(Duration::ZERO, 10).expect("a poll").message_count(), 0);
    let error = source.log().partitions().expect_err("no answer");
    assert_eq!(error.retry_hint(), RetryHint::Outage);
    test.broker.set_away(false);
    assert_eq!(source.poll(Duration::ZERO, 10).expect("a poll").message_count(), 1);
}

#[test]
fn a_topic_that_was_created_again_has_another_identity() {
    let test = InMemory::new();
    let log = test.source_at(0).log();
    let before = log.identity().expect("an identity");
    test.broker.add_partitions(&test.topic.kafka_topic, 1);
    assert_eq!(log.partitions().expect("partitions").len(), 3);
    assert_eq!(log.identity().expect("an identity"), before);
    test.broker.create_topic(&test.topic.kafka_topic, 1);
    assert_ne!(log.identity().expect("an identity"), before);
}
