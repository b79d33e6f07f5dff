//! What becomes of a metric that fails on its data.
//!
//! | Fails | Then |
//! |---|---|
//! | finishing an open window | that window is not shown; later rows may fix it |
//! | folding, merging, publishing, the history | the metric is set aside: its panes go, what it has published stays |
//! | lack of memory | the metric with the most is set aside if that is over its share, else the one that asks for more |
//!
//! A metric that is set aside is tried again at the next start, from where its publication ended
//! and out of the archive, so that no more than its open windows is ever held for it. A changed
//! metric is another version and has a history of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use vitral_panes::PanesError;
use vitral_panes::open_windows::Unfinished;
use vitral_panes::view::MetricFailure;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::PartitionId;

use super::{LiveMetric, TopicPanes, VersionState, panes_of};

/// Where folding stopped.
pub(super) struct Halt {
    /// The first part whose rows are not in the states.
    next: usize,
    error: PanesError,
}

/// Folds rows by partition; `panes` gives those of a part.
pub(super) fn fold_parts(
    metric: &mut LiveMetric,
    parts: &[(PartitionId, RecordBatch)],
    panes: impl Fn(&RecordBatch) -> ArrayRef,
) -> Result<(), Halt> {
    if !metric.is_active() {
        return Ok(());
    }
    for (at, (partition, rows)) in parts.iter().enumerate().filter(|(_, (_, rows))| rows.num_rows() > 0) {
        let panes = panes(rows);
        metric.panes.add_rows(*partition, rows, &panes).map_err(|error| Halt { next: at, error })?;
        metric.panes.settle(*partition).map_err(|error| Halt { next: at + 1, error })?;
    }
    Ok(())
}

impl TopicPanes {
    /// Sets a metric aside: nothing more is folded into it or published of it by this process.
    pub fn set_aside(&mut self, id: &MetricVersionId, reason: String) {
        if let Some(index) = self.index_of(id) {
            self.set_aside_at(index, reason);
        }
    }

    pub(super) fn set_aside_at(&mut self, index: usize, reason: String) {
        let now_ms = self.clock.now_ms();
        let metric = &mut self.metrics[index];
        if !metric.is_active() {
            return;
        }
        metric.clear();
        if metric.state == VersionState::Superseded {
            tracing::warn!(metric = metric.plan().metric.name, reason, "its previous version no longer serves");
            metric.state = VersionState::Retired;
            return;
        }
        metric.state = VersionState::SetAside;
        let since_ms = metric.failure.take().map_or(now_ms, |failure| failure.since_ms);
        metric.failure = Some(MetricFailure { reason, since_ms, is_set_aside: true });
        self.news.insert(metric.id.clone());
    }

    /// Metrics whose failure began or ended since the last call.
    pub fn take_news(&mut self) -> impl Iterator<Item = MetricVersionId> + use<> {
        std::mem::take(&mut self.news).into_iter()
    }

    /// What readers of the metric learn: its own failure, or that of the version that should
    /// replace it.
    pub fn failure_of<'a>(&'a self, metric: &'a LiveMetric) -> Option<&'a MetricFailure> {
        metric.failure.as_ref().or_else(|| {
            let same = self.metrics.iter().filter(|other| other.id.metric == metric.id.metric);
            same.filter_map(|other| other.failure.as_ref()).next()
        })
    }

    /// Does the work again while memory is lacking and somebody else can be set aside for it; none
    /// if in the end it was the metric itself.
    pub(super) fn insist<T>(
        &mut self,
        index: usize,
        mut work: impl FnMut(&mut LiveMetric) -> Result<T, PanesError>,
    ) -> Option<Result<T, PanesError>> {
        loop {
            match work(&mut self.metrics[index]) {
                Err(error) if error.is_memory() => {
                    if !self.make_room(index, error) {
                        return None;
                    }
                }
                outcome => return Some(outcome),
            }
        }
    }

    /// The same for work without which the metric cannot go on.
    pub(super) fn insist_or_set_aside<T>(
        &mut self,
        index: usize,
        work: impl FnMut(&mut LiveMetric) -> Result<T, PanesError>,
    ) -> Option<T> {
        match self.insist(index, work)? {
            Ok(value) => Some(value),
            Err(error) => {
                self.set_aside_at(index, error.reason());
                None
            }
        }
    }

    /// Goes on with the parts after folding stopped, or sets the metric aside.
    pub(super) fn go_on_folding(&mut self, index: usize, parts: &[(PartitionId, RecordBatch)], mut halt: Halt) {
        let (event_time, windows) = (self.event_time, self.metrics[index].plan().windows);
        loop {
            let Halt { next, error } = halt;
            if !error.is_memory() {
                return self.set_aside_at(index, error.reason());
            }
            if !self.make_room(index, error) {
                return;
            }
            let metric = &mut self.metrics[index];
            // What was folded last may not be accounted for.
            let settled = next.checked_sub(1).map_or(Ok(()), |last| metric.panes.settle(parts[last].0));
            let outcome = settled
                .map_err(|error| Halt { next: 0, error })
                .and_then(|()| fold_parts(metric, &parts[next..], |rows| panes_of(&windows, event_time, rows)));
            match outcome {
                Ok(()) => return,
                Err(later) => halt = Halt { next: next + later.next, ..later },
            }
        }
    }

    /// Sets the metric with the most memory aside if that is more than its share, else the one that
    /// asks; whether it was another one.
    fn make_room(&mut self, index: usize, error: PanesError) -> bool {
        let PanesError::Memory { limit_bytes, .. } = error else {
            self.set_aside_at(index, error.reason());
            return false;
        };
        let active: Vec<usize> = (0..self.metrics.len()).filter(|index| self.metrics[*index].is_active()).collect();
        let share_bytes = limit_bytes / active.len().max(1);
        let bytes = |index: &usize| self.metrics[*index].panes.memory_bytes();
        let largest = active.iter().copied().max_by_key(bytes).filter(|largest| bytes(largest) > share_bytes);
        let chosen = largest.unwrap_or(index);
        let error = PanesError::Memory { metric: self.metrics[chosen].plan().metric.name.clone(), limit_bytes };
        self.set_aside_at(chosen, error.reason());
        chosen != index
    }

    /// Takes in what came of it if somebody has asked for the open windows since the last refresh.
    pub(super) fn learn_from_readers(&mut self, index: usize) {
        let metric = &mut self.metrics[index];
        if metric.is_open_known || !metric.is_active() || !metric.open.is_made() {
            return;
        }
        metric.is_open_known = true;
        let open = Arc::clone(&metric.open);
        metric.unfinished = open.known_unfinished().map(|(start_ms, _)| start_ms).collect();
        let lacking =
            open.known_unfinished().filter_map(|(start_ms, window)| Some((start_ms, window.memory_limit_bytes?)));
        let lacking: Vec<(i64, usize)> = lacking.collect();
        if let Some((_, limit_bytes)) = lacking.first() {
            let limit_bytes = *limit_bytes;
            let error = PanesError::Memory { metric: metric.plan().metric.name.clone(), limit_bytes };
            if !self.make_room(index, error) {
                return;
            }
            // There may be enough now.
            let starts = lacking.iter().map(|(start_ms, _)| *start_ms);
            self.metrics[index].panes.touch(starts.clone());
            for start_ms in starts {
                self.metrics[index].unfinished.remove(&start_ms);
            }
        }
        let metric = &mut self.metrics[index];
        let of_rows = open.known_unfinished().find(|(start_ms, _)| metric.unfinished.contains(start_ms));
        if let Some((_, Unfinished { reason, since_ms, .. })) = of_rows
            && metric.failure.is_none()
        {
            metric.failure = Some(MetricFailure { reason: reason.clone(), since_ms: *since_ms, is_set_aside: false });
            self.news.insert(metric.id.clone());
        }
        self.forget_failure_if_over(index);
        self.insist_or_set_aside(index, LiveMetric::account_for_open);
    }

    /// A failure ends when every open window can be shown again and the history is there.
    pub(super) fn forget_failure_if_over(&mut self, index: usize) {
        let metric = &mut self.metrics[index];
        let is_whole =
            matches!(metric.state, VersionState::Active | VersionState::Superseded) && metric.unfinished.is_empty();
        if is_whole && metric.failure.take().is_some() {
            self.news.insert(metric.id.clone());
        }
    }
}
