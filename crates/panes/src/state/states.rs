//! A metric's states as of one moment, and the rows that are made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use vitral_schemas::window::Bounds;

use super::run::Run;
use super::{FINISHED_TOGETHER_BYTES, sessions};
use crate::error::PanesError;
use crate::plan::MetricPlan;
use crate::rows::{arrange, split_by_window};

/// The states of a metric's panes as of one moment. They share their memory with the panes, as far
/// as these have not been merged or dropped since.
#[derive(Debug, Clone)]
pub struct PaneStates {
    plan: Arc<MetricPlan>,
    runs: Vec<Arc<Run>>,
}

impl PaneStates {
    pub(super) fn new(plan: Arc<MetricPlan>, runs: Vec<Arc<Run>>) -> Self {
        Self { plan, runs }
    }

    /// The rows of the windows with these starts, in milliseconds, by start.
    ///
    /// Sessions come by the days that they are cut at.
    pub fn windows(&self, starts: &BTreeSet<i64>) -> Result<BTreeMap<i64, RecordBatch>, PanesError> {
        if let Some(session) = self.plan.session() {
            let is_wanted_day = |day_ms: i64| starts.contains(&day_ms);
            return sessions::rows_by_day(&self.plan, session, &self.runs, is_wanted_day, |_| true);
        }
        let mut windows = BTreeMap::new();
        for rows in self.rows_of(|bounds| starts.contains(&bounds.start_ms))? {
            windows.extend(split_by_window(&rows).map_err(|source| self.plan.failed("split by window", source))?);
        }
        Ok(windows)
    }

    /// The rows of the wanted windows, ordered by window; no window's rows are in two batches.
    pub fn rows_of(&self, wanted: impl Fn(Bounds) -> bool) -> Result<Vec<RecordBatch>, PanesError> {
        if let Some(session) = self.plan.session() {
            let by_day = sessions::rows_by_day(&self.plan, session, &self.runs, |_| true, wanted)?;
            return Ok(by_day.into_values().collect());
        }
        let mut bytes = BTreeMap::<i64, usize>::new();
        for run in &self.runs {
            let row_bytes = run.bytes() / run.states.num_rows();
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
            for run in &self.runs {
                let start_of = |pane_ms: i64| {
                    let bounds = windows.nth_window(pane_ms, nth).filter(|bounds| wanted(*bounds));
                    bounds.map(|bounds| bounds.start_ms)
                };
                let moved = run.moved_to_windows(self.plan.pane_index(), start_of, &mut states);
                moved.map_err(|source| self.plan.failed("moved to windows", source))?;
            }
        }
        let finished = self.plan.finish(states)?;
        arrange(&self.plan.metric, &windows, self.plan.rows_schema(), &finished)
            .map_err(|source| self.plan.failed("arranged", source))
    }
}
