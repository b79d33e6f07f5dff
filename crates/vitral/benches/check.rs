//! What the check alongside the stream costs, as a part of what the stream itself costs, in one run
//! and without a broker.
//!
//! `cargo bench --profile dev --bench check [-- RATE]` (the profile of the demo and the tests): so
//! many events at RATE a second of their own time, 200 if it is not given; fewer a second are more
//! hours. CPU time of the whole process.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use prometheus_client::registry::Registry;
use tokio::runtime::Builder;
use vitral_batch::Engine;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_batch::reconcile::{WindowRange, reconcile};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::SystemClock;
use vitral_simulator::ecommerce::{Simulator, SimulatorConfig};
use vitral_store::Location;
use vitral_stream::{StreamConfig, StreamTelemetry, pipeline};

const EVENTS: usize = 2_000_000;
const PARTITIONS: usize = 4;
const HOUR_MS: i64 = 3_600_000;

fn main() {
    let rate = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200.0);
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a location");
    let catalog = Arc::new(Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog"));
    let settings = DomainSettings::default();

    let (broker, last_ms) = broker(&catalog.topics[0].kafka_topic, rate);
    let messages = EVENTS + PARTITIONS;
    let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
    let context = pipeline::Context {
        config: StreamConfig::new(store.clone()),
        connector: Arc::new(broker.clone()),
        lookups: Default::default(),
        row_sinks: Default::default(),
        catalog: Arc::clone(&catalog),
        settings: settings.clone(),
        clock: Arc::new(SystemClock),
        view: sender,
        telemetry: StreamTelemetry::register(&mut Registry::default()),
        runtime: runtime.handle().clone(),
    };
    let (began, wall) = (cpu_seconds(), Instant::now());
    let mut stream = vitral_stream::start(context, catalog.topics[0].clone()).expect("started");
    let is_published = |view: &View| {
        let through = |ms: Option<i64>| ms.is_some_and(|ms| ms >= last_ms + 2 * HOUR_MS);
        view.metrics.len() == catalog.metrics.len()
            && view.metrics.values().all(|metric| through(metric.published_through_ms))
            && view.topics.values().all(|topic| topic.completeness.read == messages as u64 && topic.tail.is_empty())
    };
    while !is_published(&view.borrow()) {
        assert!(wall.elapsed() < Duration::from_secs(600), "not published after ten minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.stop();
    runtime.block_on(stream.finished()).expect("an ordered end");
    let streamed = cpu_seconds() - began;
    let hours = EVENTS as f64 / rate / 3_600.0;
    println!("{EVENTS} events of {hours:.1} hours\n  {:<28} {streamed:>6.2} CPU-s", "stream and archive");

    let (mut check, results) =
        ContinuousReconciliation::new(Arc::clone(&catalog), settings.clone(), store.clone(), view, true);
    let began = cpu_seconds();
    runtime.block_on(check.poll()).expect("compared");
    let checked = cpu_seconds() - began;
    assert!(results.borrow().num_rows() >= catalog.metrics.len(), "every metric is compared");
    println!(
        "  {:<28} {checked:>6.2} CPU-s, {:.0} % of it, {} results",
        "the check",
        100.0 * checked / streamed,
        results.borrow().num_rows()
    );
    let range = WindowRange::of_ms(SimulatorConfig::default().start_ms - HOUR_MS, last_ms + HOUR_MS);
    for metric in &catalog.metrics {
        let began = cpu_seconds();
        let compared = reconcile(&catalog, &settings, &store, &Engine::Local, range, Some(&metric.name));
        let compared = runtime.block_on(compared).expect("compared");
        assert!(compared.iter().all(|compared| compared.windows > 0 && !compared.differs()), "{}", metric.name);
        println!("  {:<28} {:>6.2} CPU-s", metric.name, cpu_seconds() - began);
    }
}

/// A broker that holds the events, and one more for each partition, far behind them, that closes
/// their windows; and when they end.
fn broker(topic: &str, rate: f64) -> (MemoryBroker, i64) {
    let broker = MemoryBroker::new();
    broker.create_topic(topic, PARTITIONS);
    let partition = |index: usize| PartitionId(i32::try_from(index % PARTITIONS).expect("few"));
    let simulator = Simulator::new(SimulatorConfig { rate, ..SimulatorConfig::default() });
    for (index, message) in simulator.take(EVENTS).enumerate() {
        broker.append(topic, partition(index), MemoryMessage::new(&message.payload)).expect("appended");
    }
    let last_ms = SimulatorConfig::default().start_ms + (EVENTS as f64 / rate * 2_000.0) as i64;
    for index in 0..PARTITIONS {
        let time = DateTime::from_timestamp_millis(last_ms + 4 * HOUR_MS).expect("a time").to_rfc3339();
        let payload = format!(r#"{{"id_usuario":"u","tipo_evento":"clique","id_produto":"p","timestamp":"{time}"}}"#);
        broker.append(topic, partition(index), MemoryMessage::new(payload.as_bytes())).expect("appended");
    }
    (broker, last_ms)
}

/// User and system time of the process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time");
    ticks as f64 / 100.0
}
