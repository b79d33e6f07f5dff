//! Metrics that fail, or do no more, are told of: loudly, once.

use vitral_schemas::topic::Topic;
use vitral_store::{Layout, MetricTable};

use super::Context;
use crate::panes_of_topic::{LiveMetric, Role};
use crate::telemetry::MetricLabels;

/// Shows in telemetry whether the metric lacks windows.
pub(super) fn show(context: &Context, topic: &Topic, metric: &str, is_failing: bool) {
    context.telemetry.metric_failed.get_or_create(&labels(topic, metric)).set(is_failing.into());
}

fn labels(topic: &Topic, metric: &str) -> MetricLabels {
    MetricLabels { topic: topic.name.clone(), metric: metric.to_owned() }
}

/// Tells the log, telemetry and, if the metric was set aside, later processes.
pub(super) fn tell(context: &Context, topic: &Topic, live: &LiveMetric) {
    let metric = live.plan().metric.name.clone();
    show(context, topic, &metric, live.failure.is_some());
    let is_set_aside = live.role == Role::SetAside;
    match &live.failure {
        Some(failure) => {
            context.telemetry.metric_failures.get_or_create(&labels(topic, &metric)).inc();
            let reason = &failure.reason;
            match is_set_aside {
                true => tracing::error!(
                    topic = topic.name,
                    metric,
                    reason,
                    "the metric is set aside; the archive and all other metrics go on"
                ),
                false => {
                    tracing::error!(topic = topic.name, metric, reason, "open windows of the metric cannot be shown")
                }
            }
        }
        None => tracing::info!(topic = topic.name, metric, "the metric is whole again"),
    }
    if live.failure.is_some() && !is_set_aside {
        return;
    }
    let failure = live.failure.clone();
    let (version, location) = (live.version.clone(), Layout::of(&context.config.store).metrics());
    context.runtime.spawn(async move {
        let failure = failure.as_ref().map(|failure| (failure.since_ms, failure.reason.as_str()));
        // Without the note the next start rebuilds the metric's windows from the archive at once: the same numbers, with more memory.
        if let Err(error) = MetricTable::set_failure(&metric, &version, &location, failure).await {
            tracing::warn!(metric, %error, "that the metric is set aside was not noted");
        }
    });
}
