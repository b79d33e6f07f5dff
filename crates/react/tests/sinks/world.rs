//! A stream that shows what a test says, and targets that fail as a test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::datasource::empty::EmptyTable;
use tempfile::TempDir;
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::memory::MemorySink;
use vitral_connect::{ConnectError, Epoch, Sink};
use vitral_panes::view::{Completeness, MetricFailure, MetricView, TopicView, View};
use vitral_react::{SinkInputs, Sinks, Targets};
use vitral_schemas::health::SinkHealth;
use vitral_schemas::reconciliation;
use vitral_schemas::time::{Clock, ManualClock};
use vitral_store::alerts::episode_schema;
use vitral_store::{Histories, Location};

const TOPIC: &str =
    "CREATE TABLE eventos (p TEXT, n BIGINT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE MATERIALIZED VIEW contagem AS SELECT tumble(INTERVAL '1 minute') AS janela, p, count(*) AS n FROM eventos GROUP BY janela, p;\n";
/// More than any interval.
const LATER_MS: i64 = 120_000;

/// What a target does with an epoch.
pub const FINE: u8 = 0;
/// It is not reached.
pub const AWAY: u8 = 1;
/// It takes the rows, and nobody hears of it.
pub const SILENT: u8 = 2;
/// It does not take the rows, and says nothing.
pub const HANGING: u8 = 3;

/// Keeps rows, and what was sent to it.
#[derive(Debug, Default)]
pub struct Target {
    pub kept: MemorySink,
    pub mode: AtomicU8,
    /// Whether somebody has dropped a column and it was added again.
    pub lacks_values: AtomicBool,
    attempts: Mutex<BTreeMap<u64, Vec<RecordBatch>>>,
}

#[async_trait]
impl Sink for Target {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        if self.mode.load(Ordering::SeqCst) == AWAY {
            return Err(ConnectError::outage("away"));
        }
        self.kept.last_epoch().await
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        // An epoch is always the same.
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = attempts.entry(epoch.0).or_insert_with(|| batches.to_vec());
        assert_eq!(first, batches, "epoch {}", epoch.0);
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner) = attempts;
        tokio::task::yield_now().await;
        let mode = self.mode.load(Ordering::SeqCst);
        if mode == AWAY {
            return Err(ConnectError::outage("away"));
        }
        if mode == HANGING {
            std::future::pending::<()>().await;
        }
        self.kept.write(epoch, batches).await?;
        if mode == SILENT { Err(ConnectError::passing("no answer")) } else { Ok(()) }
    }

    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        Ok(self.lacks_values.load(Ordering::SeqCst))
    }
}

impl Target {
    /// How many epochs somebody has tried to write.
    pub fn epochs_tried(&self) -> usize {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What is there, as JSON.
    pub fn rows(&self) -> Vec<String> {
        self.kept.rows(&["p".to_owned()]).into_values().collect()
    }

    /// Rows and keys that were sent with each epoch.
    pub fn sizes(&self) -> Vec<usize> {
        let written = self.kept.written();
        written.values().map(|batches| batches.iter().map(RecordBatch::num_rows).sum()).collect()
    }
}

pub struct World {
    pub store: Location,
    catalog: Arc<Catalog>,
    clock: Arc<ManualClock>,
    view: watch::Sender<Arc<View>>,
    pub histories: watch::Sender<Arc<Histories>>,
    dir: TempDir,
}

impl World {
    pub fn new(sql: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self {
            store: Location::folder(dir.path()).expect("a store"),
            catalog: catalog(sql),
            clock: Arc::new(ManualClock::new(1_000)),
            view: watch::channel(Arc::default()).0,
            histories: watch::channel(Arc::default()).0,
            dir,
        }
    }

    /// Another version of the catalog, over the same store.
    pub fn declare(&mut self, sql: &str) {
        self.catalog = catalog(sql);
    }

    /// A process's sinks.
    pub fn sinks(&self, targets: &[(&str, Arc<dyn Sink>)]) -> Sinks {
        let targets: Targets = targets.iter().map(|(name, target)| ((*name).to_owned(), Arc::clone(target))).collect();
        let inputs = SinkInputs {
            catalog: Arc::clone(&self.catalog),
            store: self.store.clone(),
            reference_dir: self.dir.path().join("reference"),
            view: self.view.subscribe(),
            histories: self.histories.subscribe(),
            reconciliations: watch::channel(Arc::new(RecordBatch::new_empty(reconciliation::schema()))).1,
            alerts: watch::channel(Arc::new(RecordBatch::new_empty(episode_schema()))).1,
            clock: Arc::clone(&self.clock) as _,
            targets,
        };
        Sinks::new(inputs).expect("sinks")
    }

    /// The same with one target, of `copia`.
    pub fn copying_to(&self, target: &Arc<Target>) -> Sinks {
        self.sinks(&[("copia", Arc::clone(target) as _)])
    }

    pub fn health(&self, sink: &str) -> SinkHealth {
        self.view.borrow().health.sinks().get(sink).cloned().unwrap_or_default()
    }

    /// Commits these rows as those of the metric, some time later.
    pub fn show(&self, rows: &[(Option<&str>, i64)]) {
        self.send(self.metric_view(rows));
    }

    /// The metric's committed windows are not known for a while.
    pub fn hide(&self) {
        self.send(MetricView { open_at_commit: None, ..self.metric_view(&[]) });
    }

    /// The metric is set aside: rows are missing.
    pub fn break_metric(&self, rows: &[(Option<&str>, i64)]) {
        let failure = MetricFailure { reason: "overflow".to_owned(), since_ms: 0, is_set_aside: true };
        self.send(MetricView { failure: Some(failure), ..self.metric_view(rows) });
    }

    fn send(&self, metric: MetricView) {
        let topic = &self.catalog.topics[0];
        let of_topic = TopicView {
            archive: Arc::new(EmptyTable::new(topic.archive_schema())),
            tail: Arc::from([]),
            completeness: Completeness::default(),
        };
        let view = View {
            ready: true,
            topics: [(topic.name.clone(), of_topic)].into(),
            metrics: [("contagem".to_owned(), metric)].into(),
            health: Arc::clone(&self.view.borrow().health),
            ..View::default()
        };
        self.view.send_replace(Arc::new(view));
        self.clock.set_ms(self.clock.now_ms() + LATER_MS);
    }

    fn metric_view(&self, rows: &[(Option<&str>, i64)]) -> MetricView {
        let time = |micros: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_value(micros, rows.len()).with_timezone("UTC"))
        };
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("janela_inicio", time(0), false),
            ("janela_fim", time(60_000_000), false),
            ("p", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))) as ArrayRef, true),
            ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef, true),
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
}

fn catalog(sql: &str) -> Arc<Catalog> {
    let file = SourceFile { path: "a.sql".to_owned(), text: format!("{TOPIC}{sql}") };
    Arc::new(Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog"))
}

/// Polls once; nothing may fail.
pub async fn poll(sinks: &mut Sinks) {
    for (name, outcome) in sinks.poll().await {
        outcome.unwrap_or_else(|error| panic!("{name}: {}", vitral_connect::with_causes(&error)));
    }
}

/// Polls once; the reason for which this sink does not go on.
pub async fn poll_in_vain(sinks: &mut Sinks, name: &str) -> String {
    let outcomes = sinks.poll().await;
    let outcome = outcomes.into_iter().find(|(known, _)| known == name).expect("a sink").1;
    vitral_connect::with_causes(&outcome.expect_err("a failure"))
}
