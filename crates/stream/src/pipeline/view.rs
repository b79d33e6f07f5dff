//! The pipeline's part of the view that readers get.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use vitral_schemas::topic::Topic;
use vitral_schemas::view::{Completeness, MetricView, TopicView, View, ViewSender};

use crate::panes_of_topic::{PanesOfTopic, Role};

/// The committed tables; the rest of the view is made from the pipeline's state.
pub(super) struct ViewOfTopic {
    /// How many topics the catalog has: the view is ready once it holds all of them.
    pub(super) topics: usize,
    pub(super) archive: Arc<dyn TableProvider>,
    /// In the order of the topic's metrics; none of a version that is not shown.
    pub(super) published: Vec<Option<Arc<dyn TableProvider>>>,
    /// They are as an earlier run left them: the topic cannot be read yet.
    pub(super) is_earlier: bool,
}

impl ViewOfTopic {
    /// Replaces the topic and its metrics in the shared view, all at once. `now` is of the archive and the tail, `live` of the
    /// open windows.
    pub(super) fn show(
        &self,
        view: &ViewSender,
        topic: &Topic,
        panes: &PanesOfTopic,
        tail: Vec<RecordBatch>,
        now: Completeness,
        live: &Completeness,
    ) {
        let of_topic = TopicView { archive: Arc::clone(&self.archive), tail: tail.into(), completeness: now };
        view.send_modify(|view| {
            let mut next = View::clone(view);
            next.topics.insert(topic.name.clone(), of_topic);
            if !self.is_earlier {
                next.topics_waiting.remove(&topic.name);
            }
            next.ready = next.knows(self.topics);
            for (index, (metric, published)) in panes.metrics.iter().zip(&self.published).enumerate() {
                if !panes.is_shown(index) {
                    continue;
                }
                let plan = metric.plan();
                // A history that is still computed is not shown in part, nor what lies beyond a gap in it.
                let has_gap = matches!(metric.role, Role::Arriving { .. }) && metric.failure.is_some();
                let nothing = || Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))) as Arc<dyn TableProvider>;
                let of_metric = MetricView {
                    topic: topic.name.clone(),
                    window: plan.metric.window,
                    schema: Arc::clone(plan.rows_schema()),
                    published: published.clone().unwrap_or_else(nothing),
                    published_through_ms: metric.published_through_ms,
                    open: if has_gap { Arc::default() } else { Arc::clone(&metric.open) },
                    completeness: live.clone(),
                    failure: panes.failure_of(index).cloned(),
                };
                next.metrics.insert(plan.metric.name.clone(), of_metric);
            }
            *view = Arc::new(next);
        });
    }
}
