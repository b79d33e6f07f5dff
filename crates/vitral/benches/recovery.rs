//! How long a start takes: from an archive whose windows are all open, and from a snapshot.
//!
//! `cargo bench --profile dev --bench recovery -- ROWS USERS MESSAGES` with `VITRAL_TEST_KAFKA`
//! set. The archive is made without Kafka, on the identity of an empty topic; the snapshot is of
//! real messages.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::Connector;
use vitral_connect_kafka::{EventProducer, KafkaConfig, KafkaConnector, create_topic};
use vitral_panes::view::View;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::time::SystemClock;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::{Advance, Archive, ArchiveCommit, Location};
use vitral_stream::{Limits, StreamConfig, StreamHandle, StreamTelemetry, TopicLabel, pipeline};

const PARTITIONS: i32 = 4;
const ROWS_AT_ONCE: i64 = 1 << 20;
/// Within the lateness, so that every window is open.
const OPEN_MS: i64 = 50 * 60_000;

fn main() {
    let Ok(brokers) = std::env::var("VITRAL_TEST_KAFKA") else {
        println!("left out: VITRAL_TEST_KAFKA is not set");
        return;
    };
    let numbers: Vec<i64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |nth: usize, default| numbers.get(nth).copied().unwrap_or(default);
    from_archive(&brokers, number(0, 50_000_000), number(1, 250_000));
    from_snapshot(&brokers, number(2, 1_200_000));
}

/// The start is over when the view is ready, before the broker says that it has none of these
/// offsets.
fn from_archive(brokers: &str, rows: i64, users: i64) {
    let bench = Bench::new(brokers);
    let topic = &bench.catalog.topics[0];
    let made = Instant::now();
    let source = KafkaConnector::new(bench.kafka.clone()).source(topic).expect("a source");
    let log = source.log().identity().expect("its identity");
    bench.runtime.block_on(make_archive(topic, &log, bench.dir.path(), rows, users));
    println!("an archive of {rows} rows of open windows was made in {:.1} s", made.elapsed().as_secs_f64());
    bench.start("from the archive").stop();
}

/// Real messages, each of another product.
fn from_snapshot(brokers: &str, messages: i64) {
    let bench = Bench::new(brokers);
    let producer = EventProducer::new(&bench.kafka, &bench.catalog.topics[0].kafka_topic).expect("a producer");
    let first_ms = chrono::Utc::now().timestamp_millis() - OPEN_MS;
    for id in 0..messages {
        let time = chrono::DateTime::from_timestamp_millis(first_ms + OPEN_MS * id / messages).expect("a time");
        let event = format!(
            r#"{{"id_usuario":"u{}","tipo_evento":"{}","id_produto":"p{id}","id_evento":"e{id}","quantidade":1,"valor_total":"12.34","timestamp":"{}"}}"#,
            id * 7_919 % 250_000,
            if id % 2 == 0 { "visualizacao" } else { "compra" },
            time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        );
        producer.send(&format!("p{id}"), event.as_bytes()).expect("sent");
    }
    producer.flush(Duration::from_secs(120)).expect("flushed");
    let mut first = bench.start("from nothing");
    first.read(messages as u64);
    // Writes the snapshot.
    first.stop();
    let mut second = bench.start("from the snapshot");
    second.read(messages as u64);
    second.stop();
}

/// A topic of its own, and a data directory.
struct Bench {
    kafka: KafkaConfig,
    catalog: Catalog,
    dir: tempfile::TempDir,
    runtime: Runtime,
}

struct Started<'a> {
    bench: &'a Bench,
    stream: StreamHandle,
    view: watch::Receiver<Arc<View>>,
}

impl Bench {
    fn new(brokers: &str) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let kafka = KafkaConfig { brokers: brokers.to_owned(), ..KafkaConfig::default() };
        let mut catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        let name = format!("bench-{}", uuid::Uuid::new_v4());
        catalog.topics[0].kafka_topic = name.clone();
        runtime.block_on(create_topic(&kafka, &name, PARTITIONS, &[])).expect("a topic");
        Self { kafka, catalog, dir: tempfile::tempdir().expect("a folder"), runtime }
    }

    /// Starts the stream, waits until it is ready, and says how long that took.
    fn start(&self, what: &str) -> Started<'_> {
        let (sender, view) = watch::channel(Arc::new(View::default()));
        let telemetry = StreamTelemetry::register(&mut Registry::default());
        let store = Location::folder(self.dir.path()).expect("a location");
        let context = pipeline::Context {
            config: StreamConfig {
                limits: Limits { panes_memory_bytes: 8 << 30, deduplication_bytes_max: 8 << 30, ..Limits::default() },
                ..StreamConfig::new(store)
            },
            connector: Arc::new(KafkaConnector::new(self.kafka.clone())),
            lookups: Default::default(),
            row_sinks: Default::default(),
            catalog: Arc::new(self.catalog.clone()),
            settings: DomainSettings::default(),
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: telemetry.clone(),
            runtime: self.runtime.handle().clone(),
        };
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let topic = self.catalog.topics[0].clone();
        let label = TopicLabel { topic: topic.name.clone() };
        let mut started = Started { bench: self, stream: vitral_stream::start(context, topic).expect("started"), view };
        // One topic of the catalog: with all of them the view would be ready.
        started.wait(|view| !view.topics.is_empty());
        println!(
            "{what}: ready after {:.2} s and {:.1} s of CPU, {} rows folded, {} open groups, {} known ids, {:.0} MiB resident",
            began.elapsed().as_secs_f64(),
            cpu_seconds() - cpu,
            telemetry.gauges.recovered_rows.get_or_create(&label).get(),
            telemetry.gauges.pane_groups.get_or_create(&label).get(),
            telemetry.gauges.known_ids.get_or_create(&label).get(),
            resident_mib(),
        );
        started
    }
}

impl Started<'_> {
    fn wait(&mut self, until: impl Fn(&View) -> bool) {
        while !until(&self.view.borrow()) {
            if self.view.has_changed().is_err() {
                panic!("the stream stopped: {:?}", self.bench.runtime.block_on(self.stream.finished()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many messages are committed.
    fn read(&mut self, messages: u64) {
        self.wait(|view| {
            view.topics.values().any(|topic| topic.completeness.read == messages && topic.tail.is_empty())
        });
    }

    fn stop(mut self) {
        self.stream.stop();
        if let Err(error) = self.bench.runtime.block_on(self.stream.finished()) {
            println!("  it ended with: {error}");
        }
    }
}

/// Rows of the last 50 minutes, all counted, each with an id of its own.
async fn make_archive(topic: &Topic, log: &str, dir: &Path, rows: i64, users: i64) {
    let store = Location::folder(dir).expect("a location");
    let mut archive = Archive::open(topic, log, (0..PARTITIONS).map(PartitionId), &store).await.expect("opened");
    let now_ms = chrono::Utc::now().timestamp_millis();
    let first_ms = now_ms - OPEN_MS;
    let mut next = BTreeMap::<PartitionId, Offset>::new();
    for first in (0..rows).step_by(ROWS_AT_ONCE as usize) {
        let last = rows.min(first + ROWS_AT_ONCE);
        let partition = PartitionId(i32::try_from(first / ROWS_AT_ONCE).expect("few") % PARTITIONS);
        let from = next.get(&partition).copied();
        let ids = first..last;
        let batch = batch(topic, log, partition, from.unwrap_or_default(), ids, |id| {
            (first_ms + (now_ms - first_ms) * id / rows, id * 7_919 % users)
        });
        let to = from.unwrap_or_default() + batch.num_rows() as i64;
        next.insert(partition, to);
        let offsets = BTreeMap::from([(partition, Advance { from, to })]);
        let commit = ArchiveCommit {
            rows: vec![batch],
            offsets,
            watermark: Some(Watermark::from_ms(first_ms)),
            token: first,
            ..ArchiveCommit::default()
        };
        archive.commit(&commit).await.expect("committed");
    }
}

fn batch(
    topic: &Topic,
    log: &str,
    partition: PartitionId,
    offset: Offset,
    ids: std::ops::Range<i64>,
    event: impl Fn(i64) -> (i64, i64),
) -> RecordBatch {
    use archive_columns::*;
    let len = usize::try_from(ids.end - ids.start).expect("few");
    let text =
        |of: &dyn Fn(i64) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(ids.clone().map(of))) };
    let times =
        |micros: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) };
    let schema = topic.archive_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            PARTITION => Arc::new(Int32Array::from(vec![partition.0; len])),
            OFFSET => Arc::new(Int64Array::from_iter_values(offset.0..offset.0 + len as i64)),
            ARRIVAL => times(vec![0; len]),
            LOG => text(&|_| log.to_owned()),
            VERDICT => text(&|_| Verdict::Counted.name().to_owned()),
            "id_usuario" => text(&|id| format!("u{}", event(id).1)),
            "tipo_evento" => {
                text(&|id| ["visualizacao", "clique", "adicao_carrinho", "compra"][(id % 16 / 5) as usize].to_owned())
            }
            "id_produto" => text(&|id| format!("p{}", id * 104_729 % 2_000)),
            "id_evento" => text(&|id| format!("evento-{id}")),
            "moeda" => text(&|_| "BRL".to_owned()),
            "timestamp" => times(ids.clone().map(|id| event(id).0 * 1_000).collect()),
            _ => new_null_array(field.data_type(), len),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema.clone(), columns).expect("the archive's schema")
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("resident memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1_024.0
}

/// User and system time of all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time");
    ticks as f64 / 100.0
}
