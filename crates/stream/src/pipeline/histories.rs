//! Histories of metrics that were added or changed, while they are computed alongside the pipeline.

use vitral_schemas::metric_version::MetricVersionId;
use vitral_store::MetricTable;

use super::Pipeline;
use crate::committer::Job;
use crate::error::StreamError;

pub(super) type HistoryTask = tokio::task::JoinHandle<Result<Option<MetricTable>, StreamError>>;

/// Those that are not complete yet.
#[derive(Default)]
pub(super) struct Histories(Vec<(MetricVersionId, HistoryTask)>);

impl Histories {
    pub(super) fn add(&mut self, version: MetricVersionId, task: HistoryTask) {
        self.0.push((version, task));
    }

    fn take_finished(&mut self) -> Option<(MetricVersionId, HistoryTask)> {
        let finished = self.0.iter().position(|(_, task)| task.is_finished())?;
        Some(self.0.swap_remove(finished))
    }
}

impl Pipeline {
    /// Takes over histories that are complete.
    pub(super) fn adopt_histories(&mut self) -> Result<(), StreamError> {
        if self.committer.is_busy() {
            return Ok(());
        }
        let Some((version, task)) = self.histories.take_finished() else { return Ok(()) };
        let reason = match self.context.runtime.block_on(task) {
            Ok(Ok(Some(table))) => return self.committer.submit(Job::Adopt { version, table: Box::new(table) }),
            // Stopped with the pipeline.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) if !error.is_of_one_metric() => return Err(error),
            Ok(Err(error)) => error.reason(),
            Err(error) => error.to_string(),
        };
        self.state.panes.set_aside(&version, format!("its history cannot be computed: {reason}"));
        Ok(())
    }

    /// The committer has the table of a metric whose history is complete.
    pub(super) fn has_history(&mut self, version: &MetricVersionId) -> Result<(), StreamError> {
        if self.state.panes.has_history(version) {
            let (topic, metric) = (&self.context.topic.name, &version.metric);
            tracing::info!(topic, %metric, "its history is complete");
        }
        // Windows that have closed since the process started.
        self.publisher.look_again();
        self.publish_closed()
    }
}
