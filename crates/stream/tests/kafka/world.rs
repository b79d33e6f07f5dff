//! A shop on a topic of its own, and the questions that tests ask of its stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use prometheus_client::registry::Registry;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_schemas::time::{Clock, ManualClock, SystemClock};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_schemas::view::{Completeness, View, ViewReceiver};
use vitral_store::{Location, read_session};
use vitral_stream::kafka::{EventProducer, Source, client, create_topic};
use vitral_stream::{KafkaConfig, StreamConfig, StreamError, StreamHandle, StreamTelemetry, pipeline};

pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a partition goes on alone before a test gives up.
const ROUNDS_MAX: usize = 50;

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Where a manual clock begins: 2025-05-14T12:00:00Z.
pub const NOON_MS: i64 = 1_747_224_000_000;

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

pub struct Shop {
    pub kafka: KafkaConfig,
    pub topic: Topic,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    producer: FutureProducer,
}

impl Shop {
    /// The built-in catalog on a topic of its own.
    pub async fn new(kafka: KafkaConfig, partitions: i32) -> Self {
        Self::with_settings(kafka, partitions, &[]).await
    }

    /// The same, with settings of the topic in Kafka.
    pub async fn with_settings(kafka: KafkaConfig, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let mut catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        let name = format!("eventos-{}", uuid::Uuid::new_v4());
        catalog.topics[0].kafka_topic = name.clone();
        create_topic(&kafka, &name, partitions, settings).await.expect("a topic");
        let topic = catalog.topics[0].clone();
        let producer = producer(&kafka, &[("enable.idempotence", "true"), ("linger.ms", "0")]);
        Self { kafka, topic, catalog: Arc::new(catalog), clock: Arc::new(SystemClock), producer }
    }

    /// A shop whose wall clock stands at [`NOON_MS`] until it is moved.
    pub async fn at_noon(kafka: KafkaConfig, partitions: i32) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(NOON_MS));
        let shop = Self::new(kafka, partitions).await;
        (Self { clock: clock.clone(), ..shop }, clock)
    }

    /// Commits and shows soon.
    pub fn config(&self, data_dir: &Path) -> StreamConfig {
        StreamConfig {
            cycle: Duration::from_millis(200),
            refresh: Duration::from_millis(50),
            ..StreamConfig::new(self.kafka.clone(), Location::folder(data_dir).expect("a folder"))
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
            catalog: Arc::clone(&self.catalog),
            settings: DomainSettings::default(),
            clock: Arc::clone(&self.clock),
            view: sender,
            telemetry,
            runtime: tokio::runtime::Handle::current(),
        };
        (vitral_stream::start(context, self.topic.clone()).expect("started"), view)
    }

    /// Sends keyed messages, as shops do.
    pub fn produce<K: AsRef<str>, P: AsRef<[u8]>>(&self, messages: &[(K, P)]) {
        let producer = EventProducer::new(&self.kafka, &self.topic.kafka_topic).expect("a producer");
        for (key, payload) in messages {
            producer.send(key.as_ref(), payload.as_ref()).expect("sent");
        }
        producer.flush(PATIENCE).expect("flushed");
        assert_eq!(producer.undelivered(), 0);
    }

    /// Sends messages to one partition, in their order.
    pub async fn produce_to<P: AsRef<[u8]>>(&self, partition: i32, payloads: &[P]) {
        send(&self.producer, &self.topic.kafka_topic, partition, payloads).await;
    }

    /// The same by a producer of its own with these settings.
    pub async fn produce_with<P: AsRef<[u8]>>(&self, settings: &[(&str, &str)], partition: i32, payloads: &[P]) {
        send(&producer(&self.kafka, settings), &self.topic.kafka_topic, partition, payloads).await;
    }

    /// The built-in catalog on a topic that does not exist yet.
    pub fn without_topic(kafka: KafkaConfig) -> Self {
        let mut catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        catalog.topics[0].kafka_topic = format!("eventos-{}", uuid::Uuid::new_v4());
        let topic = catalog.topics[0].clone();
        let producer = producer(&kafka, &[("enable.idempotence", "true"), ("linger.ms", "0")]);
        Self { kafka, topic, catalog: Arc::new(catalog), clock: Arc::new(SystemClock), producer }
    }

    /// The same topic under a catalog with these statements on top.
    pub fn with_catalog(&self, text: &str) -> Self {
        let file = SourceFile { path: "above.sql".to_owned(), text: text.to_owned() };
        let below = vitral_catalog::builtin_files(&[vitral_catalog::DEFAULT_DOMAIN]);
        let mut catalog = Catalog::parse(&[below, vec![file]], &DomainSettings::default()).expect("a catalog");
        catalog.topics[0].kafka_topic = self.topic.kafka_topic.clone();
        let (kafka, clock) = (self.kafka.clone(), Arc::clone(&self.clock));
        Self {
            kafka,
            topic: catalog.topics[0].clone(),
            catalog: Arc::new(catalog),
            clock,
            producer: self.producer.clone(),
        }
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        client(&self.kafka).create().expect("an admin client")
    }

    /// What was refused, in the order of the dead letters' topic, as soon as there are `count`.
    pub fn dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        let mut source = Source::new(&self.kafka, &self.topic.dead_letter_topic(), 8 << 20).expect("a source");
        source.assign(&[(0, None)]).expect("assigned");
        let began = Instant::now();
        let mut found = Vec::new();
        while found.len() < count {
            assert!(began.elapsed() < PATIENCE, "{} of {count} dead letters came", found.len());
            let polled = source.poll(Duration::from_millis(200), 1_000).expect("polled");
            found.extend(polled.messages.iter().map(|message| DeadLetter {
                payload: message.payload().unwrap_or_default().to_vec(),
                headers: message.headers(),
            }));
        }
        found
    }
}

pub struct DeadLetter {
    pub payload: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl DeadLetter {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn producer(kafka: &KafkaConfig, settings: &[(&str, &str)]) -> FutureProducer {
    let mut client = client(kafka);
    for (key, value) in settings {
        client.set(*key, *value);
    }
    client.create().expect("a producer")
}

async fn send<P: AsRef<[u8]>>(producer: &FutureProducer, topic: &str, partition: i32, payloads: &[P]) {
    let mut deliveries = Vec::new();
    for payload in payloads {
        let record = FutureRecord::<(), [u8]>::to(topic).partition(partition).payload(payload.as_ref());
        deliveries.push(producer.send_result(record).map_err(|(error, _)| error).expect("queued"));
    }
    for delivery in deliveries {
        let outcome = delivery.await.expect("an answer");
        outcome.map_err(|(error, _)| error).expect("taken by the broker");
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

pub fn completeness(view: &View) -> Completeness {
    view.topics.values().next().map(|topic| topic.completeness.clone()).unwrap_or_default()
}

/// Waits for a view; a stream that ends meanwhile is as good as one that never gets there.
pub async fn wait_until(view: &mut ViewReceiver, what: &str, done: impl Fn(&View) -> bool) -> Arc<View> {
    let began = Instant::now();
    loop {
        let seen: Arc<View> = view.borrow_and_update().clone();
        if done(&seen) {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {:?}", completeness(&seen));
        if let Ok(Err(_)) = tokio::time::timeout(Duration::from_secs(1), view.changed()).await {
            let last: Arc<View> = view.borrow().clone();
            assert!(done(&last), "{what}: the stream has ended at {:?}", completeness(&last));
            return last;
        }
    }
}

pub async fn wait_for(view: &mut ViewReceiver, what: &str, done: impl Fn(&Completeness) -> bool) -> Completeness {
    let is_done = |view: &View| !view.topics.is_empty() && done(&completeness(view));
    let seen = wait_until(view, what, is_done).await;
    completeness(&seen)
}

/// The clock moves on by more than the idle time, and partition 0 alone has an event, which bears the new time.
pub async fn go_on(shop: &Shop, clock: &ManualClock, view: &mut ViewReceiver) -> Completeness {
    let read = completeness(&view.borrow()).read;
    let now_ms = clock.now_ms() + shop.topic.idle_ms + 1_000;
    clock.set_ms(now_ms);
    let id = usize::try_from(now_ms).expect("after 1970");
    shop.produce_to(0, &[event_at(id, "p0", "clique", now_ms)]).await;
    wait_for(view, "partition 0 goes on", |seen| seen.read > read).await
}

/// Partition 0 goes on alone, until the stream is seen to be `done`.
pub async fn go_on_until(
    shop: &Shop,
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

/// Final rows of a metric.
pub async fn published(view: &ViewReceiver, metric: &str) -> Vec<RecordBatch> {
    let table = view.borrow().metrics[metric].published.clone();
    read_session(1).read_table(table).expect("a table").collect().await.expect("its rows")
}

/// Provisional and final rows of a metric.
pub async fn rows_of(view: &ViewReceiver, metric: &str) -> Vec<RecordBatch> {
    let mut batches: Vec<RecordBatch> = view.borrow().metrics[metric].open.values().cloned().collect();
    batches.extend(published(view, metric).await);
    batches
}

/// How often each product was viewed, over all windows. Once a stream has ended this is of everything that it read.
pub async fn product_views(view: &ViewReceiver) -> BTreeMap<String, i64> {
    views_in(&rows_of(view, "produtos_mais_vistos").await)
}

/// The same over these rows.
pub fn views_in(batches: &[RecordBatch]) -> BTreeMap<String, i64> {
    let mut totals = BTreeMap::new();
    for batch in batches {
        let products = batch.column_by_name("id_produto").expect("the product").as_string::<i32>();
        let views = batch.column_by_name("visualizacoes").expect("its views").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            *totals.entry(products.value(row).to_owned()).or_default() += views.value(row);
        }
    }
    totals
}

pub fn views<const N: usize>(products: [(&str, i64); N]) -> BTreeMap<String, i64> {
    products.map(|(product, views)| (product.to_owned(), views)).into()
}

/// Every row of every metric as text, in one order.
pub async fn all_rows(view: &ViewReceiver) -> BTreeMap<String, Vec<String>> {
    let names: Vec<String> = view.borrow().metrics.keys().cloned().collect();
    let mut all = BTreeMap::new();
    for name in names {
        let batches = rows_of(view, &name).await;
        let mut rows: Vec<String> =
            batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| text(batch, row))).collect();
        rows.sort_unstable();
        all.insert(name, rows);
    }
    all
}

fn text(batch: &RecordBatch, row: usize) -> String {
    let values = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => array_value_to_string(column, row).expect("a text"),
    });
    values.collect::<Vec<_>>().join("|")
}

/// A row of the archive; `last` is that of a range that was never delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    pub partition: i32,
    pub offset: i64,
    pub last: i64,
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    /// Why a range was passed over.
    pub unread: Option<Unread>,
}

impl Archived {
    pub fn range(&self) -> (i64, i64, Verdict) {
        (self.offset, self.last, self.verdict)
    }
}

/// Every row of the archive, by partition and offset, each offset of which must be there exactly once.
pub async fn archived(view: &ViewReceiver) -> Vec<Archived> {
    let archive = view.borrow().topics.values().next().expect("a topic").archive.clone();
    let context = read_session(1);
    context.register_table("archive", archive).expect("a table");
    let sql = "SELECT _particao, _deslocamento, _deslocamento_fim, _veredito, _motivo, _log FROM archive
        ORDER BY _log, _particao, _deslocamento";
    let batches = context.sql(sql).await.expect("planned").collect().await.expect("run");
    let (mut rows, mut logs) = (Vec::new(), Vec::new());
    for batch in &batches {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        let lasts = batch.column(2).as_primitive::<Int64Type>();
        let verdicts = batch.column(3).as_string::<i32>();
        let reasons = batch.column(4).as_string::<i32>();
        logs.extend(batch.column(5).as_string::<i32>().iter().flatten().map(str::to_owned));
        for row in 0..batch.num_rows() {
            let name = if reasons.is_valid(row) { reasons.value(row) } else { "" };
            let reason = Reason::ALL.into_iter().find(|reason| reason.name() == name);
            let unread = Unread::ALL.into_iter().find(|reason| reason.name() == name);
            assert!(name.is_empty() || reason.is_some() || unread.is_some(), "{name}");
            rows.push(Archived {
                partition: partitions.value(row),
                offset: offsets.value(row),
                last: if lasts.is_valid(row) { lasts.value(row) } else { offsets.value(row) },
                verdict: Verdict::from_name(verdicts.value(row)).expect("a verdict"),
                reason,
                unread,
            });
        }
    }
    for (index, row) in rows.iter().enumerate().skip(1) {
        let before: &Archived = &rows[index - 1];
        let goes_on = row.partition == before.partition && logs[index] == logs[index - 1];
        let expected = if goes_on { before.last + 1 } else { row.offset };
        assert_eq!(row.offset, expected, "an offset is missing or there twice: {before:?}, {row:?}");
    }
    rows
}

/// Waits until the archive holds every offset of the partition before `next`.
pub async fn wait_for_archive(view: &mut ViewReceiver, partition: i32, next: i64) {
    let began = Instant::now();
    loop {
        let is_shown = !view.borrow_and_update().topics.is_empty();
        let rows = if is_shown { archived(view).await } else { Vec::new() };
        if rows.iter().any(|row| row.partition == partition && row.last + 1 >= next) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "partition {partition} is not archived up to {next}: {rows:?}");
        // At each refresh; a stream that has ended changes nothing any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), view.changed()).await;
    }
}

/// What the audit trail of a data directory says was done.
pub async fn acts(data_dir: &Path) -> Vec<String> {
    let store = Location::folder(data_dir).expect("a folder");
    let Some(trail) = vitral_store::audit_trail(&store).await.expect("read") else { return Vec::new() };
    let rows = read_session(1).read_table(trail).expect("a table").collect().await.expect("its rows");
    let acts = rows.iter().flat_map(|batch| batch.column_by_name("acao").expect("the act").as_string::<i32>().iter());
    acts.flatten().map(str::to_owned).collect()
}

pub fn with_verdict(rows: &[Archived], verdict: Verdict) -> usize {
    rows.iter().filter(|row| row.verdict == verdict).count()
}
