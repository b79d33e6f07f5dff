//! All metrics of one topic: their open panes, and the provisional rows made from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::context::SessionContext;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_panes::{PanesError, split_by_window};
use vitral_schemas::catalog::{Catalog, ShopSettings};
use vitral_schemas::topic::Topic;
use vitral_schemas::window::{Bounds, Windows};

pub struct PanesOfTopic {
    pub metrics: Vec<LiveMetric>,
    event_time: usize,
    lateness_ms: i64,
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
        Self { panes, version, published_through_ms: None, open: Arc::default(), role }
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
}

impl PanesOfTopic {
    /// Plans every metric of the topic.
    pub fn new(
        catalog: &Catalog,
        topic: &Topic,
        settings: &ShopSettings,
        session: &SessionContext,
        memory_bytes: usize,
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
        })
    }

    /// Forgets all that was folded.
    pub fn clear(&mut self) {
        for metric in &mut self.metrics {
            metric.panes.clear();
            metric.open = Arc::default();
        }
    }

    /// Folds counted rows of one partition into every metric.
    pub fn fold(&mut self, partition: i32, rows: &RecordBatch) -> Result<(), PanesError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let times = rows.column(self.event_time).as_primitive::<TimestampMicrosecondType>();
        // Metrics with the same panes share their column.
        let mut columns: Vec<(Windows, ArrayRef)> = Vec::new();
        for metric in self.metrics.iter_mut().filter(|metric| metric.role != Role::Gone) {
            let windows = metric.plan().windows;
            let known = columns.iter().find(|(known, _)| *known == windows).map(|(_, column)| Arc::clone(column));
            let panes = known.unwrap_or_else(|| {
                let column = pane_column(&windows, times);
                columns.push((windows, Arc::clone(&column)));
                column
            });
            metric.panes.fold(partition, rows, &panes)?;
        }
        Ok(())
    }

    /// Folds a restart's large batches, with the processors at a metric each: `rows_of` has a metric's rows by partition, none if it
    /// wants none.
    pub fn fold_large<'a>(
        &mut self,
        rows_of: impl Fn(usize) -> Option<&'a [(i32, RecordBatch)]> + Sync,
    ) -> Result<(), PanesError> {
        let event_time = self.event_time;
        self.metrics.par_iter_mut().enumerate().with_max_len(1).try_for_each(|(index, metric)| {
            if metric.role == Role::Gone {
                return Ok(());
            }
            let rows = rows_of(index).unwrap_or_default().iter();
            for (partition, rows) in rows.filter(|(_, rows)| rows.num_rows() > 0) {
                let times = rows.column(event_time).as_primitive::<TimestampMicrosecondType>();
                let panes = pane_column(&metric.plan().windows, times);
                metric.panes.fold(*partition, rows, &panes)?;
            }
            Ok(())
        })
    }

    /// Makes the provisional rows of every window that was touched since the last call; true if any was.
    pub fn refresh(&mut self) -> Result<bool, PanesError> {
        let mut changed = false;
        for metric in &mut self.metrics {
            let mut dirty = metric.panes.take_dirty();
            let closed = |start_ms: &i64| {
                let bounds = metric.panes.plan().windows.bounds(*start_ms);
                is_closed(bounds, metric.settled_through_ms(), self.lateness_ms)
            };
            dirty.retain(|start_ms| !closed(start_ms));
            if dirty.is_empty() {
                continue;
            }
            let rows = metric.panes.rows_of(|bounds| dirty.contains(&bounds.start_ms))?;
            let open = Arc::make_mut(&mut metric.open);
            for start_ms in &dirty {
                open.remove(start_ms);
            }
            for rows in rows {
                let windows = split_by_window(&rows).map_err(|source| PanesError::Engine {
                    metric: metric.panes.plan().metric.name.clone(),
                    action: "split by window",
                    source,
                })?;
                open.extend(windows);
            }
            changed = true;
        }
        Ok(changed)
    }

    /// For each metric with windows that closed since its last publication: its index and their rows, which may be none.
    pub fn closed(&self, effective_ms: i64) -> Result<Vec<(usize, Vec<RecordBatch>)>, PanesError> {
        let mut closed = Vec::new();
        let publishing = |metric: &LiveMetric| matches!(metric.role, Role::Serving | Role::Leaving);
        for (index, metric) in self.metrics.iter().enumerate().filter(|(_, metric)| publishing(metric)) {
            let windows = &metric.plan().windows;
            let step = |through_ms: i64| windows.pane_start_ms((through_ms - self.lateness_ms) * 1_000);
            if metric.published_through_ms.is_some_and(|through_ms| step(through_ms) == step(effective_ms)) {
                continue;
            }
            let rows = metric.panes.rows_of(|bounds| {
                is_closed(bounds, Some(effective_ms), self.lateness_ms)
                    && !is_closed(bounds, metric.published_through_ms, self.lateness_ms)
            })?;
            closed.push((index, rows));
        }
        Ok(closed)
    }

    /// The windows through `effective_ms` are published: their panes and provisional rows go.
    pub fn published(&mut self, index: usize, effective_ms: i64) -> Result<(), PanesError> {
        let metric = &mut self.metrics[index];
        metric.published_through_ms = metric.published_through_ms.max(Some(effective_ms));
        self.evict_settled(index)
    }

    /// Drops panes and provisional rows of windows that take no more rows here.
    pub fn evict_settled(&mut self, index: usize) -> Result<(), PanesError> {
        let lateness_ms = self.lateness_ms;
        let metric = &mut self.metrics[index];
        let Some(effective_ms) = metric.settled_through_ms() else { return Ok(()) };
        metric.panes.evict(effective_ms, lateness_ms)?;
        let windows = metric.panes.plan().windows;
        let is_open = |start_ms: i64| !is_closed(windows.bounds(start_ms), Some(effective_ms), lateness_ms);
        Arc::make_mut(&mut metric.open).retain(|start_ms, _| is_open(*start_ms));
        Ok(())
    }

    /// A metric that arrived has its history now; the version that served in its place goes.
    pub fn arrived(&mut self, index: usize) {
        let name = self.metrics[index].plan().metric.name.clone();
        if let Role::Arriving { through_ms } = self.metrics[index].role {
            self.metrics[index].role = Role::Serving;
            self.metrics[index].published_through_ms = Some(through_ms);
        }
        for metric in &mut self.metrics {
            if metric.role == Role::Leaving && metric.plan().metric.name == name {
                metric.role = Role::Gone;
                metric.panes.clear();
                metric.open = Arc::default();
            }
        }
    }

    /// Whether readers see this version of its metric: the one that leaves until its successor has arrived.
    pub fn is_shown(&self, index: usize) -> bool {
        let metric = &self.metrics[index];
        let is_leaving =
            |other: &LiveMetric| other.role == Role::Leaving && other.plan().metric.name == metric.plan().metric.name;
        match metric.role {
            Role::Serving | Role::Leaving => true,
            Role::Arriving { .. } => !self.metrics.iter().any(is_leaving),
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

/// Whether a window takes no more rows once M has come to `through_ms`.
fn is_closed(bounds: Bounds, through_ms: Option<i64>, lateness_ms: i64) -> bool {
    through_ms.is_some_and(|through_ms| bounds.end_ms + lateness_ms <= through_ms)
}

#[cfg(test)]
mod tests;
