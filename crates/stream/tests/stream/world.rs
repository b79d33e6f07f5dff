//! A shop on a topic of its own. Its broker is in memory, unless a test is about Kafka itself.

mod questions;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_connect::{Connector, Lookups, Sink, TableLookup};
use vitral_panes::view::{Completeness, View, ViewReceiver};
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::{Clock, ManualClock, SystemClock};
use vitral_schemas::topic::Topic;
use vitral_store::Location;
use vitral_stream::{StreamConfig, StreamError, StreamHandle, StreamTelemetry, pipeline};

pub use self::questions::*;

pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a partition goes on alone before a test gives up.
const ROUNDS_MAX: usize = 50;

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Where a manual clock begins: 2025-05-14T12:00:00Z.
pub const NOON_MS: i64 = 1_747_224_000_000;

/// Where a test's messages go.
pub trait TestBroker: Clone {
    /// Sends messages to one partition, in their order; returns once the broker has them.
    fn send_to(&self, topic: &str, partition: i32, payloads: &[&[u8]]);

    /// Sends keyed messages: equal keys go to the same partition.
    fn send_keyed(&self, topic: &str, messages: &[(&str, &[u8])]);

    /// Everything in a topic of dead letters, in its order.
    fn dead_letters(&self, topic: &str) -> Vec<DeadLetter>;
}

#[derive(Clone)]
pub struct Shop<B = MemoryBroker> {
    pub topic: Topic,
    pub broker: B,
    connector: Arc<dyn Connector>,
    catalog: Arc<Catalog>,
    lookups: Lookups,
    row_sinks: BTreeMap<String, Arc<dyn Sink>>,
    clock: Arc<dyn Clock>,
}

impl Shop {
    /// The built-in catalog on a topic of its own.
    pub fn new(partitions: usize) -> Self {
        let shop = Self::without_topic();
        shop.broker.create_topic(&shop.topic.kafka_topic, partitions);
        shop
    }

    /// The same on a topic that does not exist yet.
    pub fn without_topic() -> Self {
        let broker = MemoryBroker::new();
        Self::of(broker.clone(), Arc::new(broker))
    }

    /// A shop whose wall clock stays at [`NOON_MS`] until it is moved.
    pub fn at_noon(partitions: usize) -> (Self, Arc<ManualClock>) {
        Self::new(partitions).with_clock_at_noon()
    }
}

impl<B: TestBroker> Shop<B> {
    /// On a topic with a name of its own, which is not made.
    pub fn of(broker: B, connector: Arc<dyn Connector>) -> Self {
        let mut catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        // The others have pipelines of their own, which tests of one do not start.
        catalog.topics.truncate(1);
        catalog.topics[0].kafka_topic = format!("eventos-{}", uuid::Uuid::new_v4());
        let topic = catalog.topics[0].clone();
        Self {
            topic,
            broker,
            connector,
            catalog: Arc::new(catalog),
            lookups: Lookups::default(),
            row_sinks: BTreeMap::new(),
            clock: Arc::new(SystemClock),
        }
    }

    pub fn with_clock_at_noon(self) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(NOON_MS));
        (Self { clock: clock.clone(), ..self }, clock)
    }

    /// The same topic under a catalog with these statements on top.
    pub fn with_catalog(&self, text: &str) -> Self {
        let file = SourceFile { path: "above.sql".to_owned(), text: text.to_owned() };
        let below = vitral_catalog::builtin_files(&[vitral_catalog::DEFAULT_DOMAIN]);
        let mut catalog = Catalog::parse(&[below, vec![file]], &DomainSettings::default()).expect("a catalog");
        catalog.topics.truncate(1);
        catalog.topics[0].kafka_topic = self.topic.kafka_topic.clone();
        Self { topic: catalog.topics[0].clone(), catalog: Arc::new(catalog), ..self.clone() }
    }

    /// A topic of the built-in catalog, of which only these files are there, with these statements
    /// on top.
    pub fn of_files(&self, files: &[&str], text: &str) -> Self {
        let mut below = vitral_catalog::builtin_files(&[vitral_catalog::DEFAULT_DOMAIN]);
        below.retain(|file| files.iter().any(|name| file.path.ends_with(name)));
        assert_eq!(below.len(), files.len(), "the catalog has all of them");
        let file = SourceFile { path: "above.sql".to_owned(), text: text.to_owned() };
        let mut catalog = Catalog::parse(&[below, vec![file]], &DomainSettings::default()).expect("a catalog");
        catalog.topics[0].kafka_topic = self.topic.kafka_topic.clone();
        Self { topic: catalog.topics[0].clone(), catalog: Arc::new(catalog), ..self.clone() }
    }

    /// The topic that this statement declares, and nothing else, on a topic of its own, which is
    /// not made.
    pub fn with_topic(&self, text: &str) -> Self {
        let file = SourceFile { path: "topic.sql".to_owned(), text: text.to_owned() };
        let mut catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        catalog.topics[0].kafka_topic = format!("mudancas-{}", uuid::Uuid::new_v4());
        Self { topic: catalog.topics[0].clone(), catalog: Arc::new(catalog), ..self.clone() }
    }

    /// The topic that this statement declares now, on the same topic.
    pub fn with_changed_topic(&self, text: &str) -> Self {
        let changed = self.with_topic(text);
        let mut catalog = Catalog::clone(&changed.catalog);
        catalog.topics[0].kafka_topic.clone_from(&self.topic.kafka_topic);
        Self { topic: catalog.topics[0].clone(), catalog: Arc::new(catalog), ..changed }
    }

    /// The same, with these look-up tables.
    pub fn with_lookups(&self, tables: impl IntoIterator<Item = (String, TableLookup)>) -> Self {
        Self { lookups: Lookups::new(tables), ..self.clone() }
    }

    /// The same, with this place for a log of rows.
    pub fn with_row_sink(&self, log: &str, sink: Arc<dyn Sink>) -> Self {
        Self { row_sinks: BTreeMap::from([(log.to_owned(), sink)]), ..self.clone() }
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The same topic, read in another way.
    pub fn through(&self, connector: impl Connector + 'static) -> Self {
        Self { connector: Arc::new(connector), ..self.clone() }
    }

    /// Commits and shows soon.
    pub fn config(&self, data_dir: &Path) -> StreamConfig {
        StreamConfig {
            commit_interval: Duration::from_millis(200),
            live_refresh: Duration::from_millis(50),
            ..StreamConfig::new(Location::folder(data_dir).expect("a folder"))
        }
    }

    pub fn start(&self, data_dir: &Path) -> (StreamHandle, ViewReceiver) {
        self.start_with(self.config(data_dir))
    }

    pub fn start_with(&self, config: StreamConfig) -> (StreamHandle, ViewReceiver) {
        let telemetry = StreamTelemetry::register(&mut Registry::default());
        self.start_observed(config, telemetry)
    }

    pub fn start_observed(&self, config: StreamConfig, telemetry: StreamTelemetry) -> (StreamHandle, ViewReceiver) {
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let context = pipeline::Context {
            config,
            connector: Arc::clone(&self.connector),
            lookups: self.lookups.clone(),
            row_sinks: self.row_sinks.clone(),
            catalog: Arc::clone(&self.catalog),
            settings: DomainSettings::default(),
            clock: Arc::clone(&self.clock),
            view: sender,
            telemetry,
            runtime: tokio::runtime::Handle::current(),
        };
        (vitral_stream::start(context, self.topic.clone()).expect("started"), view)
    }

    /// The identity of the topic's log.
    pub fn log(&self) -> String {
        let source = self.connector.source(&self.topic).expect("a source");
        source.log().identity().expect("an identity")
    }

    /// Sends keyed messages, as shops do.
    pub fn produce<K: AsRef<str>, P: AsRef<[u8]>>(&self, messages: &[(K, P)]) {
        let messages: Vec<_> = messages.iter().map(|(key, payload)| (key.as_ref(), payload.as_ref())).collect();
        self.broker.send_keyed(&self.topic.kafka_topic, &messages);
    }

    /// Sends messages to one partition, in their order.
    pub fn produce_to<P: AsRef<[u8]>>(&self, partition: i32, payloads: &[P]) {
        let payloads: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
        self.broker.send_to(&self.topic.kafka_topic, partition, &payloads);
    }

    /// What was refused, in the order of the dead letters' topic, as soon as there are `count`.
    pub fn dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        let began = Instant::now();
        loop {
            let found = self.broker.dead_letters(&self.topic.dead_letter_topic());
            if found.len() >= count {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{} of {count} dead letters came", found.len());
        }
    }
}

impl TestBroker for MemoryBroker {
    fn send_to(&self, topic: &str, partition: i32, payloads: &[&[u8]]) {
        let messages = payloads.iter().map(|payload| MemoryMessage::new(payload));
        self.append_all(topic, PartitionId(partition), messages).expect("appended");
    }

    fn send_keyed(&self, topic: &str, messages: &[(&str, &[u8])]) {
        let partitions = self.partition_count(topic) as u64;
        for (key, payload) in messages {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let partition = PartitionId((hasher.finish() % partitions) as i32);
            let message = MemoryMessage::new(payload).with_key(key.as_bytes());
            self.append(topic, partition, message).expect("appended");
        }
    }

    fn dead_letters(&self, topic: &str) -> Vec<DeadLetter> {
        let letter = |message: MemoryMessage| {
            let payload = message.payload.unwrap_or_default().to_vec();
            DeadLetter { payload, headers: message.headers }
        };
        self.messages(topic, PartitionId(0)).into_iter().map(|(_, message)| letter(message)).collect()
    }
}

pub struct DeadLetter {
    pub payload: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl DeadLetter {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub fn key(id: usize) -> String {
    format!("u{}", id % 17)
}

pub fn event(id: usize, product: &str, kind: &str) -> Vec<u8> {
    event_at(id, product, kind, chrono::Utc::now().timestamp_millis())
}

pub fn event_at(id: usize, product: &str, kind: &str, time_ms: i64) -> Vec<u8> {
    let time = chrono::DateTime::from_timestamp_millis(time_ms).expect("a time").to_rfc3339();
    format!(
        r#"{{"id_usuario":"{}","tipo_evento":"{kind}","id_produto":"{product}","timestamp":"{time}","id_evento":"e{id}"}}"#,
        key(id)
    )
    .into_bytes()
}

/// Stops the stream, which must end in order.
pub async fn end(mut stream: StreamHandle) {
    stream.stop();
    stream.finished().await.expect("an ordered end");
}

/// Why the stream ends by itself.
pub async fn failure(mut stream: StreamHandle) -> StreamError {
    let outcome = tokio::time::timeout(PATIENCE, stream.finished()).await.expect("an end");
    outcome.expect_err("an error")
}

/// The clock moves on by more than the idle time, and partition 0 alone has an event, with the new
/// time.
pub async fn go_on<B: TestBroker>(shop: &Shop<B>, clock: &ManualClock, view: &mut ViewReceiver) -> Completeness {
    let read = completeness(&view.borrow()).read;
    let now_ms = clock.now_ms() + shop.topic.idle_ms + 1_000;
    clock.set_ms(now_ms);
    let id = usize::try_from(now_ms).expect("after 1970");
    shop.produce_to(0, &[event_at(id, "p0", "clique", now_ms)]);
    wait_for(view, "partition 0 goes on", |seen| seen.read > read).await
}

/// Partition 0 goes on alone, until the stream is seen to be `done`.
pub async fn go_on_until<B: TestBroker>(
    shop: &Shop<B>,
    clock: &ManualClock,
    view: &mut ViewReceiver,
    what: &str,
    done: impl Fn(&Completeness) -> bool,
) -> Completeness {
    for _ in 0..ROUNDS_MAX {
        let seen = go_on(shop, clock, view).await;
        if done(&seen) {
            return seen;
        }
    }
    panic!("{what}: {:?}", completeness(&view.borrow()))
}
