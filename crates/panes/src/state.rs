//! The partial states of a metric's open panes.
//!
//! For each partition, states are kept in runs: batches of state rows of any panes. Runs of similar size are merged, so
//! that a row is touched a logarithmic number of times. A run knows its oldest and newest pane, so that reading a few windows skips most
//! runs and closing old panes drops whole ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::{Bounds, Windows};

use crate::error::PanesError;
use crate::plan::MetricPlan;
use crate::rows::arrange;

/// How many runs of one size are merged into one of the next: fewer merges against more runs to read.
const RUNS_PER_SIZE: usize = 8;

#[derive(Debug)]
pub struct MetricPanes {
    plan: Arc<MetricPlan>,
    partitions: BTreeMap<i32, Vec<Run>>,
    /// Starts of the windows that were touched since they were last read.
    dirty: BTreeSet<i64>,
    reservation: MemoryReservation,
    memory_bytes: usize,
}

#[derive(Debug)]
struct Run {
    states: RecordBatch,
    oldest_pane_ms: i64,
    newest_pane_ms: i64,
}

impl MetricPanes {
    /// `pool` is shared by all metrics and bounded by `memory_bytes`.
    pub fn new(plan: Arc<MetricPlan>, pool: &Arc<dyn MemoryPool>, memory_bytes: usize) -> Self {
        let reservation = MemoryConsumer::new(format!("panes of {}", plan.metric.name)).register(pool);
        Self { plan, partitions: BTreeMap::new(), dirty: BTreeSet::new(), reservation, memory_bytes }
    }

    pub fn plan(&self) -> &Arc<MetricPlan> {
        &self.plan
    }

    /// Folds counted rows of one partition; `panes` is [`pane_column`] of their event times.
    pub fn fold(&mut self, partition: i32, batch: &RecordBatch, panes: &ArrayRef) -> Result<(), PanesError> {
        let states = self.plan.fold(batch, panes)?;
        let Some(run) = Run::new(states, self.plan.pane_index()) else { return Ok(()) };
        for pane_ms in run.panes(self.plan.pane_index()) {
            self.dirty.extend(self.plan.windows.windows_of(pane_ms).map(|bounds| bounds.start_ms));
        }
        let runs = self.partitions.entry(partition).or_default();
        runs.push(run);
        compact(&self.plan, runs)?;
        self.account()
    }

    /// The windows touched since the last call, by their starts.
    pub fn take_dirty(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.dirty)
    }

    /// The rows of the wanted windows, ordered by window.
    pub fn rows_of(&self, wanted: impl Fn(Bounds) -> bool) -> Result<RecordBatch, PanesError> {
        let windows = self.plan.windows;
        let mut states = Vec::new();
        for nth in 0..windows.windows_per_pane() {
            let mut starts = HashMap::new();
            for run in self.partitions.values().flatten() {
                let start_of = |pane_ms: i64| {
                    *starts.entry(pane_ms).or_insert_with(|| {
                        windows.nth_window(pane_ms, nth).filter(|bounds| wanted(*bounds)).map(|bounds| bounds.start_ms)
                    })
                };
                states.extend(self.moved_to_windows(run, start_of)?);
            }
        }
        let finished = self.plan.finish(states)?;
        arrange(&self.plan.metric, &windows, self.plan.rows_schema(), &finished)
            .map_err(|source| self.failed("arranged", source))
    }

    /// Drops the panes that no open window needs: those whose last window ended at least `lateness_ms` before M.
    pub fn evict(&mut self, effective_ms: i64, lateness_ms: i64) -> Result<(), PanesError> {
        let index = self.plan.pane_index();
        let windows = self.plan.windows;
        let open = |pane_ms: i64| windows.last_end_ms(pane_ms) + lateness_ms > effective_ms;
        for runs in self.partitions.values_mut() {
            for run in std::mem::take(runs) {
                if open(run.oldest_pane_ms) {
                    runs.push(run);
                } else if open(run.newest_pane_ms) {
                    let kept = filter_panes(&run.states, index, open).map_err(|source| PanesError::Engine {
                        metric: self.plan.metric.name.clone(),
                        action: "evicted",
                        source,
                    })?;
                    runs.extend(Run::new(kept, index));
                }
            }
        }
        self.partitions.retain(|_, runs| !runs.is_empty());
        self.account()
    }

    /// Start of the oldest and end of the newest window that has rows here, if any.
    pub fn span(&self) -> Option<Bounds> {
        let runs = || self.partitions.values().flatten();
        let windows = self.plan.windows;
        let oldest_ms = runs().map(|run| run.oldest_pane_ms).min()?;
        let newest_ms = runs().map(|run| run.newest_pane_ms).max()?;
        let start_ms = windows.windows_of(oldest_ms).map(|bounds| bounds.start_ms).min()?;
        Some(Bounds { start_ms, end_ms: windows.last_end_ms(newest_ms) })
    }

    /// Bytes of all states.
    pub fn memory_bytes(&self) -> usize {
        self.reservation.size()
    }

    /// How many state rows are kept.
    pub fn group_count(&self) -> usize {
        self.partitions.values().flatten().map(|run| run.states.num_rows()).sum()
    }

    /// The run's rows whose pane maps to a window's start, with that start for their pane.
    fn moved_to_windows(
        &self,
        run: &Run,
        mut start_of: impl FnMut(i64) -> Option<i64>,
    ) -> Result<Option<RecordBatch>, PanesError> {
        let index = self.plan.pane_index();
        let panes = panes_of(&run.states, index);
        let mut last = None;
        let starts: Vec<Option<i64>> = panes
            .values()
            .iter()
            .map(|pane| match last {
                Some((known, start)) if known == *pane => start,
                _ => {
                    let start = start_of(pane / MICROS_PER_MS).map(|start_ms| start_ms * MICROS_PER_MS);
                    last = Some((*pane, start));
                    start
                }
            })
            .collect();
        let wanted = starts.iter().flatten().count();
        if wanted == 0 {
            return Ok(None);
        }
        let mut columns = run.states.columns().to_vec();
        columns[index] = Arc::new(TimestampMicrosecondArray::from(starts).with_timezone("UTC"));
        let moved = || {
            let mask = BooleanArray::new(
                columns[index].nulls().map_or_else(
                    || arrow::buffer::BooleanBuffer::new_set(columns[index].len()),
                    |nulls| nulls.inner().clone(),
                ),
                None,
            );
            for column in &mut columns {
                if wanted < mask.len() {
                    *column = compute::filter(column, &mask)?;
                }
            }
            RecordBatch::try_new(run.states.schema(), columns).map_err(DataFusionError::from)
        };
        moved().map(Some).map_err(|source| self.failed("moved to windows", source))
    }

    fn account(&mut self) -> Result<(), PanesError> {
        let bytes = self.partitions.values().flatten().map(|run| run.states.get_array_memory_size()).sum();
        self.reservation
            .try_resize(bytes)
            .map_err(|_| PanesError::Memory { metric: self.plan.metric.name.clone(), limit_bytes: self.memory_bytes })
    }

    fn failed(&self, action: &'static str, source: DataFusionError) -> PanesError {
        PanesError::Engine { metric: self.plan.metric.name.clone(), action, source }
    }
}

impl Run {
    fn new(states: RecordBatch, pane_index: usize) -> Option<Self> {
        let panes = panes_of(&states, pane_index);
        let oldest = compute::min(panes)?;
        let newest = compute::max(panes)?;
        Some(Self { oldest_pane_ms: oldest / MICROS_PER_MS, newest_pane_ms: newest / MICROS_PER_MS, states })
    }

    fn panes(&self, pane_index: usize) -> BTreeSet<i64> {
        let mut panes = BTreeSet::new();
        let mut last = None;
        for pane in panes_of(&self.states, pane_index).values() {
            if last.replace(*pane) != Some(*pane) {
                panes.insert(pane / MICROS_PER_MS);
            }
        }
        panes
    }

    fn size_class(&self) -> u32 {
        self.states.num_rows().max(1).ilog(RUNS_PER_SIZE)
    }
}

fn compact(plan: &MetricPlan, runs: &mut Vec<Run>) -> Result<(), PanesError> {
    loop {
        let mut classes = BTreeMap::<u32, usize>::new();
        for run in runs.iter() {
            *classes.entry(run.size_class()).or_default() += 1;
        }
        let Some((full, _)) = classes.into_iter().find(|(_, count)| *count >= RUNS_PER_SIZE) else { return Ok(()) };
        let (merging, kept): (Vec<_>, Vec<_>) = runs.drain(..).partition(|run| run.size_class() == full);
        *runs = kept;
        let merged = plan.merge(merging.into_iter().map(|run| run.states).collect())?;
        runs.extend(Run::new(merged, plan.pane_index()));
    }
}

fn filter_panes(
    states: &RecordBatch,
    pane_index: usize,
    keep: impl Fn(i64) -> bool,
) -> Result<RecordBatch, DataFusionError> {
    let mask: BooleanArray =
        panes_of(states, pane_index).values().iter().map(|pane| Some(keep(pane / MICROS_PER_MS))).collect();
    Ok(compute::filter_record_batch(states, &mask)?)
}

fn panes_of(states: &RecordBatch, pane_index: usize) -> &TimestampMicrosecondArray {
    states.column(pane_index).as_primitive::<TimestampMicrosecondType>()
}

/// The pane of each event time.
pub fn pane_column(windows: &Windows, event_times: &TimestampMicrosecondArray) -> ArrayRef {
    // Neighbouring events mostly share a pane.
    let mut last: Option<(i64, i64)> = None;
    let panes = event_times.values().iter().map(|micros| match last {
        Some((start, end)) if (start..end).contains(micros) => start,
        _ => {
            let start_ms = windows.pane_start_ms(*micros);
            let (start, end) = (start_ms * MICROS_PER_MS, windows.pane_end_ms(start_ms) * MICROS_PER_MS);
            last = Some((start, end));
            start
        }
    });
    Arc::new(TimestampMicrosecondArray::from_iter_values(panes).with_timezone("UTC"))
}
