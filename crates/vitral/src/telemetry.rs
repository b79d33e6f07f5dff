//! What `/metrics` says of the process and of how the stream fares, read when it is asked for.

use std::fmt::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use vitral_schemas::health::{Bounds, Health};

use crate::process;

/// Adds the process's and the stream's figures.
pub fn register(registry: &mut Registry, health: Arc<Health>, bounds: Bounds) {
    vitral_api::register_health(registry, health, bounds);
    registry.register_collector(Box::new(Process { started: SystemTime::now() }));
}

/// Under the names that Prometheus's own libraries use.
#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory of the process",
                process::resident_bytes().map(|bytes| bytes as f64),
            ),
            ("process_open_fds", "Descriptors that are open", process::open_descriptors().map(|count| count as f64)),
            ("process_max_fds", "Descriptors that may be open", process::descriptor_limit().map(|limit| limit as f64)),
            ("process_start_time_seconds", "When the process began, since the Unix epoch", Some(started)),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let mut metric = encoder.encode_descriptor("vitral_build", "What runs", None, MetricType::Info)?;
        metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn figures_are_encoded_with_their_units() {
        let health = Arc::new(Health::default());
        let now = Instant::now();
        health.topic("eventos", |topic| {
            topic.committed = Some(now);
            topic.failed("503");
            topic.reads(2, 5, Some(9), now);
        });
        health.task("hourly check", |task| task.done());
        let mut registry = Registry::default();
        let bounds = Bounds { commit: Duration::from_secs(60), still: Duration::from_secs(60) };
        register(&mut registry, health, bounds);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        for line in [
            "# UNIT vitral_commit_age_seconds seconds",
            "vitral_commit_age_seconds{topic=\"eventos\"} 0.",
            "vitral_uncommitted_age_seconds{topic=\"eventos\"} 0.0",
            "vitral_failed_attempts_total{topic=\"eventos\"} 1",
            "vitral_partition_lag_messages{topic=\"eventos\",partition=\"2\"} 4",
            "vitral_task_done_age_seconds{task=\"hourly check\"} 0.",
            "vitral_troubles{subject=\"eventos\",code=\"starting\"} 1",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "vitral_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
