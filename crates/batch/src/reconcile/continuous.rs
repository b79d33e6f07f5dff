//! Reconciliation alongside the stream: each hour is compared once all metrics have published it
//! for good, sessions and tables every six hours for a part of their keys, and what was found, by
//! this or by command, is shown.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::Utc;
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_panes::view::{View, ViewReceiver};
use vitral_schemas::health::TaskHealth;
use vitral_schemas::reconciliation::{BY_COMMAND, BY_ITSELF, BY_KEYS, ReconciliationReceiver, schema};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::Windows;
use vitral_store::Location;

use super::offsets::{self, Seen};
use super::results::{self, Results, Run};
use super::{BUCKETS, Kind, MetricComparison, Selection, WindowRange, first_ms, reconcile, reconcile_keyed};
use crate::engine::Engine;
use crate::error::BatchError;

const HOUR_MS: i64 = 3_600_000;
/// The most that one run compares, when many hours have become final at once.
const RUN_MS: i64 = 24 * HOUR_MS;
/// How often to poll for hours that became final, and for results of commands.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// While a stream catches up, hours become final at each poll, and more follow. They are compared
/// together, after so many polls at the latest: what a comparison costs whatever its rows is paid
/// once.
const POLLS_TOGETHER: usize = 12;
/// How often sessions and tables are compared, a part of their keys: to look where a session has
/// begun, and to plan, costs more than an hour's rows do.
const PART_EVERY_MS: i64 = 6 * HOUR_MS;
/// Results that are shown; a week of hours of seven metrics.
const SHOWN: usize = 1_176;

/// The check of every hour that has become final.
pub struct ContinuousReconciliation {
    catalog: Arc<Catalog>,
    settings: DomainSettings,
    store: Location,
    view: ViewReceiver,
    hourly: bool,
    results: Results,
    shown: watch::Sender<Arc<RecordBatch>>,
    /// Hours before this are proved; none before the first.
    proved_until_ms: Option<i64>,
    /// Sessions that ended before this are proved.
    sessions_until_ms: Option<i64>,
    /// Whether nothing is known of what comes next: there may be years without events.
    searches: bool,
    /// By topic.
    seen: BTreeMap<String, Seen>,
    /// When tables with one row for each key were compared last.
    tables_compared: Option<Instant>,
}

impl ContinuousReconciliation {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "hourly check";

    /// The check, to be run, and what it shows.
    pub fn new(
        catalog: Arc<Catalog>,
        settings: DomainSettings,
        store: Location,
        view: ViewReceiver,
        hourly: bool,
    ) -> (Self, ReconciliationReceiver) {
        let (shown, receiver) = watch::channel(Arc::new(RecordBatch::new_empty(schema())));
        let results = Results::new(store.clone());
        let check = Self {
            catalog,
            settings,
            store,
            view,
            hourly,
            results,
            shown,
            proved_until_ms: None,
            sessions_until_ms: None,
            searches: true,
            seen: BTreeMap::new(),
            tables_compared: None,
        };
        (check, receiver)
    }

    /// Runs until it is dropped. Failures are reported and tried again.
    pub async fn run(&mut self) {
        if self.view.wait_for(|view| view.ready).await.is_err() {
            return;
        }
        let mut waited = 0;
        let mut final_until_ms = None;
        loop {
            let before_ms = std::mem::replace(&mut final_until_ms, self.final_until_ms(&self.view.borrow()));
            let waits = final_until_ms > before_ms && waited < POLLS_TOGETHER;
            waited = if waits { waited + 1 } else { 0 };
            let polled = if waits { self.show().await } else { self.poll().await };
            match polled {
                Ok(()) => {
                    let health = Arc::clone(&self.view.borrow().health);
                    health.task(Self::NAME, TaskHealth::done);
                }
                Err(error) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(error, "the hourly check could not be run; trying again");
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Compares every hour that has become final since the last call.
    pub async fn poll(&mut self) -> Result<(), BatchError> {
        self.show().await?;
        self.compare_tables().await?;
        while let Some(range) = self.due().await? {
            let windows = Selection { kind: Kind::Windows, is_frequent: true, ..Selection::default() };
            self.searches = self.compare(range, windows).await?;
            if let Some(range) = self.due_sessions(range) {
                let sessions = Selection { kind: Kind::Sessions, is_frequent: true, ..part_of(range.to.ms()) };
                self.searches &= self.compare(range, sessions).await?;
                self.sessions_until_ms = Some(range.to.ms());
            }
            self.proved_until_ms = Some(range.to.ms());
            self.show().await?;
        }
        Ok(())
    }

    /// Whether there was nothing to compare.
    async fn compare(&mut self, range: WindowRange, selection: Selection<'_>) -> Result<bool, BatchError> {
        let started = Instant::now();
        let compared = reconcile(&self.catalog, &self.settings, &self.store, &Engine::Local, range, selection).await?;
        let breaks = self.broken_offsets().await?;
        report(&compared);
        let run = Run {
            origin: BY_ITSELF,
            range,
            ended_ms: Utc::now().timestamp_millis(),
            took_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
            breaks,
            is_after_repair: false,
        };
        results::record(&self.store, results::rows(&run, &compared)?).await?;
        Ok(compared.iter().all(|metric| metric.windows == 0 && !metric.differs()))
    }

    /// The hours through the end of this range whose sessions are to be compared.
    fn due_sessions(&self, range: WindowRange) -> Option<WindowRange> {
        let known_ms = self.sessions_until_ms.or_else(|| last_part_ms(&self.catalog, &self.shown.borrow()));
        // Of years without events, the last day and what was not due before.
        let from_ms = known_ms.map_or(range.from.ms(), |ms| ms.max(range.to.ms() - RUN_MS - PART_EVERY_MS));
        let is_due = known_ms.is_none() || range.to.ms() - from_ms >= PART_EVERY_MS;
        is_due.then(|| WindowRange::of_ms(from_ms, range.to.ms()))
    }

    /// Compares a part of the keys of every table, another each time.
    async fn compare_tables(&mut self) -> Result<(), BatchError> {
        let is_due =
            self.tables_compared.is_none_or(|last| last.elapsed().as_millis() >= PART_EVERY_MS.unsigned_abs().into());
        if !self.hourly || !is_due || self.catalog.keyed.is_empty() {
            return Ok(());
        }
        self.tables_compared = Some(Instant::now());
        let started = Instant::now();
        let now_ms = Utc::now().timestamp_millis();
        let hour = now_ms.div_euclid(HOUR_MS);
        let mut compared = reconcile_keyed(&self.catalog, &self.settings, &self.store, part_of(now_ms)).await?;
        report(&compared);
        let range = WindowRange::of_ms(hour * HOUR_MS, (hour + 1) * HOUR_MS);
        compared.iter_mut().for_each(|table| table.range = range);
        let run = Run {
            origin: BY_KEYS,
            range,
            ended_ms: Utc::now().timestamp_millis(),
            took_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
            breaks: 0,
            is_after_repair: false,
        };
        results::record(&self.store, results::rows(&run, &compared)?).await?;
        self.show().await
    }

    /// How many breaks the offsets have that came since the last call.
    async fn broken_offsets(&mut self) -> Result<usize, BatchError> {
        let mut breaks = 0;
        for topic in &self.catalog.topics {
            let seen = self.seen.entry(topic.name.clone()).or_default();
            let (partitions, found) = offsets::check(topic, &self.store, seen).await?;
            for found in &found {
                tracing::error!(topic = topic.name, ?found, "the archive's offsets do not continue as they should");
            }
            // What is wrong is checked again, so that it is reported until it is repaired.
            if found.is_empty() {
                seen.learn(partitions);
            }
            breaks += found.len();
        }
        Ok(breaks)
    }

    /// The next hours that became final and were not compared yet, in this process or an earlier
    /// one; years without events are passed over.
    async fn due(&mut self) -> Result<Option<WindowRange>, BatchError> {
        let view = Arc::clone(&self.view.borrow());
        let Some(final_until_ms) = self.final_until_ms(&view).filter(|_| self.hourly) else { return Ok(None) };
        let mut from_ms = self.proved_until_ms.or_else(|| last_proved_ms(&self.shown.borrow())).unwrap_or_default();
        if from_ms >= final_until_ms {
            return Ok(None);
        }
        if self.searches {
            let first_ms = first_ms(&self.catalog, &self.settings, &self.store, from_ms).await?;
            let first_ms = first_ms.map_or(final_until_ms, |first_ms| first_ms.div_euclid(HOUR_MS) * HOUR_MS);
            from_ms = first_ms.max(from_ms);
        }
        if from_ms >= final_until_ms {
            self.proved_until_ms = Some(final_until_ms);
            return Ok(None);
        }
        Ok(Some(WindowRange::of_ms(from_ms, final_until_ms.min(from_ms + RUN_MS))))
    }

    /// Windows that start before this are final, for every metric with windows of an hour at most.
    fn final_until_ms(&self, view: &View) -> Option<i64> {
        // An hour is final for a metric once its last window that starts in it is published.
        let final_until = self.catalog.metrics.iter().map(|metric| {
            let topic = self.catalog.topic(&metric.topic)?;
            // One that is set aside publishes nothing that the others would have to wait for.
            let shown = view.metrics.get(&metric.name).filter(|shown| !shown.is_set_aside())?;
            // Sessions are compared where they end.
            let longest_ms = match metric.window.session_gap_micros() {
                None => Windows::new(metric.window, self.settings.time_zone).longest_ms(),
                Some(_) => 0,
            };
            // Days and months are proved when they are asked for: their hours would wait for a
            // month.
            let waits = longest_ms <= HOUR_MS;
            waits.then_some(shown.published_through_ms? - topic.lateness_ms - longest_ms)
        });
        Some(final_until.flatten().min()?.div_euclid(HOUR_MS) * HOUR_MS)
    }

    async fn show(&mut self) -> Result<(), BatchError> {
        if let Some(rows) = self.results.changed(SHOWN).await? {
            self.shown.send_replace(Arc::new(rows));
        }
        Ok(())
    }
}

fn report(compared: &[MetricComparison]) {
    for metric in compared {
        if let Some(reason) = &metric.failure {
            tracing::error!(metric = metric.metric, reason, "the metric cannot be recomputed; the others are compared");
        }
        if metric.differs() {
            tracing::error!(
                metric = metric.metric,
                differences = metric.differences.num_rows(),
                "published rows differ from the archive: run vitral reconcile"
            );
        }
    }
}

/// The keys whose sessions, or rows, are compared at a time: others the next time, and others at
/// the same time of the next day.
fn part_of(ms: i64) -> Selection<'static> {
    let (part, day) = (ms.div_euclid(PART_EVERY_MS), ms.div_euclid(24 * HOUR_MS));
    Selection { bucket: Some((part + day).rem_euclid(BUCKETS)), ..Selection::default() }
}

/// How far the stored results of this check go.
fn last_proved_ms(results: &RecordBatch) -> Option<i64> {
    last_ms(results, |origin, _| origin == BY_ITSELF)
}

/// How far its results of sessions go.
fn last_part_ms(catalog: &Catalog, results: &RecordBatch) -> Option<i64> {
    let is_of_sessions =
        |name: &str| catalog.metric(name).is_some_and(|metric| metric.window.session_gap_micros().is_some());
    last_ms(results, |origin, metric| origin != BY_COMMAND && is_of_sessions(metric))
}

/// The last end of the results that are wanted, by origin and metric.
fn last_ms(results: &RecordBatch, is_wanted: impl Fn(&str, &str) -> bool) -> Option<i64> {
    let [origins, metrics] = ["origem", "metrica"].map(|name| results.column_by_name(name));
    let (origins, metrics) = (origins?.as_string_opt::<i32>()?, metrics?.as_string_opt::<i32>()?);
    let ends = results.column_by_name("ate")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let wanted = (0..results.num_rows()).filter(|row| is_wanted(origins.value(*row), metrics.value(*row)));
    wanted.map(|row| ends.value(row).div_euclid(MICROS_PER_MS)).max()
}
