//! Random reads, commits and repairs of a metric that several processes read through their caches:
//! each answer is what its process would compute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::logical_expr::{ident, lit};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use vitral_catalog::{Name, Needs};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::view::{Completeness, MetricView, View};
use vitral_query::{Asked, Cache, Entry, Format, KeptAnswer, Key, Principal, ReadPoint, State};
use vitral_schemas::topic::timestamp_type;
use vitral_schemas::window::Window;
use vitral_store::{Location, MetricTable};

const METRIC: &str = "m";
const VERSION: &str = "v1";
const MINUTE_MS: i64 = 60_000;
/// What is asked for: the sum over every so many minutes, from one of them on.
const QUESTIONS: i64 = 5;
const TTL: Duration = Duration::from_secs(900);

/// Values by their minutes.
type Minutes = BTreeMap<i64, i64>;

pub struct Walk {
    table: MetricTable,
    location: Location,
    stored: Minutes,
    random: u64,
    processes: Vec<Process>,
    refreshed: usize,
}

/// One that reads, as far as it has seen what is stored.
struct Process {
    cache: Cache,
    needs: Needs,
    view: Arc<View>,
    committed: Minutes,
    open: Minutes,
}

/// How many steps a walk has: more where somebody asks for more.
pub fn steps() -> usize {
    let said = std::env::var("VITRAL_TEST_CACHE_STEPS").ok();
    said.map_or(3_000, |text| text.parse().expect("VITRAL_TEST_CACHE_STEPS is a number"))
}

impl Walk {
    pub async fn new(folder: &std::path::Path, caches: Vec<Cache>) -> Self {
        let location = Location::folder(folder).expect("a folder");
        let table = MetricTable::open(METRIC, VERSION, schema(), &location).await.expect("a table");
        let needs = Needs { names: vec![Name::Table(METRIC.to_owned())], ..Needs::default() };
        let process = |cache| Process {
            cache,
            needs: needs.clone(),
            view: Arc::default(),
            committed: Minutes::new(),
            open: Minutes::new(),
        };
        let processes = caches.into_iter().map(process).collect();
        let mut walk = Self { table, location, stored: Minutes::new(), random: 0x9E37_79B9, processes, refreshed: 0 };
        walk.commit().await;
        for process in 0..walk.processes.len() {
            walk.refresh(process).await;
        }
        walk
    }

    pub async fn step(&mut self) {
        let process = self.below(self.processes.len() as u64) as usize;
        match self.below(100) {
            0..2 => self.commit().await,
            2 => self.repair().await,
            3..12 => self.refresh(process).await,
            12..15 => self.open(process),
            _ => {
                let question = self.below(QUESTIONS as u64) as i64;
                self.processes[process].ask(question).await;
            }
        }
        if self.stored.len().is_multiple_of(7) {
            // Puts are alongside.
            tokio::task::yield_now().await;
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// A window closes; the first process, whose stream it is, shows it at once.
    async fn commit(&mut self) {
        let (minute, value) = (self.stored.len() as i64, self.below(1000) as i64);
        self.table.refresh().await.expect("refreshed");
        self.table.publish(vec![rows(minute, value)], (minute + 1) * MINUTE_MS).await.expect("published");
        self.stored.insert(minute, value);
        self.refresh(0).await;
    }

    async fn repair(&mut self) {
        let minute = self.below(self.stored.len() as u64) as i64;
        let value = self.below(1000) as i64;
        let wanted = ident("janela_inicio")
            .eq(lit(ScalarValue::TimestampMicrosecond(Some(minute * MINUTE_MS * 1000), Some("UTC".into()))));
        MetricTable::replace(METRIC, VERSION, &self.location, wanted, rows(minute, value)).await.expect("repaired");
        self.stored.insert(minute, value);
    }

    /// A process looks at what is stored.
    async fn refresh(&mut self, process: usize) {
        let stored = MetricTable::rows(METRIC, VERSION, &self.location).await.expect("read");
        let (published, published_through_ms) = stored.expect("a table");
        self.refreshed += 1;
        if self.refreshed.is_multiple_of(20) {
            let found = SessionContext::new().read_table(Arc::clone(&published)).expect("a table");
            let found = found.collect().await.expect("rows");
            let values = found.iter().flat_map(|rows| rows.column(2).as_primitive::<Int64Type>().values().iter());
            assert_eq!(values.sum::<i64>(), self.stored.values().sum::<i64>(), "the walk knows what is stored");
        }
        let process = &mut self.processes[process];
        let metric = MetricView {
            topic: "t".to_owned(),
            window: Window::Fixed { size_ms: MINUTE_MS, slide_ms: MINUTE_MS },
            schema: schema(),
            published,
            published_through_ms,
            open: windows(&process.open),
            open_at_commit: None,
            completeness: Completeness::default(),
            failure: None,
        };
        process.committed = self.stored.clone();
        process.view = Arc::new(View { ready: true, metrics: [(METRIC.to_owned(), metric)].into(), ..View::default() });
    }

    /// Open windows of a process come, change, or go.
    fn open(&mut self, process: usize) {
        let (minute, value) = (1_000_000 + self.below(50) as i64, self.below(1000) as i64);
        let is_closed = self.below(3) > 0;
        let process = &mut self.processes[process];
        process.open.clear();
        if !is_closed {
            process.open.insert(minute, value);
        }
        let mut view = View::clone(&process.view);
        if let Some(metric) = view.metrics.get_mut(METRIC) {
            metric.open = windows(&process.open);
        }
        process.view = Arc::new(view);
    }
}

impl Process {
    /// As an endpoint does.
    async fn ask(&self, question: i64) {
        let expected: i64 = {
            let all = self.committed.iter().chain(&self.open);
            all.filter(|(minute, _)| *minute % QUESTIONS == question).map(|(_, value)| value).sum()
        };
        let path = format!("/q/{question}");
        let key = Key::new(&Principal::anonymous(), &path, [], Format::Json, None);
        let asked = Asked { key: &key, needs: &self.needs, ttl: TTL };
        let point = ReadPoint::new(Principal::anonymous(), Arc::clone(&self.view), 0);
        let now = State::of(&point, &self.needs);
        let kept = match self.cache.in_memory(asked, &now).await {
            Some(kept) => Some(kept),
            None => {
                let flight = self.cache.flight(&key);
                let mut turn = flight.turn().await;
                let begun = Instant::now();
                let kept = self.cache.in_turn(asked, (&point, &now), &mut turn).await;
                if kept.is_none() {
                    let body = expected.to_string().into();
                    let answer = KeptAnswer { status: 200, body, completeness: Vec::new(), head: Vec::new() };
                    self.cache.keep(asked, &point, &mut turn, Entry::new(now, answer, begun)).await;
                }
                kept
            }
        };
        if let Some(kept) = kept {
            assert_eq!(kept.entry.answer.body, expected.to_string().as_bytes(), "question {question}, {:?}", kept.age);
        }
    }
}

fn windows(open: &Minutes) -> Arc<OpenWindows> {
    let rows = open.iter().map(|(minute, value)| (minute * MINUTE_MS, rows(*minute, *value)));
    Arc::new(OpenWindows::of_rows(rows.collect()))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("janela_inicio", timestamp_type(), false),
        Field::new("janela_fim", timestamp_type(), false),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn rows(minute: i64, value: i64) -> RecordBatch {
    let time = |minute: i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![minute * MINUTE_MS * 1000]).with_timezone("UTC"))
    };
    let columns = vec![time(minute), time(minute + 1), Arc::new(Int64Array::from(vec![value])) as ArrayRef];
    RecordBatch::try_new(schema(), columns).expect("a row")
}
