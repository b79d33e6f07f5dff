//! What the check alongside the stream costs, as a part of what the stream itself costs, in one run
//! and without a broker.
//!
//! `cargo bench --profile dev --bench check [-- RATE]` (the profile of the demo and the tests):
//! events at RATE a second of their own time, 160 if it is not given; fewer a second are more
//! hours. A stream that has been checked before reads on for about seven hours, which are then
//! checked, a part of the sessions and of the tables among them. CPU time of the whole process.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use prometheus_client::registry::Registry;
use tokio::runtime::Builder;
use vitral_batch::Engine;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_batch::reconcile::{Kind, Selection, WindowRange, reconcile, reconcile_keyed};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::SystemClock;
use vitral_simulator::Message;
use vitral_simulator::ecommerce::{Simulator, SimulatorConfig};
use vitral_store::Location;
use vitral_stream::{StreamConfig, StreamTelemetry, pipeline};

/// Before the measurement begins.
const BEFORE: usize = 1_000_000;
const EVENTS: usize = 4_000_000;
const PARTITIONS: usize = 4;
const HOUR_MS: i64 = 3_600_000;

fn main() {
    let rate = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(160.0);
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a location");
    let catalog = Arc::new(Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog"));
    let settings = DomainSettings::default();

    let broker = MemoryBroker::new();
    let topic = &catalog.topics[0].kafka_topic;
    broker.create_topic(topic, PARTITIONS);
    let mut events = Simulator::new(SimulatorConfig { rate, ..SimulatorConfig::default() });
    append(&broker, topic, events.by_ref().take(BEFORE));
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
    let mut stream = vitral_stream::start(context, catalog.topics[0].clone()).expect("started");
    let until = |is_done: &dyn Fn(&View) -> bool| {
        let wall = Instant::now();
        while !is_done(&view.borrow()) {
            assert!(wall.elapsed() < Duration::from_secs(600), "not published after ten minutes");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let has_read = |view: &View, messages: usize| {
        view.topics.values().all(|topic| topic.completeness.read == messages as u64 && topic.tail.is_empty())
            && view.metrics.len() == catalog.metrics.len()
    };
    until(&|view| has_read(view, BEFORE));
    let (mut check, results) =
        ContinuousReconciliation::new(Arc::clone(&catalog), settings.clone(), store.clone(), view.clone(), true);
    runtime.block_on(check.poll()).expect("compared");
    runtime.block_on(reconcile_keyed(&catalog, &settings, &store, part(0))).expect("compared");

    // To make them is not the stream's work.
    let events: Vec<Message> = events.take(EVENTS).collect();
    let began = cpu_seconds();
    append(&broker, topic, events.into_iter());
    let last_ms = append_last(&broker, topic, rate);
    until(&|view| {
        let through = |ms: Option<i64>| ms.is_some_and(|ms| ms >= last_ms + 2 * HOUR_MS);
        has_read(view, BEFORE + EVENTS + PARTITIONS)
            && view.metrics.values().all(|metric| through(metric.published_through_ms))
    });
    stream.stop();
    runtime.block_on(stream.finished()).expect("an ordered end");
    let streamed = cpu_seconds() - began;
    let hours = EVENTS as f64 / rate / 3_600.0;
    println!("{EVENTS} events of {hours:.1} hours\n  {:<28} {streamed:>6.2} CPU-s", "stream and archive");

    let began = cpu_seconds();
    runtime.block_on(check.poll()).expect("compared");
    let of_metrics = cpu_seconds() - began;
    let of_tables = runtime.block_on(reconcile_keyed(&catalog, &settings, &store, part(1))).expect("compared");
    assert!(of_tables.iter().all(|table| !table.differs() && table.failure.is_none()), "{of_tables:?}");
    let checked = cpu_seconds() - began;
    let share = |seconds: f64| 100.0 * seconds / streamed;
    println!("  {:<28} {checked:>6.2} CPU-s, {:.0} % of it", "the check", share(checked));
    println!("  {:<28} {of_metrics:>6.2} CPU-s, {:.0} % of it", "  of metrics", share(of_metrics));
    assert!(results.borrow().num_rows() >= catalog.metrics.len(), "every metric is compared");
    let range = WindowRange::of_ms(SimulatorConfig::default().start_ms - HOUR_MS, last_ms + HOUR_MS);
    let timed = |what: &str, selection: Selection<'_>| {
        let began = cpu_seconds();
        let compared = reconcile(&catalog, &settings, &store, &Engine::Local, range, selection);
        let compared = runtime.block_on(compared).expect("compared");
        println!("  {what:<32} {:>6.2} CPU-s", cpu_seconds() - began);
        compared
    };
    for (what, kind) in [("windows, from the first event", Kind::Windows), ("sessions, likewise", Kind::Sessions)] {
        timed(what, Selection { kind, is_frequent: true, ..part(1) });
    }
    for metric in &catalog.metrics {
        let compared = timed(&metric.name, Selection { only: Some(&metric.name), ..Selection::default() });
        assert!(compared.iter().all(|compared| compared.windows > 0 && !compared.differs()), "{}", metric.name);
    }
}

/// Of tables, another part each time.
fn part(bucket: i64) -> Selection<'static> {
    Selection { bucket: Some(bucket), ..Selection::default() }
}

fn append(broker: &MemoryBroker, topic: &str, events: impl Iterator<Item = Message>) {
    for (index, message) in events.enumerate() {
        broker.append(topic, partition(index), MemoryMessage::new(&message.payload)).expect("appended");
    }
}

/// One event for each partition, far behind all others, that closes their windows; and when those
/// end.
fn append_last(broker: &MemoryBroker, topic: &str, rate: f64) -> i64 {
    let last_ms = SimulatorConfig::default().start_ms + ((BEFORE + EVENTS) as f64 / rate * 1_200.0) as i64;
    for index in 0..PARTITIONS {
        let time = DateTime::from_timestamp_millis(last_ms + 4 * HOUR_MS).expect("a time").to_rfc3339();
        let payload = format!(r#"{{"id_usuario":"u","tipo_evento":"clique","id_produto":"p","timestamp":"{time}"}}"#);
        broker.append(topic, partition(index), MemoryMessage::new(payload.as_bytes())).expect("appended");
    }
    last_ms
}

fn partition(index: usize) -> PartitionId {
    PartitionId(i32::try_from(index % PARTITIONS).expect("few"))
}

/// User and system time of the process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time");
    ticks as f64 / 100.0
}
