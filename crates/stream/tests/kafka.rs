//! The stream against a real Kafka: `scripts/services start kafka`, then `env $(scripts/services env) cargo test`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use prometheus_client::registry::Registry;
use vitral_schemas::catalog::{Catalog, ShopSettings};
use vitral_schemas::time::SystemClock;
use vitral_schemas::topic::Topic;
use vitral_schemas::view::{Completeness, View, ViewReceiver};
use vitral_store::read_session;
use vitral_stream::kafka::{EventProducer, create_topic};
use vitral_stream::{KafkaConfig, StreamConfig, StreamHandle, StreamTelemetry, pipeline};

const PATIENCE: Duration = Duration::from_secs(60);

/// The broker under test. Without one the tests say so and pass; in CI its absence is a failure.
fn kafka() -> Option<KafkaConfig> {
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

struct Shop {
    kafka: KafkaConfig,
    catalog: Arc<Catalog>,
    topic: Topic,
}

impl Shop {
    /// The built-in catalog on a topic of its own.
    async fn new(kafka: KafkaConfig, partitions: i32) -> Self {
        let mut catalog = Catalog::load(&[], &ShopSettings::default()).expect("the built-in catalog");
        let name = format!("eventos-{}", uuid::Uuid::new_v4());
        catalog.topics[0].kafka_topic = name.clone();
        create_topic(&kafka, &name, partitions, &[]).await.expect("a topic");
        Self { topic: catalog.topics[0].clone(), catalog: Arc::new(catalog), kafka }
    }

    fn start(&self, data_dir: &Path) -> (StreamHandle, ViewReceiver) {
        self.start_with(StreamConfig {
            cycle: Duration::from_millis(200),
            refresh: Duration::from_millis(50),
            ..StreamConfig::new(self.kafka.clone(), data_dir.to_owned())
        })
    }

    fn start_with(&self, config: StreamConfig) -> (StreamHandle, ViewReceiver) {
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let context = pipeline::Context {
            config,
            catalog: Arc::clone(&self.catalog),
            settings: ShopSettings::default(),
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: StreamTelemetry::register(&mut Registry::default()),
            runtime: tokio::runtime::Handle::current(),
        };
        (vitral_stream::start(context, self.topic.clone()).expect("started"), view)
    }

    fn produce(&self, messages: &[(&str, &[u8])]) {
        let producer = EventProducer::new(&self.kafka, &self.topic.kafka_topic).expect("a producer");
        for (key, payload) in messages {
            producer.send(key, payload).expect("sent");
        }
        producer.flush(PATIENCE).expect("flushed");
        assert_eq!(producer.undelivered(), 0);
    }
}

async fn wait_for(view: &mut ViewReceiver, what: &str, done: impl Fn(&Completeness) -> bool) -> Completeness {
    let began = Instant::now();
    loop {
        let seen = view.borrow().topics.values().next().map(|topic| topic.completeness.clone());
        if let Some(seen) = seen.filter(&done) {
            return seen;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: {:?}",
            view.borrow().topics.values().next().map(|t| &t.completeness)
        );
        // The view changes at every refresh; a stream that ended changes nothing any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), view.changed()).await;
    }
}

/// Provisional and final rows of a metric: the value of its last column by its second, over all windows.
async fn totals(view: &ViewReceiver, metric: &str, key: &str, value: &str) -> BTreeMap<String, i64> {
    let metric = view.borrow().metrics[metric].clone();
    let mut batches: Vec<_> = metric.open.values().cloned().collect();
    let published = read_session(1).read_table(metric.published).expect("a table").collect().await.expect("its rows");
    batches.extend(published);
    let mut totals = BTreeMap::new();
    for batch in batches {
        let keys = batch.column_by_name(key).expect("the key").as_string::<i32>();
        let values = batch.column_by_name(value).expect("the value").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            *totals.entry(keys.value(row).to_owned()).or_default() += values.value(row);
        }
    }
    totals
}

fn event(id: usize, product: &str, kind: &str) -> Vec<u8> {
    let time = chrono::Utc::now().to_rfc3339();
    format!(
        r#"{{"id_usuario":"u{}","tipo_evento":"{kind}","id_produto":"{product}","timestamp":"{time}","id_evento":"e{id}"}}"#,
        id % 17
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_gets_one_verdict_and_a_restart_goes_on() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 4).await;
    let dir = tempfile::tempdir().expect("a folder");

    let (mut stream, mut view) = shop.start(dir.path());
    let events: Vec<Vec<u8>> = (0..300).map(|id| event(id, "p1", "clique")).collect();
    let mut messages: Vec<(String, &[u8])> =
        events.iter().enumerate().map(|(id, payload)| (format!("u{}", id % 17), payload.as_slice())).collect();
    let nested = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    let future = br#"{"id_usuario":"u","tipo_evento":"clique","timestamp":"2999-01-01T00:00:00Z"}"#;
    let bad: [&[u8]; 8] = [
        b"not json",
        b"[1]",
        b"",
        br#"{"id_usuario":"u"}"#,
        br#"{"id_usuario":7.5e0,"tipo_evento":true,"timestamp":"2025-01-01T00:00:00Z"}"#,
        br#"{"id_usuario":"u","tipo_evento":"compra","timestamp":"2025-02-30T00:00:00Z"}"#,
        &nested,
        future,
    ];
    messages.extend(bad.iter().map(|payload| ("bad".to_owned(), *payload)));
    messages.push(("u0".to_owned(), &events[0]));
    let borrowed: Vec<(&str, &[u8])> = messages.iter().map(|(key, payload)| (key.as_str(), *payload)).collect();
    shop.produce(&borrowed);
    let seen = wait_for(&mut view, "309 messages", |seen| seen.read == 309).await;
    assert_eq!((seen.counted, seen.refused, seen.duplicate, seen.late), (300, 8, 1, 0), "{seen:?}");
    stream.stop();
    stream.finished().await.expect("an ordered end");

    // Ids known before the restart still are; the open windows are rebuilt.
    let (mut stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same numbers", |seen| seen.read == 309).await;
    assert_eq!(seen.counted, 300);
    assert_eq!(
        totals(&view, "produtos_mais_vistos", "id_produto", "visualizacoes").await,
        BTreeMap::from([("p1".to_owned(), 300)])
    );
    let more: Vec<Vec<u8>> = (300..400).map(|id| event(id, "p2", "visualizacao")).collect();
    let mut again: Vec<(String, &[u8])> =
        more.iter().enumerate().map(|(id, payload)| (format!("u{}", (id + 300) % 17), payload.as_slice())).collect();
    again.extend((0..50).map(|id| (format!("u{}", id % 17), events[id].as_slice())));
    let borrowed: Vec<(&str, &[u8])> = again.iter().map(|(key, payload)| (key.as_str(), *payload)).collect();
    shop.produce(&borrowed);
    let seen = wait_for(&mut view, "150 more", |seen| seen.read == 459).await;
    assert_eq!((seen.counted, seen.duplicate), (400, 51), "{seen:?}");
    stream.stop();
    stream.finished().await.expect("an ordered end");
    let totals = totals(&view, "produtos_mais_vistos", "id_produto", "visualizacoes").await;
    assert_eq!(totals, BTreeMap::from([("p1".to_owned(), 300), ("p2".to_owned(), 100)]));

    // The archive has each offset once.
    let archive = view.borrow().topics["eventos_clientes"].archive.clone();
    let context = read_session(1);
    context.register_table("archive", archive).expect("a table");
    let sql = "SELECT count(*), count(DISTINCT _particao * 1000000 + _deslocamento), count(_conteudo) FROM archive";
    let rows = context.sql(sql).await.expect("planned").collect().await.expect("run");
    let numbers: Vec<i64> =
        rows[0].columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect();
    assert_eq!(numbers, [459, 459, 8]);
}

/// Each poll that brings a row fills the cycle, many of them at a partition's end: reading goes on exactly there.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_at_a_partitions_end_lose_nothing() {
    const ROUNDS: usize = 40;
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (mut stream, mut view) = shop.start_with(StreamConfig {
        uncommitted_bytes: 2,
        cycle: Duration::from_millis(20),
        refresh: Duration::from_millis(20),
        ..StreamConfig::new(shop.kafka.clone(), dir.path().to_owned())
    });
    for round in 1..=ROUNDS {
        let events: Vec<_> = (0..3).map(|index| event(3 * round + index, "p1", "visualizacao")).collect();
        shop.produce(&events.iter().map(|payload| ("u", payload.as_slice())).collect::<Vec<_>>());
        let read = 3 * round as u64;
        let seen = wait_for(&mut view, "all are read", |seen| seen.read >= read).await;
        assert_eq!((seen.read, seen.counted), (read, read));
    }
    stream.stop();
    stream.finished().await.expect("an ordered end");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_go_to_the_dead_letter_topic_with_their_reason() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka.clone(), 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (mut stream, mut view) = shop.start(dir.path());
    shop.produce(&[("k", b"{broken"), ("k", &event(1, "p", "clique"))]);
    wait_for(&mut view, "both", |seen| seen.read == 2).await;
    stream.stop();
    stream.finished().await.expect("an ordered end");

    let mut source =
        vitral_stream::kafka::Source::new(&kafka, &shop.topic.dead_letter_topic(), 1 << 20).expect("a source");
    source.assign(&[(0, None)]).expect("assigned");
    let began = Instant::now();
    let dead = loop {
        let mut polled = source.poll(Duration::from_millis(200), 10).expect("polled");
        if let Some(message) = polled.messages.pop() {
            break message;
        }
        assert!(began.elapsed() < PATIENCE, "no dead letter came");
    };
    assert_eq!(dead.payload(), Some(b"{broken".as_slice()));
    let headers = dead.headers();
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("vitral.reason"), Some("json"));
    assert_eq!(header("vitral.topic"), Some(shop.topic.kafka_topic.as_str()));
    assert_eq!((header("vitral.partition"), header("vitral.offset")), (Some("0"), Some("0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_refused() {
    let Some(kafka) = kafka() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Shop::new(kafka.clone(), 1).await;
    let (mut stream, mut view) = shop.start(dir.path());
    shop.produce(&[("k", &event(1, "p", "clique"))]);
    wait_for(&mut view, "one", |seen| seen.read == 1).await;
    stream.stop();
    stream.finished().await.expect("an ordered end");

    // Another log under the archive's folder: as if the topic had been deleted and made again.
    let other = Shop::new(kafka, 1).await;
    let (mut stream, _view) = other.start(dir.path());
    let error = stream.finished().await.expect_err("another log").to_string();
    assert!(error.contains("made anew"), "{error}");
}
