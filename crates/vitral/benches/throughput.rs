//! What an event costs, against arrow-json decoding the same bytes into the same columns on one
//! thread, in one run.
//!
//! `cargo bench --profile dev --bench throughput` (the profile of the demo and the tests). CPU time
//! of the whole process. With `VITRAL_TEST_KAFKA` set, the whole way from Kafka to the committed
//! archive is measured too. `--without METRIC` leaves one out, and shows what it costs.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect_kafka::{EventProducer, KafkaConfig, KafkaConnector, create_topic};
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_panes::view::View;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::SystemClock;
use vitral_schemas::topic::Topic;
use vitral_simulator::ecommerce::{Simulator, SimulatorConfig};
use vitral_store::Location;
use vitral_stream::batch::PartitionRows;
use vitral_stream::classify::{Classifier, Moment, counted};
use vitral_stream::topic_panes::TopicPanes;
use vitral_stream::{StreamConfig, StreamTelemetry, pipeline};

const EVENTS: usize = 1_000_000;
const BATCH_ROWS: usize = 64 * 1024;
const ROUNDS: usize = 3;
/// Far more often than a stream does, so that some fall into a round.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// CPU seconds of a run, and those of the threads that write archive, metric tables and snapshots.
struct Cost {
    all: f64,
    writing: f64,
}

fn main() {
    // A name, or its part, picks one of the two inputs.
    let without = left_out();
    let mut wanted =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-') && Some(argument) != without.as_ref());
    let wanted = wanted.next().unwrap_or_default();
    let mix: Vec<Vec<u8>> =
        Simulator::new(SimulatorConfig::default()).take(EVENTS).map(|message| message.payload).collect();
    let four: Vec<Vec<u8>> = (0..EVENTS).map(four_fields).collect();
    for (name, payloads) in [("simulator, seed 1", &mix), ("four fields", &four)] {
        if !name.contains(&wanted) {
            continue;
        }
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        println!("\n{name}: {EVENTS} events of {:.1} bytes on average", bytes as f64 / EVENTS as f64);
        let valid = valid_only(payloads);
        let baseline = best(|| arrow_json(&valid)) / valid.len() as f64;
        line("arrow-json, decode only", baseline, baseline);
        line("decode only", best(|| decode(payloads)) / EVENTS as f64, baseline);
        line("decode to panes", best(|| decode_to_panes(payloads)) / EVENTS as f64, baseline);
        match std::env::var("VITRAL_TEST_KAFKA") {
            Ok(brokers) => {
                let topic = KafkaTopic::new(brokers, payloads);
                let fastest = |snapshot, metrics| {
                    let rounds = (0..ROUNDS).map(|_| topic.to_archive(snapshot, metrics));
                    rounds.reduce(|a, b| if a.all < b.all { a } else { b }).expect("a round")
                };
                let plain = fastest(None, true);
                line("kafka to committed archive", plain.all / EVENTS as f64, baseline);
                let snapshots = fastest(Some(SNAPSHOT_EVERY), true);
                line("the same with snapshots", snapshots.all / EVENTS as f64, baseline);
                // Without metrics nothing but the archive is written.
                let archive = fastest(None, false);
                let share = |seconds: f64| 100.0 * seconds / snapshots.all;
                println!(
                    "  of which the archive takes {:.0} %, metric tables {:.0} %, snapshots every {SNAPSHOT_EVERY:?} {:.0} %",
                    share(archive.writing),
                    share(plain.writing - archive.writing),
                    share(snapshots.writing - plain.writing)
                );
            }
            Err(_) => println!("  kafka to committed archive: left out, VITRAL_TEST_KAFKA is not set"),
        }
    }
}

fn line(name: &str, seconds: f64, baseline: f64) {
    println!(
        "  {name:<28} {:>8.0} ns/event {:>6.2} M events/s {:>6.2} of the baseline",
        seconds * 1e9,
        1e-6 / seconds,
        baseline / seconds
    );
}

fn four_fields(index: usize) -> Vec<u8> {
    let second = index / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        r#"{{"id_usuario": "u{}", "tipo_evento": "clique", "id_produto": "p{}", "timestamp": "2025-05-14T{hour:02}:{minute:02}:{second:02}"}}"#,
        index * 7_919 % 20_000,
        index * 104_729 % 2_000
    )
    .into_bytes()
}

/// Process CPU seconds of the fastest of some rounds.
fn best(mut run: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let began = cpu_seconds();
        run();
        cpu_seconds() - began
    });
    times.fold(f64::INFINITY, f64::min)
}

/// User and system time of all threads, from the kernel.
fn cpu_seconds() -> f64 {
    cpu_seconds_in("/proc/self/stat").expect("linux")
}

/// The same of the runtime's threads, on which all is written; some of them end meanwhile.
fn writing_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("linux").filter_map(Result::ok);
    let is_worker = |task: &std::path::Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("tokio-rt-worker"))
    };
    let workers = tasks.map(|task| task.path()).filter(|task| is_worker(task));
    workers.filter_map(|task| cpu_seconds_in(task.join("stat"))).sum()
}

fn cpu_seconds_in(stat: impl AsRef<std::path::Path>) -> Option<f64> {
    let stat = std::fs::read_to_string(stat).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time");
    Some(ticks as f64 / 100.0)
}

fn left_out() -> Option<String> {
    std::env::args().skip_while(|argument| argument != "--without").nth(1)
}

fn shop() -> (Arc<Catalog>, Topic) {
    let mut catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
    if let Some(without) = left_out() {
        let before = catalog.metrics.len();
        catalog.metrics.retain(|metric| metric.name != without);
        assert!(catalog.metrics.len() < before, "{without} is not a metric");
    }
    let topic = catalog.topics[0].clone();
    (Arc::new(catalog), topic)
}

/// arrow-json gives up at the first bad message.
fn valid_only(payloads: &[Vec<u8>]) -> Vec<&[u8]> {
    let (_, topic) = shop();
    let mut decoder = Decoder::new(&topic, DomainSettings::default().time_zone);
    let mut valid = Vec::new();
    for batch in payloads.chunks(BATCH_ROWS) {
        let refused = decoder.decode(batch.iter().map(|payload| Some(payload.as_slice()))).refused;
        let mut refused = refused.iter().map(|refusal| refusal.row).peekable();
        valid.extend(
            batch
                .iter()
                .enumerate()
                .filter(|(row, _)| refused.next_if_eq(row).is_none())
                .map(|(_, payload)| payload.as_slice()),
        );
    }
    valid
}

fn arrow_json(payloads: &[&[u8]]) {
    let (_, topic) = shop();
    let mut decoder = arrow_json::ReaderBuilder::new(topic.schema())
        .with_batch_size(BATCH_ROWS)
        .with_coerce_primitive(true)
        .build_decoder()
        .expect("a decoder");
    let mut rows = 0;
    for batch in payloads.chunks(BATCH_ROWS) {
        for payload in batch {
            assert_eq!(decoder.decode(payload).expect("valid"), payload.len());
        }
        rows += decoder.flush().expect("valid").map_or(0, |batch| batch.num_rows());
    }
    assert_eq!(rows, payloads.len());
}

fn decode(payloads: &[Vec<u8>]) {
    let (_, topic) = shop();
    let mut decoder = Decoder::new(&topic, DomainSettings::default().time_zone);
    for batch in payloads.chunks(BATCH_ROWS) {
        let decoded = decoder.decode(batch.iter().map(|payload| Some(payload.as_slice())));
        assert_eq!(decoded.columns[0].len(), batch.len());
    }
}

/// All built-in metrics, deduplication on.
fn decode_to_panes(payloads: &[Vec<u8>]) {
    let (catalog, topic) = shop();
    let settings = DomainSettings::default();
    let session = engine_session(EngineConfig::default()).expect("a session");
    let mut decoder = Decoder::new(&topic, settings.time_zone);
    let mut classifier = Classifier::new(&topic, &session, usize::MAX).expect("planned");
    let mut panes =
        TopicPanes::new(&catalog, &topic, &settings, &session, 4 << 30, Arc::new(SystemClock)).expect("planned");
    let mut newest = i64::MIN;
    for batch in payloads.chunks(BATCH_ROWS) {
        let decoded = decoder.decode(batch.iter().map(|payload| Some(payload.as_slice())));
        let watermark = (newest > i64::MIN).then(|| Watermark::from_ms(newest / 1_000 - topic.watermark_ms));
        let moment = Moment { now_ms: chrono::Utc::now().timestamp_millis(), watermark };
        let partitions = [PartitionRows { partition: PartitionId(0), rows: 0..batch.len() }];
        let classified = classifier.classify(decoded, &partitions, |_| false, moment).expect("classified");
        let rows = counted(&classified.rows, &classified.verdicts).expect("filtered");
        panes.fold(PartitionId(0), &rows);
        let times = rows.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
        newest = newest.max(arrow::compute::max(times).unwrap_or(newest));
        // Windows close as in the stream.
        if let Some(watermark) = watermark {
            classifier.sweep(watermark);
            for (version, _) in panes.closed(watermark) {
                panes.published(&version, watermark);
            }
        }
    }
}

/// A topic of four partitions that holds the payloads.
struct KafkaTopic {
    kafka: KafkaConfig,
    catalog: Catalog,
    messages: usize,
    runtime: Runtime,
}

impl KafkaTopic {
    fn new(brokers: String, payloads: &[Vec<u8>]) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let kafka = KafkaConfig { brokers, ..KafkaConfig::default() };
        let mut catalog = Arc::unwrap_or_clone(shop().0);
        let name = format!("bench-{}", uuid::Uuid::new_v4());
        catalog.topics[0].kafka_topic = name.clone();
        runtime.block_on(create_topic(&kafka, &name, 4, &[])).expect("a topic");
        let producer = EventProducer::new(&kafka, &name).expect("a producer");
        for (index, payload) in payloads.iter().enumerate() {
            producer.send(&format!("u{}", index % 1_009), payload).expect("sent");
        }
        producer.flush(Duration::from_secs(120)).expect("flushed");
        Self { kafka, catalog, messages: payloads.len(), runtime }
    }

    /// CPU seconds of the whole process from the start of the stream until everything is committed.
    fn to_archive(&self, snapshot: Option<Duration>, metrics: bool) -> Cost {
        let dir = tempfile::tempdir().expect("a folder");
        let mut catalog = self.catalog.clone();
        if !metrics {
            catalog.metrics.clear();
        }
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let context = pipeline::Context {
            config: StreamConfig { snapshot, ..StreamConfig::new(Location::folder(dir.path()).expect("a location")) },
            connector: Arc::new(KafkaConnector::new(self.kafka.clone())),
            lookups: Default::default(),
            row_sinks: Default::default(),
            catalog: Arc::new(catalog),
            settings: DomainSettings::default(),
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: StreamTelemetry::register(&mut Registry::default()),
            runtime: self.runtime.handle().clone(),
        };
        let (began, writing) = (cpu_seconds(), writing_seconds());
        let wall = Instant::now();
        let mut stream = vitral_stream::start(context, self.catalog.topics[0].clone()).expect("started");
        let committed = |view: &View| {
            let mut topics = view.topics.values();
            topics.any(|topic| topic.completeness.read == self.messages as u64 && topic.tail.is_empty())
        };
        while !committed(&view.borrow()) {
            // The stream holds the other end until it stops.
            if view.has_changed().is_err() {
                panic!("the stream stopped: {:?}", self.runtime.block_on(stream.finished()));
            }
            assert!(wall.elapsed() < Duration::from_secs(300), "not committed after five minutes");
            std::thread::sleep(Duration::from_millis(20));
        }
        let cost = Cost { all: cpu_seconds() - began, writing: writing_seconds() - writing };
        stream.stop();
        self.runtime.block_on(stream.finished()).expect("an ordered end");
        cost
    }
}
