//! What `/metrics` says of logs of rows in other systems: how far they are behind, and what they
//! will never have.

use std::fmt::Error;
use std::time::Instant;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use vitral_schemas::health::{Health, RowLogHealth};

use super::{age, encode as encode_value};

/// The value of a log in a family of figures.
type Value<'a> = &'a dyn Fn(&RowLogHealth) -> f64;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, health: &Health, now: Instant) -> Result<(), Error> {
    let logs = health.row_logs();
    if logs.is_empty() {
        return Ok(());
    }
    let mut of_logs = |name: &str, help: &str, unit: Option<&Unit>, kind: MetricType, value: Value<'_>| {
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        for (log, health) in &logs {
            encode_value(&mut metric.encode_family(&[("log", log.as_str())])?, kind, value(health))?;
        }
        Ok::<_, Error>(())
    };
    let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
    of_logs("vitral_row_log_lag_messages", "Messages that are committed and not yet written", None, gauge, &|log| {
        log.behind as f64
    })?;
    of_logs("vitral_row_log_lag", "How long the oldest of them has waited", Some(&Unit::Seconds), gauge, &|log| {
        log.waiting.map_or(0.0, |since| age(now, since))
    })?;
    of_logs("vitral_row_log_failing", "Whether the last attempt failed", None, gauge, &|log| {
        f64::from(u8::from(log.failing.is_some()))
    })?;
    of_logs("vitral_row_log_failed_attempts", "Attempts that failed and were retried", None, counter, &|log| {
        log.failures as f64
    })?;
    of_logs(
        "vitral_row_log_missed_messages",
        "Messages that retention deleted before they were written",
        None,
        counter,
        &|log| log.missed as f64,
    )
}
