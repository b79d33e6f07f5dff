//! All metrics of one topic: their open panes, and the provisional rows made from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::context::SessionContext;
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
}

impl LiveMetric {
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
        let pool = &session.runtime_env().memory_pool;
        let metrics = catalog.metrics_of(&topic.name).map(|metric| {
            let plan = Arc::new(MetricPlan::new(metric, topic, settings, session)?);
            Ok(LiveMetric {
                panes: MetricPanes::new(plan, pool, memory_bytes),
                version: metric.version(settings, topic.lateness_ms),
                published_through_ms: None,
                open: Arc::default(),
            })
        });
        Ok(Self {
            metrics: metrics.collect::<Result<_, PanesError>>()?,
            event_time: topic.event_time,
            lateness_ms: topic.lateness_ms,
        })
    }

    /// Folds counted rows of one partition into every metric that `wanted` names by its index.
    pub fn fold(
        &mut self,
        partition: i32,
        rows: &RecordBatch,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<(), PanesError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let times = rows.column(self.event_time).as_primitive::<TimestampMicrosecondType>();
        // Metrics with the same panes share their column.
        let mut columns: Vec<(Windows, ArrayRef)> = Vec::new();
        for (index, metric) in self.metrics.iter_mut().enumerate() {
            if !wanted(index) {
                continue;
            }
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

    /// Makes the provisional rows of every window that was touched since the last call; true if any was.
    pub fn refresh(&mut self) -> Result<bool, PanesError> {
        let mut changed = false;
        for metric in &mut self.metrics {
            let mut dirty = metric.panes.take_dirty();
            let closed = |start_ms: &i64| {
                let bounds = metric.panes.plan().windows.bounds(*start_ms);
                is_closed(bounds, metric.published_through_ms, self.lateness_ms)
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
        for (index, metric) in self.metrics.iter().enumerate() {
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
        let lateness_ms = self.lateness_ms;
        let metric = &mut self.metrics[index];
        metric.published_through_ms = metric.published_through_ms.max(Some(effective_ms));
        metric.panes.evict(effective_ms, lateness_ms)?;
        let windows = metric.panes.plan().windows;
        let is_open = |start_ms: i64| !is_closed(windows.bounds(start_ms), Some(effective_ms), lateness_ms);
        Arc::make_mut(&mut metric.open).retain(|start_ms, _| is_open(*start_ms));
        Ok(())
    }

    /// The oldest event time that a metric's unpublished windows can hold, in milliseconds; none if all can.
    pub fn needed_since_ms(&self, index: usize) -> Option<i64> {
        let metric = &self.metrics[index];
        let through_ms = metric.published_through_ms?;
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
