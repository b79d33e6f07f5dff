//! All metrics of one topic: their open panes, and the provisional rows made from them. A metric
//! that fails is set aside alone ([`failure`]).

mod failure;
mod steps;
mod still_open;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::execution::context::SessionContext;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_panes::PanesError;
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::MetricPanes;
use vitral_panes::view::MetricFailure;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::Clock;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::Windows;

use self::failure::{Halt, fold_parts};
use self::steps::{is_closed, panes_of};

/// The metrics of one topic, by version.
pub struct TopicPanes {
    /// Each version once; where one stands here is known to nobody else.
    metrics: Vec<LiveMetric>,
    event_time: usize,
    lateness_ms: i64,
    clock: Arc<dyn Clock>,
    /// Metrics whose failure began or ended and was not reported yet.
    news: BTreeSet<MetricVersionId>,
}

/// One version of a metric, as the pipeline keeps it.
pub struct LiveMetric {
    /// The states of its open panes.
    pub panes: MetricPanes,
    /// By which its table is named.
    pub id: MetricVersionId,
    /// Windows through this watermark are published.
    pub published_through: Option<Watermark>,
    /// Windows that are not published, as of the last refresh.
    pub open: Arc<OpenWindows>,
    /// What this version is there for.
    pub state: VersionState,
    /// Why it was set aside, or why open windows of it cannot be shown. It stays until the windows
    /// are there.
    pub failure: Option<MetricFailure>,
    /// Open windows that could not be finished when somebody last asked for them.
    unfinished: BTreeSet<i64>,
    /// Whether what came of asking for the open windows is known here: how large their rows are,
    /// and which are missing.
    is_open_known: bool,
}

/// What a metric's version is there for: active, or on the way there or away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// What the catalog declares, with its whole history.
    Active,
    /// What the catalog declares, while its windows through this watermark are still computed from
    /// the archive.
    Backfilling {
        /// What the pipeline leaves to the history.
        through: Watermark,
    },
    /// What an earlier catalog declared; it serves until its successor has its history.
    Superseded,
    /// What the catalog declares, but it failed: nothing is added until the next start, which tries
    /// again.
    SetAside,
    /// Replaced: nothing of it is kept.
    Retired,
}

impl LiveMetric {
    /// Without states; nothing of it is published.
    pub fn new(
        plan: Arc<MetricPlan>,
        version: &str,
        state: VersionState,
        session: &SessionContext,
        memory_bytes: usize,
    ) -> Self {
        let id = MetricVersionId::new(plan.metric.name.as_str(), version);
        let panes = MetricPanes::new(plan, &session.runtime_env().memory_pool, memory_bytes);
        Self {
            panes,
            id,
            published_through: None,
            open: Arc::default(),
            state,
            failure: None,
            unfinished: BTreeSet::new(),
            is_open_known: true,
        }
    }

    /// Windows through this watermark take no more rows here: they are published, or another
    /// computes them.
    fn settled_through(&self) -> Option<Watermark> {
        match self.state {
            VersionState::Backfilling { through } => self.published_through.max(Some(through)),
            _ => self.published_through,
        }
    }

    /// How it is folded, merged and finished.
    pub fn plan(&self) -> &Arc<MetricPlan> {
        self.panes.plan()
    }

    /// Whether its windows are sessions.
    pub fn is_of_sessions(&self) -> bool {
        self.plan().windows.window.session_gap_micros().is_some()
    }

    /// Whether rows are folded into it.
    pub fn is_active(&self) -> bool {
        !matches!(self.state, VersionState::SetAside | VersionState::Retired)
    }

    /// Forgets all that was folded.
    fn clear(&mut self) {
        self.panes.clear();
        self.open = Arc::default();
        self.unfinished.clear();
    }

    /// Shows the states as they are now; these windows have changed since the last refresh.
    fn show(&mut self, touched: BTreeSet<i64>, now_ms: i64) {
        self.open = Arc::new(self.open.refreshed(self.panes.states(), touched, now_ms));
        self.is_open_known = false;
    }

    /// Accounts for the provisional rows that are there.
    fn account_for_open(&mut self) -> Result<(), PanesError> {
        self.panes.account_for(self.open.row_bytes())
    }
}

impl TopicPanes {
    /// Plans every metric of the topic.
    pub fn new(
        catalog: &Catalog,
        topic: &Topic,
        settings: &DomainSettings,
        session: &SessionContext,
        memory_bytes: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PanesError> {
        let metrics = catalog.metrics_of(&topic.name).map(|metric| {
            let plan = Arc::new(MetricPlan::new(metric, topic, settings, session)?);
            let version = metric.version(settings, topic.lateness_ms);
            Ok(LiveMetric::new(plan, &version, VersionState::Active, session, memory_bytes))
        });
        Ok(Self {
            metrics: metrics.collect::<Result<_, PanesError>>()?,
            event_time: topic.event_time,
            lateness_ms: topic.lateness_ms,
            clock,
            news: BTreeSet::new(),
        })
    }

    /// Every version.
    pub fn metrics(&self) -> &[LiveMetric] {
        &self.metrics
    }

    /// The same, to be changed.
    pub fn metrics_mut(&mut self) -> &mut [LiveMetric] {
        &mut self.metrics
    }

    /// The version with this name; none if it is not among them.
    pub fn get(&self, id: &MetricVersionId) -> Option<&LiveMetric> {
        self.metrics.iter().find(|metric| metric.id == *id)
    }

    /// Adds a version to those that the catalog declares.
    pub fn add(&mut self, metric: LiveMetric) {
        self.metrics.push(metric);
    }

    fn index_of(&self, id: &MetricVersionId) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.id == *id)
    }

    /// Forgets all that was folded.
    pub fn clear(&mut self) {
        self.metrics.iter_mut().for_each(LiveMetric::clear);
    }

    /// Folds counted rows of one partition into every metric.
    pub fn fold(&mut self, partition: PartitionId, rows: &RecordBatch) {
        if rows.num_rows() == 0 {
            return;
        }
        // Metrics with the same panes share their column.
        let mut columns: Vec<(Windows, ArrayRef)> = Vec::new();
        let parts = [(partition, rows.clone())];
        let event_time = self.event_time;
        for index in 0..self.metrics.len() {
            if !self.metrics[index].is_active() {
                continue;
            }
            let windows = self.metrics[index].plan().windows;
            let known = columns.iter().find(|(known, _)| *known == windows).map(|(_, column)| Arc::clone(column));
            let panes = known.unwrap_or_else(|| {
                let column = panes_of(&windows, event_time, rows);
                columns.push((windows, Arc::clone(&column)));
                column
            });
            if let Err(halt) = fold_parts(&mut self.metrics[index], &parts, |_| Arc::clone(&panes)) {
                self.go_on_folding(index, &parts, halt);
            }
        }
    }

    /// Folds a restart's large batches, with the processors at a metric each: `rows_of` has a
    /// metric's rows by partition, none if it wants none.
    pub fn fold_large<'a>(
        &mut self,
        rows_of: impl Fn(&MetricVersionId) -> Option<&'a [(PartitionId, RecordBatch)]> + Sync,
    ) {
        let event_time = self.event_time;
        let metrics = self.metrics.par_iter_mut().enumerate().with_max_len(1);
        let halted: Vec<(usize, Halt)> = metrics
            .filter_map(|(index, metric)| {
                let parts = rows_of(&metric.id).unwrap_or_default();
                let windows = metric.plan().windows;
                let outcome = fold_parts(metric, parts, |rows| panes_of(&windows, event_time, rows));
                outcome.err().map(|halt| (index, halt))
            })
            .collect();
        for (index, halt) in halted {
            let parts = rows_of(&self.metrics[index].id).unwrap_or_default();
            self.go_on_folding(index, parts, halt);
        }
    }

    /// Shows the states of every window that was touched since the last call; true if any was.
    /// Their rows are made when somebody asks.
    pub fn refresh(&mut self) -> bool {
        let mut has_changed = false;
        for index in 0..self.metrics.len() {
            self.learn_from_readers(index);
            if self.metrics[index].is_active() {
                has_changed |= self.refresh_metric(index);
            }
        }
        has_changed
    }

    fn refresh_metric(&mut self, index: usize) -> bool {
        let (lateness_ms, now_ms) = (self.lateness_ms, self.clock.now_ms());
        let metric = &mut self.metrics[index];
        let windows = metric.plan().windows;
        let settled_through = metric.settled_through();
        let mut touched = metric.panes.take_dirty();
        touched.retain(|start_ms| !is_closed(windows.bounds(*start_ms), settled_through, lateness_ms));
        let has_changed = !touched.is_empty();
        // Those that nobody has asked for are shown as they are now: what was merged or dropped
        // meanwhile need not be kept for them.
        if has_changed || !metric.open.is_made() {
            metric.show(touched, now_ms);
        }
        // Whether a failure is over is looked into, even if nobody asks.
        if metric.open.has_pending(&metric.unfinished) {
            metric.open.rows();
            self.learn_from_readers(index);
        }
        has_changed
    }

    /// For each metric with windows that closed since its last publication, their rows, which may
    /// be none.
    pub fn closed(&mut self, watermark: Watermark) -> Vec<(MetricVersionId, Vec<RecordBatch>)> {
        let lateness_ms = self.lateness_ms;
        let mut closed = Vec::new();
        for index in 0..self.metrics.len() {
            let metric = &self.metrics[index];
            if !matches!(metric.state, VersionState::Active | VersionState::Superseded) {
                continue;
            }
            let windows = metric.plan().windows;
            let step = |through: Watermark| steps::publication(&windows, through.late_before(lateness_ms));
            if metric.published_through.is_some_and(|through| step(through) == step(watermark)) {
                continue;
            }
            let rows = self.insist_or_set_aside(index, |metric| {
                metric.panes.rows_of(|bounds| {
                    is_closed(bounds, Some(watermark), lateness_ms)
                        && !is_closed(bounds, metric.published_through, lateness_ms)
                })
            });
            closed.extend(rows.map(|rows| (self.metrics[index].id.clone(), rows)));
        }
        closed
    }

    /// The windows through this watermark are published: their panes and provisional rows go.
    pub fn published(&mut self, id: &MetricVersionId, watermark: Watermark) {
        let Some(index) = self.index_of(id) else { return };
        let metric = &mut self.metrics[index];
        metric.published_through = metric.published_through.max(Some(watermark));
        self.evict(index);
    }

    /// Drops panes and provisional rows of all windows that take no more rows here.
    pub fn evict_settled(&mut self) {
        (0..self.metrics.len()).for_each(|index| self.evict(index));
    }

    fn evict(&mut self, index: usize) {
        let lateness_ms = self.lateness_ms;
        let metric = &mut self.metrics[index];
        let Some(watermark) = metric.settled_through().filter(|_| metric.is_active()) else { return };
        let (windows, closed_until) = (metric.plan().windows, watermark.late_before(lateness_ms));
        let first_open_ms = windows.first_open_ms(closed_until.ms());
        let open = if metric.is_of_sessions() {
            Some(metric.open.ended(first_open_ms, closed_until.micros()))
        } else {
            metric.open.since(first_open_ms)
        };
        if let Some(open) = open {
            metric.open = Arc::new(open);
        }
        metric.unfinished.retain(|start_ms| *start_ms >= first_open_ms);
        let evicted = metric.panes.evict(watermark, lateness_ms).and_then(|()| metric.account_for_open());
        if metric.is_of_sessions() {
            // What was shown may have taken a session for ended that goes on.
            metric.panes.touch_all();
        }
        if let Err(error) = evicted {
            self.set_aside_at(index, error.reason());
        }
        self.forget_failure_if_over(index);
    }

    /// A metric has its history now, and the version that served in its place goes. False if it was
    /// set aside meanwhile.
    pub fn has_history(&mut self, id: &MetricVersionId) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        // Set aside meanwhile, it has a history that ends: the next start goes on from there.
        let VersionState::Backfilling { through } = self.metrics[index].state else { return false };
        self.metrics[index].state = VersionState::Active;
        self.metrics[index].published_through = Some(through);
        self.forget_failure_if_over(index);
        for metric in &mut self.metrics {
            if metric.state == VersionState::Superseded && metric.id.metric == id.metric {
                metric.state = VersionState::Retired;
                metric.clear();
            }
        }
        true
    }

    /// Whether readers see this version of its metric: a superseded one until its successor has its
    /// history.
    pub fn is_shown(&self, metric: &LiveMetric) -> bool {
        let is_superseded =
            |other: &LiveMetric| other.state == VersionState::Superseded && other.id.metric == metric.id.metric;
        match metric.state {
            VersionState::Active | VersionState::Superseded => true,
            VersionState::Backfilling { .. } | VersionState::SetAside => !self.metrics.iter().any(is_superseded),
            VersionState::Retired => false,
        }
    }

    /// The oldest event time that unpublished windows of the metric can hold; none if all can.
    pub fn needed_since(&self, metric: &LiveMetric) -> Option<EventTime> {
        let closed_until = metric.settled_through()?.late_before(self.lateness_ms);
        Some(steps::needed_since(&metric.plan().windows, closed_until))
    }

    /// Bytes of all states, and of what was made from them.
    pub fn memory_bytes(&self) -> usize {
        self.metrics.iter().map(|metric| metric.panes.memory_bytes()).sum()
    }

    /// How many state rows are kept.
    pub fn group_count(&self) -> usize {
        self.metrics.iter().map(|metric| metric.panes.group_count()).sum()
    }
}

#[cfg(test)]
mod tests;
