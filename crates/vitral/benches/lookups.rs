//! What looked-up columns cost a stream, as a share of the throughput that the same stream has
//! without them, in one run and without a broker: at most 5 % for those of a file, and 15 % for
//! those of a system where 95 % are in the cache. It fails where they cost more.
//!
//! `cargo bench --profile dist --bench lookups`: the shares are meant for what is shipped.
//! `--profile dev` is for a quick look. CPU time of the whole process, the best of some rounds, in
//! each of which every kind has its turn; the cost of a system's client is not in it, as the system
//! is this process's memory.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, SourceFile, builtin_files};
use vitral_connect::memory::{MemoryBroker, MemoryLookup, MemoryMessage};
use vitral_connect::{ConnectError, Lookup, LookupExt, Lookups, TableLookup};
use vitral_connect_file::FileLookup;
use vitral_panes::view::View;
use vitral_schemas::lookup::OnFailure;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::SystemClock;
use vitral_store::Location;
use vitral_stream::{StreamConfig, StreamTelemetry, pipeline};

const EVENTS: usize = 1_000_000;
const USERS: usize = 10_000;
/// One event in so many is of a user who comes once, and is not in a cache.
const ONCE_IN: usize = 20;
/// So many that the best of each kind is one that nothing else on the machine has disturbed.
const ROUNDS: usize = 5;
/// What is looked up, and which share of the throughput that may cost.
const KINDS: [(&str, f64); 3] = [("none", 0.0), ("file", 0.05), ("cache, 95 % hits", 0.15)];
/// What a system takes to answer.
const ANSWER: Duration = Duration::from_millis(2);

fn main() {
    let bench = Bench::new();
    let mut seconds = [[0.0_f64; ROUNDS]; KINDS.len()];
    // Round by round, so that what else this machine does is shared.
    for round in 0..ROUNDS {
        for (kind, seconds) in seconds.iter_mut().enumerate() {
            seconds[round] = bench.run(kind);
        }
    }
    seconds.iter_mut().for_each(|seconds| seconds.sort_by(f64::total_cmp));
    println!("{EVENTS} events, {USERS} users, one event in {ONCE_IN} of another user");
    let per_event = |seconds: f64| 1e9 * seconds / EVENTS as f64;
    let mut dear = Vec::new();
    for ((name, share_max), seconds_of) in KINDS.iter().zip(&seconds) {
        let (best, median) = (seconds_of[0], seconds_of[ROUNDS / 2]);
        let share = 1.0 - seconds[0][0] / best;
        println!(
            "  look-ups: {name:<18} best {:>6.0} ns/event, median {:>6.0}: {:>5.1} % of the throughput, {:.0} % at most",
            per_event(best),
            per_event(median),
            100.0 * share,
            100.0 * share_max
        );
        if share > *share_max {
            dear.push(*name);
        }
    }
    assert!(dear.is_empty(), "these cost more of the throughput than they may: {}", dear.join("; "));
}

struct Bench {
    broker: MemoryBroker,
    runtime: Runtime,
    reference: tempfile::TempDir,
    users: RecordBatch,
}

/// A system that takes its time.
#[derive(Debug)]
struct Slow(MemoryLookup);

#[async_trait]
impl Lookup for Slow {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        tokio::time::sleep(ANSWER).await;
        self.0.get(keys).await
    }
}

impl Bench {
    fn new() -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic("eventos_clientes", 1);
        for index in 0..EVENTS {
            broker.append("eventos_clientes", PartitionId(0), MemoryMessage::new(&event(index))).expect("appended");
        }
        let reference = tempfile::tempdir().expect("a folder");
        let mut text = "id_usuario,segmento\n".to_owned();
        for user in 0..USERS {
            writeln!(text, "u{user},segmento {}", user % 12).expect("a line");
        }
        std::fs::write(reference.path().join("perfis.csv"), text).expect("written");
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let users: StringArray = (0..USERS).map(|user| Some(format!("u{user}"))).collect();
        let segments: StringArray = (0..USERS).map(|user| Some(format!("segmento {}", user % 12))).collect();
        let schema = Arc::new(Schema::new(vec![field("id_usuario"), field("segmento")]));
        let users = RecordBatch::try_new(schema, vec![Arc::new(users), Arc::new(segments)]).expect("rows");
        Self { broker, runtime: Builder::new_multi_thread().enable_all().build().expect("a runtime"), reference, users }
    }

    /// CPU seconds from the start of the stream until everything is committed.
    fn run(&self, kind: usize) -> f64 {
        let catalog = Arc::new(catalog(kind > 0));
        let table = match kind {
            0 => None,
            1 => {
                let table = &catalog.references.iter().find(|table| table.name == "perfis").expect("the table");
                let lookup = FileLookup::open(self.reference.path(), table).expect("a file");
                Some(TableLookup::direct("perfis", Box::new(lookup), "id_usuario").expect("a table"))
            }
            _ => {
                let lookup = Slow(MemoryLookup::new(&self.users, "id_usuario").expect("a look-up"));
                let bounded = Box::new(lookup.timed_out(Duration::from_secs(1)).with_breaker());
                let hour = Duration::from_secs(3_600);
                Some(TableLookup::cached("perfis", bounded, "id_usuario", hour, OnFailure::Null).expect("a table"))
            }
        };
        let dir = tempfile::tempdir().expect("a folder");
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let context = pipeline::Context {
            config: StreamConfig {
                snapshot: None,
                ..StreamConfig::new(Location::folder(dir.path()).expect("a location"))
            },
            connector: Arc::new(self.broker.clone()),
            lookups: Lookups::new(table.map(|table| ("perfis".to_owned(), table))),
            row_sinks: Default::default(),
            catalog: Arc::clone(&catalog),
            settings: DomainSettings::default(),
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: StreamTelemetry::register(&mut Registry::default()),
            runtime: self.runtime.handle().clone(),
        };
        let (began, wall) = (cpu_seconds(), Instant::now());
        let mut stream = vitral_stream::start(context, catalog.topics[0].clone()).expect("started");
        let committed = |view: &View| {
            let mut topics = view.topics.values();
            topics.any(|topic| topic.completeness.read == EVENTS as u64 && topic.tail.is_empty())
        };
        while !committed(&view.borrow()) {
            assert!(wall.elapsed() < Duration::from_secs(300), "not committed after five minutes");
            std::thread::sleep(Duration::from_millis(20));
        }
        let cost = cpu_seconds() - began;
        stream.stop();
        self.runtime.block_on(stream.finished()).expect("an ordered end");
        cost
    }
}

/// The built-in catalog, with a looked-up column or without.
fn catalog(has_lookup: bool) -> Catalog {
    let files = builtin_files(&[DEFAULT_DOMAIN]);
    if has_lookup {
        let start = "CREATE TABLE eventos_clientes (";
        let topic = files.iter().find(|file| file.text.contains(start)).expect("the topic");
        let column = "segmento TEXT GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento')) STORED,";
        let topic = topic.text.replace(start, &format!("{start}{column}"));
        let table = "CREATE TABLE perfis (id_usuario VARCHAR(256) NOT NULL, segmento TEXT)
            WITH (connector = 'file', key = 'id_usuario');";
        let above = SourceFile { path: "above.sql".to_owned(), text: format!("{topic}\n{table}") };
        return Catalog::parse(&[files, vec![above]], &DomainSettings::default()).expect("a catalog");
    }
    Catalog::parse(&[files], &DomainSettings::default()).expect("a catalog")
}

fn event(index: usize) -> Vec<u8> {
    let second = index / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let user = if index.is_multiple_of(ONCE_IN) { USERS + index } else { index * 7_919 % USERS };
    format!(
        r#"{{"id_usuario": "u{user}", "tipo_evento": "clique", "id_produto": "p{}", "timestamp": "2025-05-14T{hour:02}:{minute:02}:{second:02}"}}"#,
        index * 104_729 % 2_000
    )
    .into_bytes()
}

/// User and system time of the process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time");
    ticks as f64 / 100.0
}
