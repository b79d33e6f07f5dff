//! The pipeline's part of the view that readers get.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use vitral_panes::view::{Completeness, MetricView, TopicView, View};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::metric_version::MetricVersionId;

use super::committed_windows::CommittedWindows;
use super::context::TopicContext;
use crate::topic_panes::{TopicPanes, VersionState};

/// The committed tables; the rest of the view is made from the pipeline's state.
pub(super) struct TopicViewBuilder {
    /// How many topics the catalog has: the view is ready once it holds all of them.
    pub(super) topics: usize,
    pub(super) archive: Arc<dyn TableProvider>,
    /// Of versions that have something to show.
    pub(super) published: BTreeMap<MetricVersionId, Arc<dyn TableProvider>>,
    /// The topic's, as of the last commit.
    pub(super) watermark: Option<Watermark>,
    /// Open windows of metrics, as of the last commit.
    pub(super) committed: CommittedWindows,
    /// They are as an earlier run left them: the topic cannot be read yet.
    pub(super) is_earlier: bool,
}

impl TopicViewBuilder {
    /// Replaces the topic and its metrics in the shared view, all at once. `now` is of the archive
    /// and the tail, `live` of the open windows.
    pub(super) fn publish(
        &self,
        context: &TopicContext,
        panes: &TopicPanes,
        tail: Vec<RecordBatch>,
        now: Completeness,
        live: &Completeness,
    ) {
        let of_topic = TopicView { archive: Arc::clone(&self.archive), tail: tail.into(), completeness: now };
        let topic = &context.topic;
        context.view.send_modify(|view| {
            let mut next = View::clone(view);
            next.topics.insert(topic.name.clone(), of_topic);
            next.committed_watermarks.extend(self.watermark.map(|watermark| (topic.name.clone(), watermark)));
            if !self.is_earlier {
                next.topics_waiting.remove(&topic.name);
            }
            next.ready = next.knows(self.topics);
            for metric in panes.metrics().iter().filter(|metric| panes.is_shown(metric)) {
                let plan = metric.plan();
                // A history that is still computed is not shown in part, nor what lies beyond a gap
                // in it.
                let has_gap = matches!(metric.state, VersionState::Backfilling { .. }) && metric.failure.is_some();
                let nothing = || Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))) as Arc<dyn TableProvider>;
                let of_metric = MetricView {
                    topic: topic.name.clone(),
                    window: plan.metric.window,
                    schema: Arc::clone(plan.rows_schema()),
                    published: self.published.get(&metric.id).cloned().unwrap_or_else(nothing),
                    published_through_ms: metric.published_through.map(Watermark::ms),
                    open: if has_gap { Arc::default() } else { Arc::clone(&metric.open) },
                    open_at_commit: self.committed.of(&metric.id).filter(|_| !has_gap),
                    completeness: live.clone(),
                    failure: panes.failure_of(metric).cloned(),
                };
                next.metrics.insert(plan.metric.name.clone(), of_metric);
            }
            *view = Arc::new(next);
        });
    }
}
