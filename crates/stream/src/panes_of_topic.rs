//! All metrics of one topic: their open panes, and the provisional rows made from them.
//!
//! A metric that fails is set aside alone ([`failure`]); the others go on.

mod failure;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::context::SessionContext;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_panes::{PanesError, split_by_window};
use vitral_schemas::time::Clock;
use vitral_schemas::topic::Topic;
use vitral_schemas::view::MetricFailure;
use vitral_schemas::window::{Bounds, Windows};

use self::failure::{Halt, fold_parts};

pub struct PanesOfTopic {
    pub metrics: Vec<LiveMetric>,
    event_time: usize,
    lateness_ms: i64,
    clock: Arc<dyn Clock>,
    /// Metrics whose failure began or ended and was not reported yet.
    news: BTreeSet<usize>,
}

pub struct LiveMetric {
    pub panes: MetricPanes,
    /// Its version, by which its table is named.
    pub version: String,
    /// Windows through this M are published.
    pub published_through_ms: Option<i64>,
    /// Provisional rows by window start.
    pub open: Arc<BTreeMap<i64, RecordBatch>>,
    pub role: Role,
    /// Why it was set aside, or why open windows of it cannot be shown. It stays until the windows are there.
    pub failure: Option<MetricFailure>,
    /// Open windows that could not be finished when they were last touched.
    unfinished: BTreeSet<i64>,
}

/// What a metric's version is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the catalog declares, with its whole history.
    Serving,
    /// What the catalog declares, while its windows through this M are still computed from the archive.
    Arriving { through_ms: i64 },
    /// What an earlier catalog declared; it serves until the version that arrives has its history.
    Leaving,
    /// What the catalog declares, but it failed: nothing is added until the next start, which tries again.
    SetAside,
    /// Replaced: nothing of it is kept.
    Gone,
}

impl LiveMetric {
    pub fn new(
        plan: Arc<MetricPlan>,
        version: String,
        role: Role,
        session: &SessionContext,
        memory_bytes: usize,
    ) -> Self {
        let panes = MetricPanes::new(plan, &session.runtime_env().memory_pool, memory_bytes);
        Self {
            panes,
            version,
            published_through_ms: None,
            open: Arc::default(),
            role,
            failure: None,
            unfinished: BTreeSet::new(),
        }
    }

    /// Windows through this M take no more rows here: they are published, or another computes them.
    fn settled_through_ms(&self) -> Option<i64> {
        match self.role {
            Role::Arriving { through_ms } => self.published_through_ms.max(Some(through_ms)),
            _ => self.published_through_ms,
        }
    }

    pub fn plan(&self) -> &Arc<MetricPlan> {
        self.panes.plan()
    }

    /// Whether rows are folded into it.
    pub fn is_active(&self) -> bool {
        !matches!(self.role, Role::SetAside | Role::Gone)
    }

    /// Forgets all that was folded.
    fn clear(&mut self) {
        self.panes.clear();
        self.open = Arc::default();
        self.unfinished.clear();
    }

    /// Accounts for the provisional rows.
    fn account_for_open(&mut self) -> Result<(), PanesError> {
        let bytes = self.open.values().map(RecordBatch::get_array_memory_size).sum();
        self.panes.account_for(bytes)
    }
}

impl PanesOfTopic {
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
            Ok(LiveMetric::new(plan, version, Role::Serving, session, memory_bytes))
        });
        Ok(Self {
            metrics: metrics.collect::<Result<_, PanesError>>()?,
            event_time: topic.event_time,
            lateness_ms: topic.lateness_ms,
            clock,
            news: BTreeSet::new(),
        })
    }

    /// Forgets all that was folded.
    pub fn clear(&mut self) {
        self.metrics.iter_mut().for_each(LiveMetric::clear);
    }

    /// Folds counted rows of one partition into every metric.
    pub fn fold(&mut self, partition: i32, rows: &RecordBatch) {
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

    /// Folds a restart's large batches, with the processors at a metric each: `rows_of` has a metric's rows by partition, none if it
    /// wants none.
    pub fn fold_large<'a>(&mut self, rows_of: impl Fn(usize) -> Option<&'a [(i32, RecordBatch)]> + Sync) {
        let event_time = self.event_time;
        let metrics = self.metrics.par_iter_mut().enumerate().with_max_len(1);
        let halted: Vec<(usize, Halt)> = metrics
            .filter_map(|(index, metric)| {
                let parts = rows_of(index).unwrap_or_default();
                let windows = metric.plan().windows;
                let outcome = fold_parts(metric, parts, |rows| panes_of(&windows, event_time, rows));
                outcome.err().map(|halt| (index, halt))
            })
            .collect();
        for (index, halt) in halted {
            self.go_on_folding(index, rows_of(index).unwrap_or_default(), halt);
        }
    }

    /// Makes the provisional rows of every window that was touched since the last call; true if any was.
    pub fn refresh(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.metrics.len() {
            let lateness_ms = self.lateness_ms;
            let metric = &mut self.metrics[index];
            if !metric.is_active() {
                continue;
            }
            let mut dirty = metric.panes.take_dirty();
            let windows = metric.plan().windows;
            let settled_through_ms = metric.settled_through_ms();
            dirty.retain(|start_ms| !is_closed(windows.bounds(*start_ms), settled_through_ms, lateness_ms));
            if !dirty.is_empty() {
                self.refresh_windows(index, &dirty);
                changed = true;
            }
        }
        changed
    }

    fn refresh_windows(&mut self, index: usize, dirty: &BTreeSet<i64>) {
        let made = self.insist(index, |metric| made_rows(metric, dirty));
        match made {
            Some(Ok(made)) => self.show_windows(index, dirty, made),
            // Some of them may be well.
            Some(Err(_)) => {
                for start_ms in dirty {
                    let window = BTreeSet::from([*start_ms]);
                    match self.insist(index, |metric| made_rows(metric, &window)) {
                        Some(Ok(made)) => self.show_windows(index, &window, made),
                        Some(Err(error)) => self.cannot_finish(index, *start_ms, &error),
                        None => return,
                    }
                }
            }
            None => return,
        }
        self.insist_or_set_aside(index, LiveMetric::account_for_open);
    }

    fn show_windows(&mut self, index: usize, dirty: &BTreeSet<i64>, made: BTreeMap<i64, RecordBatch>) {
        let metric = &mut self.metrics[index];
        let open = Arc::make_mut(&mut metric.open);
        for start_ms in dirty {
            open.remove(start_ms);
            metric.unfinished.remove(start_ms);
        }
        open.extend(made);
        self.forget_failure_if_over(index);
    }

    /// For each metric with windows that closed since its last publication: its index and their rows, which may be none.
    pub fn closed(&mut self, effective_ms: i64) -> Vec<(usize, Vec<RecordBatch>)> {
        let lateness_ms = self.lateness_ms;
        let mut closed = Vec::new();
        for index in 0..self.metrics.len() {
            let metric = &self.metrics[index];
            if !matches!(metric.role, Role::Serving | Role::Leaving) {
                continue;
            }
            let windows = &metric.plan().windows;
            let step = |through_ms: i64| windows.pane_start_ms((through_ms - lateness_ms) * 1_000);
            if metric.published_through_ms.is_some_and(|through_ms| step(through_ms) == step(effective_ms)) {
                continue;
            }
            let rows = self.insist_or_set_aside(index, |metric| {
                metric.panes.rows_of(|bounds| {
                    is_closed(bounds, Some(effective_ms), lateness_ms)
                        && !is_closed(bounds, metric.published_through_ms, lateness_ms)
                })
            });
            closed.extend(rows.map(|rows| (index, rows)));
        }
        closed
    }

    /// The windows through `effective_ms` are published: their panes and provisional rows go.
    pub fn published(&mut self, index: usize, effective_ms: i64) {
        let metric = &mut self.metrics[index];
        metric.published_through_ms = metric.published_through_ms.max(Some(effective_ms));
        self.evict_settled(index);
    }

    /// Drops panes and provisional rows of windows that take no more rows here.
    pub fn evict_settled(&mut self, index: usize) {
        let lateness_ms = self.lateness_ms;
        let metric = &mut self.metrics[index];
        let Some(effective_ms) = metric.settled_through_ms().filter(|_| metric.is_active()) else { return };
        let windows = metric.panes.plan().windows;
        let is_open = |start_ms: i64| !is_closed(windows.bounds(start_ms), Some(effective_ms), lateness_ms);
        Arc::make_mut(&mut metric.open).retain(|start_ms, _| is_open(*start_ms));
        metric.unfinished.retain(|start_ms| is_open(*start_ms));
        let evicted = metric.panes.evict(effective_ms, lateness_ms).and_then(|()| metric.account_for_open());
        if let Err(error) = evicted {
            self.set_aside(index, error.reason());
        }
        self.forget_failure_if_over(index);
    }

    /// A metric that arrived has its history now; the version that served in its place goes. False if it was set aside meanwhile.
    pub fn arrived(&mut self, index: usize) -> bool {
        let name = self.metrics[index].plan().metric.name.clone();
        // Set aside meanwhile, it has a history that ends: the next start goes on from there.
        let Role::Arriving { through_ms } = self.metrics[index].role else { return false };
        self.metrics[index].role = Role::Serving;
        self.metrics[index].published_through_ms = Some(through_ms);
        self.forget_failure_if_over(index);
        for metric in &mut self.metrics {
            if metric.role == Role::Leaving && metric.plan().metric.name == name {
                metric.role = Role::Gone;
                metric.clear();
            }
        }
        true
    }

    /// Whether readers see this version of its metric: the one that leaves until its successor has arrived.
    pub fn is_shown(&self, index: usize) -> bool {
        let metric = &self.metrics[index];
        let is_leaving =
            |other: &LiveMetric| other.role == Role::Leaving && other.plan().metric.name == metric.plan().metric.name;
        match metric.role {
            Role::Serving | Role::Leaving => true,
            Role::Arriving { .. } | Role::SetAside => !self.metrics.iter().any(is_leaving),
            Role::Gone => false,
        }
    }

    /// The oldest event time that a metric's unpublished windows can hold, in milliseconds; none if all can.
    pub fn needed_since_ms(&self, index: usize) -> Option<i64> {
        let metric = &self.metrics[index];
        let through_ms = metric.settled_through_ms()?;
        Some(through_ms - self.lateness_ms - metric.plan().windows.longest_ms())
    }

    pub fn memory_bytes(&self) -> usize {
        self.metrics.iter().map(|metric| metric.panes.memory_bytes()).sum()
    }

    pub fn group_count(&self) -> usize {
        self.metrics.iter().map(|metric| metric.panes.group_count()).sum()
    }
}

/// The pane of each row.
fn panes_of(windows: &Windows, event_time: usize, rows: &RecordBatch) -> ArrayRef {
    pane_column(windows, rows.column(event_time).as_primitive::<TimestampMicrosecondType>())
}

/// The rows of these windows, by their starts.
fn made_rows(metric: &mut LiveMetric, wanted: &BTreeSet<i64>) -> Result<BTreeMap<i64, RecordBatch>, PanesError> {
    let mut made = BTreeMap::new();
    for rows in metric.panes.rows_of(|bounds| wanted.contains(&bounds.start_ms))? {
        made.extend(split_by_window(&rows).map_err(|source| PanesError::Engine {
            metric: metric.plan().metric.name.clone(),
            action: "split by window",
            source,
        })?);
    }
    Ok(made)
}

/// Whether a window takes no more rows once M has come to `through_ms`.
fn is_closed(bounds: Bounds, through_ms: Option<i64>, lateness_ms: i64) -> bool {
    through_ms.is_some_and(|through_ms| bounds.end_ms + lateness_ms <= through_ms)
}

#[cfg(test)]
mod tests;
