//! What `/metrics` says of kept answers, read when it is asked for.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use vitral_query::{Cache, LevelCounts};

/// Adds the figures of a process's kept answers, by level: its own memory, and what it shares with
/// other processes.
pub fn register_cache(registry: &mut Registry, cache: Cache) {
    registry.register_collector(Box::new(CacheCollector(cache)));
}

#[derive(Debug)]
struct CacheCollector(Cache);

impl Collector for CacheCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let counts = self.0.counts();
        let levels = [("memory", &counts.memory), ("shared", &counts.shared)];
        let mut of_levels = |name: &str, help: &str, value: fn(&LevelCounts) -> u64| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (level, counts) in levels {
                let labels = [("level", level)];
                metric.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, f64>(&value(counts), None)?;
            }
            Ok::<_, Error>(())
        };
        of_levels("vitral_cache_hits", "Answers that were kept and given again", LevelCounts::hits)?;
        of_levels("vitral_cache_misses", "Answers that were not kept, or had changed", LevelCounts::misses)?;
        of_levels("vitral_cache_errors", "Answers that could not be looked for or kept", LevelCounts::errors)?;
        let help = "Answers that another request had computed meanwhile";
        let mut metric = encoder.encode_descriptor("vitral_cache_joined", help, None, MetricType::Counter)?;
        metric.encode_counter::<[(&str, &str); 0], u64, f64>(&counts.joined(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_its_figures() {
        let mut registry = Registry::default();
        register_cache(&mut registry, Cache::new(1));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        for line in [
            "vitral_cache_hits_total{level=\"memory\"} 0",
            "vitral_cache_misses_total{level=\"shared\"} 0",
            "vitral_cache_errors_total{level=\"shared\"} 0",
            "vitral_cache_joined_total 0",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
