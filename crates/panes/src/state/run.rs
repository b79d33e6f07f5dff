//! A run: state rows that were folded or merged together.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use vitral_schemas::time::MICROS_PER_MS;

use super::RUNS_PER_SIZE;
use crate::error::PanesError;
use crate::pane_column::pane_column;
use crate::plan::MetricPlan;
use crate::rows::{copy, u32_of};

/// State rows of any panes, ordered by pane. Never changed.
#[derive(Debug)]
pub(super) struct Run {
    /// No other run of the metric in this process has it, but for one that is left of this run when
    /// some of its panes are dropped.
    pub(super) number: u64,
    pub(super) states: RecordBatch,
    pub(super) panes: Vec<PaneRows>,
}

/// Where in a run the rows of a pane are.
#[derive(Debug)]
pub(super) struct PaneRows {
    pub(super) pane_ms: i64,
    pub(super) rows: Range<usize>,
}

impl Run {
    /// None without rows.
    pub(super) fn new(plan: &MetricPlan, states: RecordBatch, number: u64) -> Result<Option<Self>, PanesError> {
        let (states, of_rows) = ordered_by_pane(plan, states).map_err(|source| plan.failed("ordered", source))?;
        let mut panes = Vec::new();
        let mut start = 0;
        for same in of_rows.values().chunk_by(|a, b| a == b) {
            let rows = start..start + same.len();
            start = rows.end;
            panes.push(PaneRows { pane_ms: same[0] / MICROS_PER_MS, rows });
        }
        Ok((!panes.is_empty()).then_some(Self { number, states, panes }))
    }

    /// Adds the rows whose pane maps to a window's start, with that start for their pane; rows that
    /// lie together in one batch.
    pub(super) fn moved_to_windows(
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

    /// What is left of it without the panes before the first for which this holds; none if it holds
    /// for none.
    pub(super) fn since(
        self: &Arc<Self>,
        plan: &MetricPlan,
        is_kept: impl Fn(i64) -> bool,
    ) -> Result<Option<Arc<Self>>, PanesError> {
        match self.panes.iter().find(|pane| is_kept(pane.pane_ms)).map(|pane| pane.rows.start) {
            None => Ok(None),
            Some(0) => Ok(Some(Arc::clone(self))),
            Some(first) => {
                let kept = copy(&self.states, first..self.states.num_rows());
                let kept = kept.map_err(|source| plan.failed("evicted", source))?;
                // The same run with fewer panes: what restores it evicts them again.
                Ok(Self::new(plan, kept, self.number)?.map(Arc::new))
            }
        }
    }

    /// What is left of it with these rows alone; none if it has none of them.
    pub(super) fn with(
        &self,
        plan: &MetricPlan,
        rows: &arrow::array::BooleanArray,
    ) -> Result<Option<Arc<Self>>, PanesError> {
        let kept = compute::filter_record_batch(&self.states, rows);
        let kept = kept.map_err(|source| plan.failed("evicted", source.into()))?;
        // The same run with fewer rows: what restores it evicts them again.
        Ok(Self::new(plan, kept, self.number)?.map(Arc::new))
    }

    pub(super) fn bytes(&self) -> usize {
        self.states.get_array_memory_size()
    }

    /// By bytes, not by rows: one row of a distinct count may hold millions of texts.
    pub(super) fn size_class(&self) -> u32 {
        self.bytes().max(1).ilog(RUNS_PER_SIZE)
    }
}

/// The states in the order of their panes, and these.
fn ordered_by_pane(
    plan: &MetricPlan,
    states: RecordBatch,
) -> Result<(RecordBatch, TimestampMicrosecondArray), DataFusionError> {
    let panes = panes_of(plan, &states);
    if panes.values().is_sorted() {
        return Ok((states, panes));
    }
    let mut order: Vec<u32> = (0..u32_of(panes.len())?).collect();
    order.sort_by_key(|row| panes.value(*row as usize));
    let order = UInt32Array::from(order);
    let panes = compute::take(&panes, &order, None)?.as_primitive().clone();
    Ok((compute::take_record_batch(&states, &order)?, panes))
}

/// The pane of each state; that of a session's fragment is the day that it is cut at.
fn panes_of(plan: &MetricPlan, states: &RecordBatch) -> TimestampMicrosecondArray {
    let panes = states.column(plan.pane_index()).as_primitive::<TimestampMicrosecondType>();
    match plan.session() {
        None => panes.clone(),
        Some(_) => pane_column(&plan.windows, panes).as_primitive().clone(),
    }
}
