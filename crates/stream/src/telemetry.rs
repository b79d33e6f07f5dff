//! What the stream reports about itself at `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use vitral_connect::LookupCounts;

/// Of one topic.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TopicLabel {
    /// Its table's name.
    pub topic: String,
}

/// Of one kind of message of a topic.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct VerdictLabels {
    /// The topic's table name.
    pub topic: String,
    /// The verdict's name, as the archive has it.
    pub verdict: &'static str,
    /// Why a message was refused; empty otherwise.
    pub reason: &'static str,
}

/// Of one metric.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct MetricLabels {
    /// The table name of the topic that it is computed from.
    pub topic: String,
    /// Its name.
    pub metric: String,
}

/// What all pipelines of a process report.
#[derive(Debug, Clone)]
pub struct StreamTelemetry {
    /// Messages that were classified.
    pub messages: Family<VerdictLabels, Counter>,
    /// Where each topic stands.
    pub gauges: TopicGauges,
    /// Rows that were looked up.
    pub lookups: LookupTelemetry,
    /// Commits of the archive.
    pub commits: Family<TopicLabel, Counter>,
    /// 1 while a metric lacks windows, otherwise 0.
    pub metric_failed: Family<MetricLabels, Gauge>,
    /// How often a metric began to lack windows.
    pub metric_failures: Family<MetricLabels, Counter>,
    /// How often reading paused for lack of room.
    pub pauses: Family<TopicLabel, Counter>,
    /// How long a commit takes.
    pub commit_seconds: Histogram,
    /// How long a refresh keeps the pipeline; the rows of open windows are made by those who read
    /// them.
    pub refresh_seconds: Histogram,
}

/// Of one looked-up column.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LookupLabels {
    /// The topic's table name.
    pub topic: String,
    /// The column.
    pub column: String,
    /// `found`, `unknown`, `failed` or `stale`.
    pub outcome: &'static str,
}

/// Rows that were looked up.
#[derive(Debug, Clone, Default)]
pub struct LookupTelemetry(Family<LookupLabels, Counter>);

impl LookupTelemetry {
    pub(crate) fn add(&self, topic: &str, column: &str, counts: LookupCounts) {
        let LookupCounts { asked, unknown, failed, stale } = counts;
        let found = asked.saturating_sub(unknown + failed + stale);
        for (outcome, rows) in [("found", found), ("unknown", unknown), ("failed", failed), ("stale", stale)] {
            let labels = LookupLabels { topic: topic.to_owned(), column: column.to_owned(), outcome };
            self.0.get_or_create(&labels).inc_by(rows);
        }
    }
}

/// Where a topic stands.
#[derive(Debug, Clone, Default)]
pub struct TopicGauges {
    /// The topic's watermark in milliseconds since the epoch; 0 while it has none.
    pub watermark_ms: Family<TopicLabel, Gauge>,
    /// Bytes of open panes, of the rows made from them, and of former states that a view still has.
    pub pane_bytes: Family<TopicLabel, Gauge>,
    /// State rows of open panes.
    pub pane_groups: Family<TopicLabel, Gauge>,
    /// Event ids that can still come again.
    pub known_ids: Family<TopicLabel, Gauge>,
    /// Bytes of decoded rows that wait for their commit.
    pub uncommitted_bytes: Family<TopicLabel, Gauge>,
    /// Rows of the archive that the last start folded.
    pub recovered_rows: Family<TopicLabel, Gauge>,
    /// Partitions that wait because they are far ahead of the slowest.
    pub held_partitions: Family<TopicLabel, Gauge>,
}

impl StreamTelemetry {
    /// Registers everything under its name at `/metrics`.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let telemetry = Self {
            messages: Family::default(),
            gauges: TopicGauges::default(),
            lookups: LookupTelemetry::default(),
            commits: Family::default(),
            metric_failed: Family::default(),
            metric_failures: Family::default(),
            pauses: Family::default(),
            commit_seconds: seconds(),
            refresh_seconds: seconds(),
        };
        let help = "Messages by verdict and reason, since the process began";
        registry.register("vitral_messages", help, telemetry.messages.clone());
        telemetry.gauges.register(registry);
        let help = "Rows that were looked up, by column and what became of their keys";
        registry.register("vitral_lookups", help, telemetry.lookups.0.clone());
        registry.register("vitral_archive_commits", "Archive commits", telemetry.commits.clone());
        let help = "1 while a metric lacks windows because it fails on its data";
        registry.register("vitral_metric_failed", help, telemetry.metric_failed.clone());
        let help = "Times that a metric began to fail on its data";
        registry.register("vitral_metric_failures", help, telemetry.metric_failures.clone());
        registry.register("vitral_pauses", "Times that reading paused for lack of room", telemetry.pauses.clone());
        for (name, help, histogram) in [
            ("vitral_archive_commit", "Time of an archive commit", &telemetry.commit_seconds),
            ("vitral_refresh", "Time of a refresh of live results", &telemetry.refresh_seconds),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        telemetry
    }
}

impl TopicGauges {
    fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("vitral_watermark_milliseconds", "Watermark of the topic since the Unix epoch", &self.watermark_ms),
            ("vitral_pane_groups", "State rows of open panes", &self.pane_groups),
            ("vitral_known_ids", "Event ids kept for deduplication", &self.known_ids),
            (
                "vitral_recovered_rows",
                "Rows of the archive that the start folded, after a snapshot or without one",
                &self.recovered_rows,
            ),
            (
                "vitral_held_partitions",
                "Partitions that wait because they are far ahead of the slowest",
                &self.held_partitions,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, gauge) in [
            ("vitral_panes", "Memory of open panes", &self.pane_bytes),
            ("vitral_uncommitted", "Decoded rows that wait for their commit", &self.uncommitted_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
    }
}
