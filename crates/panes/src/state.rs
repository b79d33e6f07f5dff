//! The partial states of a metric's open panes.
//!
//! For each partition, states are kept in runs: batches of state rows, ordered by pane. Runs of
//! similar size are merged, so that a state is touched a logarithmic number of times. A run knows
//! where its panes lie, so that a window's states are slices of the runs.

mod run;
mod sessions;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::window::Bounds;

use self::run::Run;
pub use self::states::PaneStates;
use crate::error::PanesError;
pub use crate::pane_column::pane_column;
use crate::plan::MetricPlan;

/// How many runs of one size are merged into one of the next: fewer merges against more runs to
/// read.
const RUNS_PER_SIZE: usize = 8;
/// Runs of this class are below 8^9 bytes: eight of them have less than the 2 GiB that a column of
/// texts can hold.
const MERGED_CLASS_MAX: u32 = 8;
/// Windows are finished together up to about this many bytes of states: what that takes on top of
/// the states stays small, and the tables stay in the processor's caches. Tests have little and
/// want many batches.
const FINISHED_TOGETHER_BYTES: usize = if cfg!(test) { 512 } else { 4 << 20 };

/// The open panes of one metric, of all partitions.
#[derive(Debug)]
pub struct MetricPanes {
    plan: Arc<MetricPlan>,
    partitions: BTreeMap<PartitionId, Vec<Arc<Run>>>,
    /// Starts of the windows that were touched since they were last read.
    dirty: BTreeSet<i64>,
    reservation: MemoryReservation,
    memory_bytes: usize,
    /// What was made from the states and is kept with them.
    made_bytes: usize,
    /// Runs that were merged or dropped while somebody still had them in [`PaneStates`].
    retired: Vec<Weak<Run>>,
    next_run: u64,
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
            retired: Vec::new(),
            next_run: 0,
        }
    }

    /// How the metric is folded, merged and finished.
    pub fn plan(&self) -> &Arc<MetricPlan> {
        &self.plan
    }

    /// Folds counted rows of one partition; `panes` is [`pane_column`] of their event times.
    pub fn fold(&mut self, partition: PartitionId, batch: &RecordBatch, panes: &ArrayRef) -> Result<(), PanesError> {
        self.add_rows(partition, batch, panes)?;
        self.settle(partition)
    }

    /// The first half of [`Self::fold`]: the rows are in the states, or, after an error, none of
    /// them is.
    pub fn add_rows(
        &mut self,
        partition: PartitionId,
        batch: &RecordBatch,
        panes: &ArrayRef,
    ) -> Result<(), PanesError> {
        let states = self.plan.fold(batch, panes)?;
        self.add(partition, states).map(|_| ())
    }

    /// The second half: merges runs and accounts for them. After an error all states are as they
    /// were, and it may be tried again.
    pub fn settle(&mut self, partition: PartitionId) -> Result<(), PanesError> {
        if let Some(runs) = self.partitions.get_mut(&partition) {
            compact(&self.plan, runs, &mut self.retired, &mut self.next_run)?;
        }
        self.account()
    }

    /// Takes back a run that [`Self::runs`] gave, in this or an earlier process; its number here,
    /// none if it has no rows.
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
        self.partitions.entry(partition).or_default().push(Arc::new(run));
        Ok(Some(number))
    }

    /// The windows touched since the last call, by their starts.
    pub fn take_dirty(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.dirty)
    }

    /// Has windows looked at again as if some of their rows had come, by their starts.
    pub fn touch(&mut self, starts: impl IntoIterator<Item = i64>) {
        self.dirty.extend(starts);
    }

    /// The same for all that there are.
    pub fn touch_all(&mut self) {
        let panes = self.partitions.values().flatten().flat_map(|run| &run.panes);
        self.dirty
            .extend(panes.flat_map(|pane| self.plan.windows.windows_of(pane.pane_ms)).map(|window| window.start_ms));
    }

    /// The states as they are now.
    pub fn states(&self) -> PaneStates {
        PaneStates::new(Arc::clone(&self.plan), self.partitions.values().flatten().map(Arc::clone).collect())
    }

    /// The rows of the wanted windows, ordered by window; no window's rows are in two batches.
    pub fn rows_of(&self, wanted: impl Fn(Bounds) -> bool) -> Result<Vec<RecordBatch>, PanesError> {
        self.states().rows_of(wanted)
    }

    /// Drops the panes that no open window needs: those whose last window is closed; and fragments
    /// of sessions that have ended.
    pub fn evict(&mut self, watermark: Watermark, lateness_ms: i64) -> Result<(), PanesError> {
        self.evict_sessions(watermark, lateness_ms)?;
        let windows = self.plan.windows;
        let open = |pane_ms: i64| !watermark.closes(windows.last_end_ms(pane_ms), lateness_ms);
        for runs in self.partitions.values_mut() {
            // One after another: each is freed before part of the next is copied.
            for run in std::mem::take(runs) {
                let kept = run.since(&self.plan, open)?;
                if kept.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, &run)) {
                    retire(&mut self.retired, &run);
                }
                runs.extend(kept);
            }
        }
        self.partitions.retain(|_, runs| !runs.is_empty());
        self.account()
    }

    fn evict_sessions(&mut self, watermark: Watermark, lateness_ms: i64) -> Result<(), PanesError> {
        let Self { plan, partitions, retired, .. } = self;
        let Some(session) = plan.session() else { return Ok(()) };
        let kept = sessions::ended(plan, session, partitions.values().flatten(), watermark, lateness_ms)?;
        for runs in partitions.values_mut() {
            for run in std::mem::take(runs) {
                match kept.get(&run.number) {
                    None => runs.push(run),
                    Some(rows) => {
                        let left = run.with(plan, rows)?;
                        retire(retired, &run);
                        runs.extend(left);
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets all that was folded.
    pub fn clear(&mut self) {
        self.partitions.clear();
        self.dirty.clear();
        self.made_bytes = 0;
        self.reservation.free();
    }

    /// Accounts for rows that were made from the states and are kept with them.
    pub fn account_for(&mut self, made_bytes: usize) -> Result<(), PanesError> {
        self.made_bytes = made_bytes;
        self.account()
    }

    /// Bytes of all states, of what was made from them, and of former states that a view still has.
    /// The memory limit is for the first two: the last go with the view, at the next refresh.
    pub fn memory_bytes(&self) -> usize {
        let retired = self.retired.iter().filter_map(Weak::upgrade).map(|run| run.bytes());
        self.reservation.size() + retired.sum::<usize>()
    }

    /// How many state rows are kept.
    pub fn group_count(&self) -> usize {
        self.partitions.values().flatten().map(|run| run.states.num_rows()).sum()
    }

    fn account(&mut self) -> Result<(), PanesError> {
        let states = self.partitions.values().flatten().map(|run| run.bytes());
        self.reservation
            .try_resize(states.sum::<usize>() + self.made_bytes)
            .map_err(|_| PanesError::Memory { metric: self.plan.metric.name.clone(), limit_bytes: self.memory_bytes })
    }
}

fn compact(
    plan: &MetricPlan,
    runs: &mut Vec<Arc<Run>>,
    retired: &mut Vec<Weak<Run>>,
    next_run: &mut u64,
) -> Result<(), PanesError> {
    loop {
        let mut classes = BTreeMap::<u32, usize>::new();
        for class in runs.iter().map(|run| run.size_class()).filter(|class| *class <= MERGED_CLASS_MAX) {
            *classes.entry(class).or_default() += 1;
        }
        let Some((full, _)) = classes.into_iter().find(|(_, count)| *count >= RUNS_PER_SIZE) else { return Ok(()) };
        let merging = runs.iter().filter(|run| run.size_class() == full).map(|run| run.states.clone());
        let merged = Run::new(plan, plan.merge(merging.collect())?, next(next_run))?;
        // Only now: after an error they are all still there.
        let (merged_runs, mut kept): (Vec<_>, Vec<_>) = runs.drain(..).partition(|run| run.size_class() == full);
        merged_runs.iter().for_each(|run| retire(retired, run));
        kept.extend(merged.map(Arc::new));
        *runs = kept;
    }
}

/// A run that is no longer part of the panes is remembered as long as others have it.
fn retire(retired: &mut Vec<Weak<Run>>, run: &Arc<Run>) {
    retired.retain(|run| run.strong_count() > 0);
    if Arc::strong_count(run) > 1 {
        retired.push(Arc::downgrade(run));
    }
}

fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}
