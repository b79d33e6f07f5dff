//! Metrics that begin or cease to fail are reported: loudly, once.

use vitral_store::{Layout, MetricTable};

use super::Pipeline;
use super::context::TopicContext;
use crate::telemetry::MetricLabels;
use crate::topic_panes::{LiveMetric, VersionState};

impl Pipeline {
    pub(super) fn report_failures(&mut self) {
        for version in self.state.panes.take_news() {
            if let Some(live) = self.state.panes.get(&version) {
                report(&self.context, live);
            }
        }
    }
}

/// Shows in telemetry whether the metric lacks windows.
pub(super) fn show(context: &TopicContext, metric: &str, is_failing: bool) {
    context.telemetry.metric_failed.get_or_create(&labels(context, metric)).set(is_failing.into());
}

fn labels(context: &TopicContext, metric: &str) -> MetricLabels {
    MetricLabels { topic: context.topic.name.clone(), metric: metric.to_owned() }
}

/// To the log, to telemetry and, if the metric was set aside, to later processes.
fn report(context: &TopicContext, live: &LiveMetric) {
    let topic = &context.topic;
    let metric = live.plan().metric.name.clone();
    show(context, &metric, live.failure.is_some());
    let is_set_aside = live.state == VersionState::SetAside;
    match &live.failure {
        Some(failure) => {
            context.telemetry.metric_failures.get_or_create(&labels(context, &metric)).inc();
            let reason = &failure.reason;
            match is_set_aside {
                true => tracing::error!(
                    topic = topic.name,
                    metric,
                    reason,
                    "the metric is set aside; the archive and all other metrics continue"
                ),
                false => {
                    tracing::error!(topic = topic.name, metric, reason, "open windows of the metric cannot be shown")
                }
            }
        }
        None => tracing::info!(topic = topic.name, metric, "the metric is complete again"),
    }
    if live.failure.is_some() && !is_set_aside {
        return;
    }
    let failure = live.failure.clone();
    let (version, location) = (live.id.version.clone(), Layout::of(&context.config.store).metrics());
    context.runtime.spawn(async move {
        let failure = failure.as_ref().map(|failure| (failure.since_ms, failure.reason.as_str()));
        // Without the note the next start rebuilds the metric's windows from the archive at once:
        // the same numbers, with more memory.
        if let Err(error) = MetricTable::set_failure(&metric, &version, &location, failure).await {
            tracing::warn!(metric, %error, "could not record that the metric is set aside");
        }
    });
}
