//! What `/metrics` says of the process, read when it is asked for.

use std::fmt::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::{descriptor_limit, open_descriptors, resident_bytes};

/// Adds the process's figures.
pub fn register(registry: &mut Registry) {
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
            ("process_resident_memory_bytes", "Memory of the process", resident_bytes().map(|bytes| bytes as f64)),
            ("process_open_fds", "Descriptors that are open", open_descriptors().map(|count| count as f64)),
            ("process_max_fds", "Descriptors that may be open", descriptor_limit().map(|limit| limit as f64)),
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
    use super::*;

    #[test]
    fn figures_are_encoded_with_their_units() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        for line in ["process_resident_memory_bytes ", "process_open_fds ", "vitral_build_info{version="] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
