//! The partial states of a metric's open panes.
//!
//! For each partition, states are kept in runs: batches of state rows, ordered by pane. Runs of similar size are merged, so
//! that a state is touched a logarithmic number of times. A run knows where its panes lie, so that a window's states are slices of
//! the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::{Bounds, Windows};

use crate::error::PanesError;
use crate::plan::MetricPlan;
use crate::rows::{arrange, copy, u32_of};

/// How many runs of one size are merged into one of the next: fewer merges against more runs to read.
const RUNS_PER_SIZE: usize = 8;
/// Runs of this class are below 8^9 bytes: eight of them have less than the 2 GiB that a column of texts can hold.
const MERGED_CLASS_MAX: u32 = 8;
/// Windows are finished together up to about this many bytes of states: what that takes beside the states stays small, and the
/// tables stay in the processor's caches. Tests have little and want many batches.
const FINISHED_TOGETHER_BYTES: usize = if cfg!(test) { 512 } else { 4 << 20 };

#[derive(Debug)]
pub struct MetricPanes {
    plan: Arc<MetricPlan>,
    partitions: BTreeMap<PartitionId, Vec<Run>>,
    /// Starts of the windows that were touched since they were last read.
    dirty: BTreeSet<i64>,
    reservation: MemoryReservation,
    memory_bytes: usize,
    /// What was made from the states and is kept beside them.
    made_bytes: usize,
    next_run: u64,
}

/// State rows of any panes, ordered by pane. Never changed, but for panes that are evicted.
#[derive(Debug)]
struct Run {
    /// No other run of the metric in this process bears it.
    number: u64,
    states: RecordBatch,
    panes: Vec<PaneRows>,
}

#[derive(Debug)]
struct PaneRows {
    pane_ms: i64,
    rows: Range<usize>,
}

impl MetricPanes {
    /// `pool` is shared by all metrics and bounded by `memory_bytes`.
    pub fn new(plan: Arc<MetricPlan>, pool: &Arc<dyn MemoryPool>, memory_bytes: usize) -> Self {
        let reservation = MemoryConsumer::new(format!("panes of {}", plan.metric.name)).register(pool);
        Self {
            plan,
            partitions: BTreeMap::new(),
            dirty: BTreeSet::new(),
            reservation,
            memory_bytes,
            made_bytes: 0,
            next_run: 0,
        }
    }

    pub fn plan(&self) -> &Arc<MetricPlan> {
        &self.plan
    }

    /// Folds counted rows of one partition; `panes` is [`pane_column`] of their event times.
    pub fn fold(&mut self, partition: PartitionId, batch: &RecordBatch, panes: &ArrayRef) -> Result<(), PanesError> {
        self.add_rows(partition, batch, panes)?;
        self.settle(partition)
    }

    /// The first half of [`Self::fold`]: the rows are in the states, or, after an error, none of them is.
    pub fn add_rows(
        &mut self,
        partition: PartitionId,
        batch: &RecordBatch,
        panes: &ArrayRef,
    ) -> Result<(), PanesError> {
        let states = self.plan.fold(batch, panes)?;
        self.add(partition, states).map(|_| ())
    }

    /// The second half: merges runs and accounts for them. After an error all states are as they were, and it may be tried again.
    pub fn settle(&mut self, partition: PartitionId) -> Result<(), PanesError> {
        if let Some(runs) = self.partitions.get_mut(&partition) {
            compact(&self.plan, runs, &mut self.next_run)?;
        }
        self.account()
    }

    /// Takes back a run that [`Self::runs`] gave, in this or an earlier process; its number here, none if it has no rows.
    pub fn restore(&mut self, partition: PartitionId, states: RecordBatch) -> Result<Option<u64>, PanesError> {
        if states.schema() != *self.plan.state_schema() {
            return Err(PanesError::State { metric: self.plan.metric.name.clone() });
        }
        let number = self.add(partition, states)?;
        self.account()?;
        Ok(number)
    }

    /// Every run: its partition, its number and its states, which share their memory with this.
    pub fn runs(&self) -> impl Iterator<Item = (PartitionId, u64, &RecordBatch)> {
        let runs = self.partitions.iter().flat_map(|(partition, runs)| runs.iter().map(|run| (*partition, run)));
        runs.map(|(partition, run)| (partition, run.number, &run.states))
    }

    fn add(&mut self, partition: PartitionId, states: RecordBatch) -> Result<Option<u64>, PanesError> {
        let Some(run) = Run::new(&self.plan, states, next(&mut self.next_run))? else { return Ok(None) };
        for pane in &run.panes {
            self.dirty.extend(self.plan.windows.windows_of(pane.pane_ms).map(|bounds| bounds.start_ms));
        }
        let number = run.number;
        self.partitions.entry(partition).or_default().push(run);
        Ok(Some(number))
    }

    /// The windows touched since the last call, by their starts.
    pub fn take_dirty(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.dirty)
    }

    /// The rows of the wanted windows, ordered by window; no window's rows are in two batches.
    pub fn rows_of(&self, wanted: impl Fn(Bounds) -> bool) -> Result<Vec<RecordBatch>, PanesError> {
        let mut bytes = BTreeMap::<i64, usize>::new();
        for run in self.partitions.values().flatten() {
            let row_bytes = run.states.get_array_memory_size() / run.states.num_rows();
            for pane in &run.panes {
                for bounds in self.plan.windows.windows_of(pane.pane_ms).filter(|bounds| wanted(*bounds)) {
                    *bytes.entry(bounds.start_ms).or_default() += pane.rows.len() * row_bytes;
                }
            }
        }
        let mut finished = Vec::new();
        let mut windows = bytes.into_iter().peekable();
        while let Some((first_ms, mut bytes)) = windows.next() {
            let mut last_ms = first_ms;
            while let Some((start_ms, more)) =
                windows.next_if(|(_, more)| bytes.saturating_add(*more) <= FINISHED_TOGETHER_BYTES)
            {
                last_ms = start_ms;
                bytes += more;
            }
            let wanted = |bounds: Bounds| (first_ms..=last_ms).contains(&bounds.start_ms) && wanted(bounds);
            finished.push(self.finish(&wanted)?);
        }
        Ok(finished)
    }

    /// The rows of the wanted windows in one batch.
    fn finish(&self, wanted: &impl Fn(Bounds) -> bool) -> Result<RecordBatch, PanesError> {
        let windows = self.plan.windows;
        let mut states = Vec::new();
        for nth in 0..windows.windows_per_pane() {
            for run in self.partitions.values().flatten() {
                let start_of = |pane_ms: i64| {
                    let bounds = windows.nth_window(pane_ms, nth).filter(|bounds| wanted(*bounds));
                    bounds.map(|bounds| bounds.start_ms)
                };
                let moved = run.moved_to_windows(self.plan.pane_index(), start_of, &mut states);
                moved.map_err(|source| failed(&self.plan, "moved to windows", source))?;
            }
        }
        let finished = self.plan.finish(states)?;
        arrange(&self.plan.metric, &windows, self.plan.rows_schema(), &finished)
            .map_err(|source| failed(&self.plan, "arranged", source))
    }

    /// Drops the panes that no open window needs: those whose last window is closed.
    pub fn evict(&mut self, watermark: Watermark, lateness_ms: i64) -> Result<(), PanesError> {
        let windows = self.plan.windows;
        let open = |pane_ms: i64| !watermark.closes(windows.last_end_ms(pane_ms), lateness_ms);
        for runs in self.partitions.values_mut() {
            for run in std::mem::take(runs) {
                match run.panes.iter().find(|pane| open(pane.pane_ms)).map(|pane| pane.rows.start) {
                    None => {}
                    Some(0) => runs.push(run),
                    Some(first) => {
                        let rows = run.states.num_rows();
                        let kept = copy(&run.states, first..rows);
                        let kept = kept.map_err(|source| failed(&self.plan, "evicted", source))?;
                        // The same run with fewer panes: whoever restores it evicts them again.
                        runs.extend(Run::new(&self.plan, kept, run.number)?);
                    }
                }
            }
        }
        self.partitions.retain(|_, runs| !runs.is_empty());
        self.account()
    }

    /// Forgets all that was folded.
    pub fn clear(&mut self) {
        self.partitions.clear();
        self.dirty.clear();
        self.made_bytes = 0;
        self.reservation.free();
    }

    /// Accounts for rows that were made from the states and are kept beside them.
    pub fn account_for(&mut self, made_bytes: usize) -> Result<(), PanesError> {
        self.made_bytes = made_bytes;
        self.account()
    }

    /// Bytes of all states, and of what was made from them.
    pub fn memory_bytes(&self) -> usize {
        self.reservation.size()
    }

    /// How many state rows are kept.
    pub fn group_count(&self) -> usize {
        self.partitions.values().flatten().map(|run| run.states.num_rows()).sum()
    }

    fn account(&mut self) -> Result<(), PanesError> {
        let states = self.partitions.values().flatten().map(|run| run.states.get_array_memory_size());
        self.reservation
            .try_resize(states.sum::<usize>() + self.made_bytes)
            .map_err(|_| PanesError::Memory { metric: self.plan.metric.name.clone(), limit_bytes: self.memory_bytes })
    }
}

impl Run {
    /// None without rows.
    fn new(plan: &MetricPlan, states: RecordBatch, number: u64) -> Result<Option<Self>, PanesError> {
        let index = plan.pane_index();
        let states = ordered_by_pane(states, index).map_err(|source| failed(plan, "ordered", source))?;
        let mut panes = Vec::new();
        let mut start = 0;
        for same in panes_of(&states, index).values().chunk_by(|a, b| a == b) {
            let rows = start..start + same.len();
            start = rows.end;
            panes.push(PaneRows { pane_ms: same[0] / MICROS_PER_MS, rows });
        }
        Ok((!panes.is_empty()).then_some(Self { number, states, panes }))
    }

    /// Adds the rows whose pane maps to a window's start, with that start for their pane; rows that lie together in one batch.
    fn moved_to_windows(
        &self,
        pane_index: usize,
        start_of: impl Fn(i64) -> Option<i64>,
        moved: &mut Vec<RecordBatch>,
    ) -> Result<(), DataFusionError> {
        for panes in self.panes.chunk_by(|a, b| start_of(a.pane_ms).is_some() == start_of(b.pane_ms).is_some()) {
            let rows = panes[0].rows.start..panes[panes.len() - 1].rows.end;
            let starts = panes.iter().filter_map(|pane| {
                start_of(pane.pane_ms).map(|start_ms| std::iter::repeat_n(start_ms * MICROS_PER_MS, pane.rows.len()))
            });
            let starts = TimestampMicrosecondArray::from_iter_values(starts.flatten()).with_timezone("UTC");
            if starts.is_empty() {
                continue;
            }
            let mut columns = self.states.slice(rows.start, rows.len()).columns().to_vec();
            columns[pane_index] = Arc::new(starts);
            moved.push(RecordBatch::try_new(self.states.schema(), columns)?);
        }
        Ok(())
    }

    /// By bytes, not by rows: one row of a distinct count may hold millions of texts.
    fn size_class(&self) -> u32 {
        self.states.get_array_memory_size().max(1).ilog(RUNS_PER_SIZE)
    }
}

fn compact(plan: &MetricPlan, runs: &mut Vec<Run>, next_run: &mut u64) -> Result<(), PanesError> {
    loop {
        let mut classes = BTreeMap::<u32, usize>::new();
        for class in runs.iter().map(Run::size_class).filter(|class| *class <= MERGED_CLASS_MAX) {
            *classes.entry(class).or_default() += 1;
        }
        let Some((full, _)) = classes.into_iter().find(|(_, count)| *count >= RUNS_PER_SIZE) else { return Ok(()) };
        let merging = runs.iter().filter(|run| run.size_class() == full).map(|run| run.states.clone());
        let merged = Run::new(plan, plan.merge(merging.collect())?, next(next_run))?;
        // Only now: after an error they are all still there.
        runs.retain(|run| run.size_class() != full);
        runs.extend(merged);
    }
}

fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}

fn ordered_by_pane(states: RecordBatch, pane_index: usize) -> Result<RecordBatch, DataFusionError> {
    let panes = panes_of(&states, pane_index).values();
    if panes.is_sorted() {
        return Ok(states);
    }
    let mut order: Vec<u32> = (0..u32_of(panes.len())?).collect();
    order.sort_by_key(|row| panes[*row as usize]);
    Ok(compute::take_record_batch(&states, &UInt32Array::from(order))?)
}

fn failed(plan: &MetricPlan, action: &'static str, source: DataFusionError) -> PanesError {
    plan.failed(action, source)
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
