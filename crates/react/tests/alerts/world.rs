//! A stream that shows what a test says, and what alerts make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use tempfile::TempDir;
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::Notifier;
use vitral_connect::memory::MemoryNotifier;
use vitral_panes::view::{
    Completeness, KeyedImports, KeyedMoment, KeyedTableView, KeyedThrough, MetricFailure, MetricView, TopicView, View,
};
use vitral_react::{AlertInputs, Alerts, Destination, Notifiers};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::health::{NotificationHealth, PartitionHealth, Phase};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::reconciliation;
use vitral_schemas::time::ManualClock;
use vitral_store::{AlertReceiver, Histories, Location};

use crate::counted::Counted;

const TOPIC: &str =
    "CREATE TABLE eventos (p TEXT, n BIGINT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');\n";
/// A table with one row for each key, and a view over it, as stock has them.
const LEVELS: &str = "CREATE MATERIALIZED VIEW niveis AS SELECT p, latest(n) AS n FROM eventos GROUP BY p;
CREATE VIEW estoque AS SELECT p, sum(n) AS n FROM niveis GROUP BY p;\n";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub store: Location,
    pub catalog: Arc<Catalog>,
    settings: DomainSettings,
    clock: Arc<ManualClock>,
    view: watch::Sender<Arc<View>>,
    pub histories: watch::Sender<Arc<Histories>>,
    reconciliations: watch::Sender<Arc<RecordBatch>>,
    seen: std::sync::Mutex<Option<AlertReceiver>>,
    /// How often levels were read.
    reads: Arc<AtomicUsize>,
    /// Whether they cannot be read at the moment.
    pub are_levels_broken: Arc<AtomicBool>,
    /// Who is notified of what names nobody.
    notify: Vec<String>,
    pub dir: TempDir,
}

impl World {
    /// With one metric, `contagem(p, n)`.
    pub fn new(sql: &str) -> Self {
        Self::of(&format!("{}{sql}", metric("contagem")))
    }

    /// With several, `contagem_0` and so on.
    pub fn with_metrics(sql: &str, count: usize) -> Self {
        let metrics: String = (0..count).map(|index| metric(&format!("contagem_{index}"))).collect();
        Self::of(&format!("{metrics}{sql}"))
    }

    /// With a table of levels, and the view `estoque(p, n)` over it.
    pub fn with_levels(sql: &str) -> Self {
        Self::of(&format!("{}{LEVELS}{sql}", metric("contagem")))
    }

    fn of(sql: &str) -> Self {
        let settings = DomainSettings::default();
        let file = SourceFile { path: "a.sql".to_owned(), text: format!("{TOPIC}{sql}") };
        let catalog = Catalog::parse(&[vec![file]], &settings).expect("a catalog");
        let dir = tempfile::tempdir().expect("a folder");
        let world = Self {
            store: Location::folder(dir.path()).expect("a store"),
            catalog: Arc::new(catalog),
            settings,
            clock: Arc::new(ManualClock::new(1_000)),
            view: watch::channel(Arc::default()).0,
            histories: watch::channel(Arc::default()).0,
            reconciliations: watch::channel(Arc::new(RecordBatch::new_empty(reconciliation::schema()))).0,
            seen: std::sync::Mutex::default(),
            reads: Arc::default(),
            are_levels_broken: Arc::default(),
            notify: Vec::new(),
            dir,
        };
        world.read_through(0, 0);
        world
    }

    /// So many messages were there when the process began to read, and so many of them are
    /// committed.
    pub fn read_through(&self, committed: i64, first_end: i64) {
        self.view.borrow().health.topic("eventos", |topic| {
            let of_start = PartitionHealth::at(Offset(0), Some(Offset(first_end)), Instant::now());
            let partition =
                PartitionHealth { position: Offset(committed), committed: Some(Offset(committed)), ..of_start };
            topic.phase = Phase::Serving;
            topic.partitions.insert(PartitionId(0), partition);
        });
    }

    /// The topic is not read, as its broker is away.
    pub fn wait_for_broker(&self) {
        let away = Phase::Waiting("its broker does not answer".to_owned());
        self.view.borrow().health.topic("eventos", |topic| topic.phase = away);
    }

    /// So far the table of levels has come.
    pub fn take_in_levels_through(&self, offset: i64) {
        self.view.send_modify(|view| {
            let mut next = View::clone(view);
            let table = next.keyed.get_mut("niveis").expect("a table");
            table.through = Arc::new(KeyedThrough {
                commit: Some(3),
                log: None,
                offsets: [(PartitionId(0), Offset(offset))].into(),
            });
            *view = Arc::new(next);
        });
    }

    /// The same, and `operacao` is notified of what names nobody.
    pub fn with_default_receiver(self) -> Self {
        Self { notify: vec!["operacao".to_owned()], ..self }
    }

    /// The topic's committed watermark, and how many messages its partition has that were not read.
    pub fn stand_at(&self, watermark_ms: i64, unread: i64) {
        self.view.send_modify(|view| {
            let mut next = View { ready: true, ..View::clone(view) };
            next.committed_watermarks.insert("eventos".to_owned(), Watermark::from_ms(watermark_ms));
            next.health.topic("eventos", |topic| {
                let of_start = PartitionHealth::at(Offset(10), Some(Offset(10 + unread)), Instant::now());
                let ten = Some(Offset(10));
                topic.partitions.insert(PartitionId(0), PartitionHealth { first_end: ten, committed: ten, ..of_start });
            });
            *view = Arc::new(next);
        });
    }

    pub fn set_now_ms(&self, now_ms: i64) {
        self.clock.set_ms(now_ms);
    }

    /// A process's alerts.
    pub fn alerts(&self, notifier: &Arc<MemoryNotifier>) -> Alerts {
        self.alerts_telling(Arc::clone(notifier) as _)
    }

    pub fn alerts_telling(&self, notifier: Arc<dyn Notifier>) -> Alerts {
        let mut notifiers = Notifiers::default();
        let destination = Destination { connection: "operacao".to_owned(), topic: "alertas".to_owned() };
        notifiers.add(destination, notifier);
        let inputs = AlertInputs {
            catalog: Arc::clone(&self.catalog),
            settings: self.settings.clone(),
            store: self.store.clone(),
            reference_dir: self.dir.path().join("reference"),
            view: self.view.subscribe(),
            histories: self.histories.subscribe(),
            reconciliations: self.reconciliations.subscribe(),
            clock: Arc::clone(&self.clock) as _,
            notify: self.notify.clone(),
            notifiers,
        };
        let (alerts, seen) = Alerts::new(inputs).expect("alerts");
        *self.seen.lock().expect("no panic") = Some(seen);
        alerts
    }

    /// Commits these rows as those of every metric.
    pub fn show(&self, rows: &[(&str, i64)]) {
        let metrics = self.catalog.metrics.iter().map(|metric| (metric.name.clone(), self.metric_view(rows)));
        self.send(metrics.collect());
    }

    /// The same for one of several metrics.
    pub fn show_in(&self, index: usize, rows: &[(&str, i64)]) {
        let mut metrics = self.view.borrow().metrics.clone();
        metrics.insert(format!("contagem_{index}"), self.metric_view(rows));
        self.send(metrics);
    }

    /// The metrics' committed windows are not known for a while.
    pub fn hide(&self) {
        let mut metrics = self.view.borrow().metrics.clone();
        metrics.values_mut().for_each(|metric| metric.open_at_commit = None);
        self.send(metrics);
    }

    /// Commits these levels as those of the table.
    pub fn show_levels(&self, levels: &[(&str, i64)]) {
        self.change_view(
            |view, table| {
                view.keyed.insert("niveis".to_owned(), table);
                view.keyed_imports.entry("niveis".to_owned()).or_default();
            },
            levels,
        );
    }

    /// The view is another, the levels are the same.
    pub fn show_levels_again(&self) {
        self.view.send_modify(|view| *view = Arc::new(View::clone(view)));
    }

    /// The same, as a process shows them that has just started: they are as an earlier one has left
    /// them.
    pub fn show_earlier_levels(&self, levels: &[(&str, i64)]) {
        self.change_view(
            |view, table| {
                view.keyed.insert("niveis".to_owned(), table);
                view.keyed_imports.clear();
            },
            levels,
        );
    }

    /// An import brings these levels; `now` has come by messages since.
    pub fn import_levels(&self, imported: &[(&str, i64)], now: &[(&str, i64)]) {
        let moment = |rows| KeyedMoment { rows, through: Arc::default() };
        let before = moment(Arc::clone(&self.view.borrow().keyed["niveis"].rows));
        let after = moment(self.levels(imported));
        self.change_view(
            |view, table| {
                view.keyed.insert("niveis".to_owned(), table);
                let imports = view.keyed_imports.entry("niveis".to_owned()).or_default();
                *imports = KeyedImports { count: imports.count + 1, last: Some([before, after]) };
            },
            now,
        );
    }

    /// The table is set aside.
    pub fn break_levels(&self) {
        self.view.send_modify(|view| {
            let mut next = View::clone(view);
            let table = next.keyed.get_mut("niveis").expect("a table");
            table.failure = Some(MetricFailure { reason: "overflow".to_owned(), since_ms: 0, is_set_aside: true });
            *view = Arc::new(next);
        });
    }

    /// How often levels were read.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn change_view(&self, change: impl FnOnce(&mut View, KeyedTableView), levels: &[(&str, i64)]) {
        let rows = self.levels(levels);
        let (topic, keys) = ("eventos".to_owned(), vec!["p".to_owned()]);
        let table = KeyedTableView { topic, keys, rows, through: Arc::default(), since_ms: None, failure: None };
        self.view.send_modify(|view| {
            let mut next = View { ready: true, ..View::clone(view) };
            change(&mut next, table);
            *view = Arc::new(next);
        });
    }

    fn levels(&self, levels: &[(&str, i64)]) -> Arc<dyn TableProvider> {
        let batch = RecordBatch::try_from_iter([
            ("p", Arc::new(StringArray::from_iter_values(levels.iter().map(|level| level.0))) as ArrayRef),
            ("n", Arc::new(Int64Array::from_iter_values(levels.iter().map(|level| level.1))) as ArrayRef),
            (
                "atualizado",
                Arc::new(TimestampMicrosecondArray::from_value(0, levels.len()).with_timezone("UTC")) as ArrayRef,
            ),
        ])
        .expect("levels");
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
        Arc::new(Counted::new(table, &self.reads, &self.are_levels_broken))
    }

    fn send(&self, metrics: BTreeMap<String, MetricView>) {
        let topic = &self.catalog.topics[0];
        let of_topic = TopicView {
            archive: Arc::new(EmptyTable::new(topic.archive_schema())),
            tail: Arc::from([]),
            completeness: Completeness::default(),
        };
        let topics = [(topic.name.clone(), of_topic)].into();
        self.view.send_modify(|view| *view = Arc::new(View { ready: true, topics, metrics, ..View::clone(view) }));
    }

    fn metric_view(&self, rows: &[(&str, i64)]) -> MetricView {
        let time = |micros: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_value(micros, rows.len()).with_timezone("UTC"))
        };
        let batch = RecordBatch::try_from_iter([
            ("janela_inicio", time(0)),
            ("janela_fim", time(60_000_000)),
            ("p", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
            ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef),
        ])
        .expect("rows");
        MetricView {
            topic: self.catalog.topics[0].name.clone(),
            window: self.catalog.metrics[0].window,
            schema: batch.schema(),
            published: Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table")),
            published_through_ms: Some(0),
            open: Arc::default(),
            open_at_commit: Some(Arc::default()),
            completeness: Completeness::default(),
            failure: None,
        }
    }

    /// How the notifications of the one receiver fare.
    pub fn notifications(&self) -> NotificationHealth {
        self.view.borrow().health.notifications().remove("operacao/alertas").unwrap_or_default()
    }

    /// What is shown: `key state rows`, sorted.
    pub fn states(&self) -> Vec<String> {
        let (keys, states) = (self.column("chave"), self.column("estado"));
        let rows = self.seen().column_by_name("linhas").expect("a column").clone();
        let rows = rows.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        let mut shown: Vec<String> =
            keys.iter().zip(&states).zip(rows).map(|((key, state), rows)| format!("{key} {state} {rows}")).collect();
        shown.sort();
        shown
    }

    /// A column of what is shown.
    pub fn column(&self, name: &str) -> Vec<String> {
        let seen = self.seen();
        let column = seen.column_by_name(name).expect("a column").as_string::<i32>();
        (0..column.len())
            .map(|row| if column.is_valid(row) { column.value(row).to_owned() } else { String::new() })
            .collect()
    }

    fn seen(&self) -> Arc<RecordBatch> {
        let seen = self.seen.lock().expect("no panic");
        Arc::clone(&seen.as_ref().expect("alerts").borrow())
    }
}

fn metric(name: &str) -> String {
    format!(
        "CREATE MATERIALIZED VIEW {name} AS SELECT tumble(INTERVAL '1 minute') AS janela, p, count(*) AS n FROM eventos GROUP BY janela, p;\n"
    )
}

/// 1,000 alerts over 20 views, each view of a metric of its own: 50 alerts read each.
pub fn many_alerts() -> String {
    let views = (0..20).map(|view| format!("CREATE VIEW v{view} AS SELECT p, n FROM contagem_{view};\n"));
    let alerts = (0..1_000).map(|alert| {
        let view = alert % 20;
        format!(
            "CREATE VIEW alerta_{alert} WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM v{view} WHERE n = {alert};\n"
        )
    });
    views.chain(alerts).collect()
}

/// Polls until that is so.
pub async fn run_until(alerts: &mut Alerts, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "what must come does not");
        alerts.poll().await.expect("nothing is wrong");
        tokio::task::yield_now().await;
    }
}
