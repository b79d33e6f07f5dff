//! What the stream tells about itself at `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TopicLabel {
    pub topic: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct VerdictLabels {
    pub topic: String,
    pub verdict: &'static str,
    /// Why a message was refused; empty otherwise.
    pub reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct MetricLabels {
    pub topic: String,
    pub metric: String,
}

#[derive(Debug, Clone)]
pub struct StreamTelemetry {
    pub messages: Family<VerdictLabels, Counter>,
    pub watermark_ms: Family<TopicLabel, Gauge>,
    pub pane_bytes: Family<TopicLabel, Gauge>,
    pub pane_groups: Family<TopicLabel, Gauge>,
    pub known_ids: Family<TopicLabel, Gauge>,
    pub uncommitted_bytes: Family<TopicLabel, Gauge>,
    pub recovered_rows: Family<TopicLabel, Gauge>,
    pub commits: Family<TopicLabel, Counter>,
    pub metric_failed: Family<MetricLabels, Gauge>,
    pub metric_failures: Family<MetricLabels, Counter>,
    pub pauses: Family<TopicLabel, Counter>,
    pub held_partitions: Family<TopicLabel, Gauge>,
    pub commit_seconds: Histogram,
    pub refresh_seconds: Histogram,
}

impl StreamTelemetry {
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let telemetry = Self {
            messages: Family::default(),
            watermark_ms: Family::default(),
            pane_bytes: Family::default(),
            pane_groups: Family::default(),
            known_ids: Family::default(),
            uncommitted_bytes: Family::default(),
            recovered_rows: Family::default(),
            commits: Family::default(),
            metric_failed: Family::default(),
            metric_failures: Family::default(),
            pauses: Family::default(),
            held_partitions: Family::default(),
            commit_seconds: seconds(),
            refresh_seconds: seconds(),
        };
        registry.register(
            "vitral_messages",
            "Messages by verdict and reason, since the process began",
            telemetry.messages.clone(),
        );
        registry.register(
            "vitral_watermark_milliseconds",
            "Effective watermark since the Unix epoch",
            telemetry.watermark_ms.clone(),
        );
        registry.register_with_unit("vitral_panes", "Memory of open panes", Unit::Bytes, telemetry.pane_bytes.clone());
        registry.register("vitral_pane_groups", "State rows of open panes", telemetry.pane_groups.clone());
        registry.register("vitral_known_ids", "Event ids kept for deduplication", telemetry.known_ids.clone());
        registry.register_with_unit(
            "vitral_uncommitted",
            "Decoded rows that wait for their commit",
            Unit::Bytes,
            telemetry.uncommitted_bytes.clone(),
        );
        registry.register(
            "vitral_recovered_rows",
            "Rows of the archive that the start folded, behind a snapshot or without one",
            telemetry.recovered_rows.clone(),
        );
        registry.register("vitral_archive_commits", "Archive commits", telemetry.commits.clone());
        registry.register(
            "vitral_metric_failed",
            "1 while a metric lacks windows because it fails on its data",
            telemetry.metric_failed.clone(),
        );
        registry.register(
            "vitral_metric_failures",
            "Times that a metric began to fail on its data",
            telemetry.metric_failures.clone(),
        );
        registry.register(
            "vitral_held_partitions",
            "Partitions that wait because they are far ahead of the slowest",
            telemetry.held_partitions.clone(),
        );
        registry.register("vitral_pauses", "Times that reading paused for lack of room", telemetry.pauses.clone());
        registry.register_with_unit(
            "vitral_archive_commit",
            "Time of an archive commit",
            Unit::Seconds,
            telemetry.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "vitral_refresh",
            "Time of a refresh of live results",
            Unit::Seconds,
            telemetry.refresh_seconds.clone(),
        );
        telemetry
    }
}
