//! What `/metrics` says of how the stream and background work fare, read when it is asked for.

mod notifications;
mod row_logs;
mod sinks;

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use vitral_schemas::health::{Bounds, Health, TaskHealth, TopicHealth, Trouble};

/// Adds the figures of the stream and of background work.
pub fn register_health(registry: &mut Registry, health: Arc<Health>, bounds: Bounds) {
    registry.register_collector(Box::new(HealthCollector { health, bounds }));
}

#[derive(Debug)]
struct HealthCollector {
    health: Arc<Health>,
    bounds: Bounds,
}

impl Collector for HealthCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let now = Instant::now();
        let topics = self.health.topics();
        encode_topics(&mut encoder, &topics, now)?;
        encode_lags(&mut encoder, &topics)?;
        encode_tasks(&mut encoder, &self.health, now)?;
        sinks::encode(&mut encoder, &self.health, now)?;
        row_logs::encode(&mut encoder, &self.health, now)?;
        notifications::encode(&mut encoder, &self.health, now)?;
        encode_troubles(&mut encoder, self.health.troubles(self.bounds, now))
    }
}

/// How long ago each topic's rows were committed, and what had to be tried again.
fn encode_topics(
    encoder: &mut DescriptorEncoder<'_>,
    topics: &BTreeMap<String, TopicHealth>,
    now: Instant,
) -> Result<(), Error> {
    let mut of_topics =
        |name: &str, help: &str, unit: Option<&Unit>, kind, value: &dyn Fn(&TopicHealth) -> Option<f64>| {
            let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
            for (topic, value) in topics.iter().filter_map(|(name, topic)| Some((name, value(topic)?))) {
                let labels = [("topic", topic.as_str())];
                let mut metric = metric.encode_family(&labels)?;
                encode(&mut metric, kind, value)?;
            }
            Ok::<_, Error>(())
        };
    of_topics(
        "vitral_commit_age",
        "Time since the last archive commit of this process",
        Some(&Unit::Seconds),
        MetricType::Gauge,
        &|topic| Some(age(now, topic.committed?)),
    )?;
    of_topics(
        "vitral_uncommitted_age",
        "How long the oldest row has waited for its commit",
        Some(&Unit::Seconds),
        MetricType::Gauge,
        &|topic| Some(topic.uncommitted.map_or(0.0, |since| age(now, since))),
    )?;
    of_topics(
        "vitral_failed_attempts",
        "Attempts at the store or at Kafka that failed and were retried",
        None,
        MetricType::Counter,
        &|topic| Some(topic.retries as f64),
    )
}

/// How far each partition is behind.
fn encode_lags(encoder: &mut DescriptorEncoder<'_>, topics: &BTreeMap<String, TopicHealth>) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(
        "vitral_partition_lag_messages",
        "Offsets between the reading position and the end of the broker's log",
        None,
        MetricType::Gauge,
    )?;
    for (topic, health) in topics {
        for (partition, lag) in health.partitions.iter().filter_map(|(id, known)| Some((id, known.lag()?))) {
            let labels = [("topic", topic.clone()), ("partition", partition.to_string())];
            metric.encode_family(&labels)?.encode_gauge(&lag)?;
        }
    }
    Ok(())
}

/// How background work fares.
fn encode_tasks(encoder: &mut DescriptorEncoder<'_>, health: &Health, now: Instant) -> Result<(), Error> {
    let tasks = health.tasks();
    let mut of_tasks =
        |name: &str, help: &str, unit: Option<&Unit>, kind, value: &dyn Fn(&TaskHealth) -> Option<f64>| {
            let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
            for (task, value) in tasks.iter().filter_map(|(name, task)| Some((name, value(task)?))) {
                let labels = [("task", task.as_str())];
                let mut metric = metric.encode_family(&labels)?;
                encode(&mut metric, kind, value)?;
            }
            Ok::<_, Error>(())
        };
    of_tasks(
        "vitral_task_done_age",
        "Time since background work, such as the hourly check, last succeeded",
        Some(&Unit::Seconds),
        MetricType::Gauge,
        &|task| Some(age(now, task.done?)),
    )?;
    of_tasks("vitral_task_restarts", "How often background work was restarted", None, MetricType::Counter, &|task| {
        Some(task.restarts as f64)
    })
}

/// What is wrong, each trouble once.
fn encode_troubles(encoder: &mut DescriptorEncoder<'_>, mut troubles: Vec<Trouble>) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(
        "vitral_troubles",
        "What /readyz reports as wrong, by code",
        None,
        MetricType::Gauge,
    )?;
    troubles.dedup_by(|a, b| (&a.subject, a.code) == (&b.subject, b.code));
    for trouble in &troubles {
        let labels = [("subject", trouble.subject.as_str()), ("code", trouble.code)];
        metric.encode_family(&labels)?.encode_gauge(&1_i64)?;
    }
    Ok(())
}

fn encode(metric: &mut MetricEncoder<'_>, kind: MetricType, value: f64) -> Result<(), Error> {
    match kind {
        MetricType::Counter => metric.encode_counter::<[(&str, &str); 0], f64, f64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}

/// In seconds, to the millisecond: what is shorter would be written with an exponent.
fn age(now: Instant, since: Instant) -> f64 {
    now.checked_duration_since(since).unwrap_or(Duration::ZERO).as_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use vitral_schemas::health::NotificationHealth;
    use vitral_schemas::position::{Offset, PartitionId};

    use super::*;

    #[test]
    fn figures_are_encoded_with_their_units() {
        let health = Arc::new(Health::default());
        let now = Instant::now();
        health.topic("eventos", |topic| {
            topic.committed = Some(now);
            topic.failed("503");
            topic.reads(PartitionId(2), Offset(5), Some(Offset(9)), now);
        });
        health.task("hourly check", |task| task.done());
        health.sink("vendas_ao_vivo", |sink| {
            (sink.committed, sink.sent, sink.waiting) = (7, 6, Some(now));
            (sink.rows, sink.keyless, sink.failures) = (12, 3, 2);
            sink.failing = Some("away".to_owned());
        });
        let waiting = NotificationHealth { waiting: 3, oldest: Some(now), refused: 1, ..NotificationHealth::default() };
        health.notification("operacao/alertas", waiting);
        health.row_log("registros_cliques", |log| {
            (log.behind, log.waiting, log.missed, log.failures) = (40, Some(now), 3, 2);
        });
        let mut registry = Registry::default();
        let bounds = Bounds { commit: Duration::from_secs(60), still: Duration::from_secs(60) };
        register_health(&mut registry, health, bounds);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        for line in [
            "# UNIT vitral_commit_age_seconds seconds",
            "vitral_commit_age_seconds{topic=\"eventos\"} 0.",
            "vitral_uncommitted_age_seconds{topic=\"eventos\"} 0.0",
            "vitral_failed_attempts_total{topic=\"eventos\"} 1",
            "vitral_partition_lag_messages{topic=\"eventos\",partition=\"2\"} 4",
            "vitral_task_done_age_seconds{task=\"hourly check\"} 0.",
            "vitral_sink_lag_epochs{sink=\"vendas_ao_vivo\"} 1",
            "vitral_sink_lag_seconds{sink=\"vendas_ao_vivo\"} 0.",
            "vitral_sink_rows{sink=\"vendas_ao_vivo\"} 12",
            "vitral_sink_failing{sink=\"vendas_ao_vivo\"} 1",
            "vitral_sink_failed_attempts_total{sink=\"vendas_ao_vivo\"} 2",
            "vitral_sink_set_aside_rows{sink=\"vendas_ao_vivo\",reason=\"chave_nula\"} 3",
            "vitral_notifications_waiting{destination=\"operacao/alertas\"} 3",
            "vitral_notifications_waiting_age_seconds{destination=\"operacao/alertas\"} 0.",
            "vitral_notifications_passed_over{destination=\"operacao/alertas\"} 0",
            "vitral_notifications_refused_total{destination=\"operacao/alertas\"} 1",
            "vitral_notifications_failed_attempts_total{destination=\"operacao/alertas\"} 0",
            "vitral_row_log_lag_messages{log=\"registros_cliques\"} 40",
            "vitral_row_log_lag_seconds{log=\"registros_cliques\"} 0.",
            "vitral_row_log_failing{log=\"registros_cliques\"} 0",
            "vitral_row_log_failed_attempts_total{log=\"registros_cliques\"} 2",
            "vitral_row_log_missed_messages_total{log=\"registros_cliques\"} 3",
            "vitral_troubles{subject=\"eventos\",code=\"starting\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
