//! The pipeline's part of the view that readers get.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use vitral_schemas::topic::Topic;
use vitral_schemas::view::{Completeness, MetricView, TopicView, View, ViewSender};

use crate::panes_of_topic::PanesOfTopic;

/// The committed tables; the rest of the view is made from the pipeline's state.
pub(super) struct ViewOfTopic {
    pub(super) archive: Arc<dyn TableProvider>,
    /// In the order of the topic's metrics.
    pub(super) published: Vec<Arc<dyn TableProvider>>,
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
            next.ready = true;
            next.topics.insert(topic.name.clone(), of_topic);
            for (metric, published) in panes.metrics.iter().zip(&self.published) {
                let plan = metric.plan();
                let of_metric = MetricView {
                    topic: topic.name.clone(),
                    window: plan.metric.window,
                    schema: Arc::clone(plan.rows_schema()),
                    published: Arc::clone(published),
                    published_through_ms: metric.published_through_ms,
                    open: Arc::clone(&metric.open),
                    completeness: live.clone(),
                };
                next.metrics.insert(plan.metric.name.clone(), of_metric);
            }
            *view = Arc::new(next);
        });
    }
}
