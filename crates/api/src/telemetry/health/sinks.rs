//! What `/metrics` says of sinks: how far their targets are behind, and what is not sent.

use std::fmt::Error;
use std::time::Instant;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use vitral_schemas::health::{Health, SinkHealth};

use super::{age, encode as encode_value};

/// The value of a sink in a family of figures.
type Value<'a> = &'a dyn Fn(&SinkHealth) -> f64;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, health: &Health, now: Instant) -> Result<(), Error> {
    let sinks = health.sinks();
    if sinks.is_empty() {
        return Ok(());
    }
    let mut of_sinks = |name: &str, help: &str, unit: Option<&Unit>, kind: MetricType, value: Value<'_>| {
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        for (sink, health) in &sinks {
            encode_value(&mut metric.encode_family(&[("sink", sink.as_str())])?, kind, value(health))?;
        }
        Ok::<_, Error>(())
    };
    let gauge = MetricType::Gauge;
    of_sinks(
        "vitral_sink_lag_epochs",
        "Epochs that are fixed and that the target has not accepted",
        None,
        gauge,
        &|sink| sink.committed.saturating_sub(sink.sent) as f64,
    )?;
    of_sinks(
        "vitral_sink_lag",
        "How long the oldest change has been waiting for its target or view",
        Some(&Unit::Seconds),
        gauge,
        &|sink| sink.waiting.map_or(0.0, |since| age(now, since)),
    )?;
    of_sinks("vitral_sink_epoch", "The last epoch that was fixed", None, gauge, &|sink| sink.committed as f64)?;
    of_sinks("vitral_sink_rows", "Rows that the target should hold", None, gauge, &|sink| sink.rows as f64)?;
    of_sinks("vitral_sink_failing", "Whether the last attempt failed", None, gauge, &|sink| {
        f64::from(u8::from(sink.failing.is_some()))
    })?;
    of_sinks(
        "vitral_sink_failed_attempts",
        "Attempts that failed and were retried",
        None,
        MetricType::Counter,
        &|sink| sink.failures as f64,
    )?;
    let mut metric = encoder.encode_descriptor(
        "vitral_sink_set_aside_rows",
        "Rows that are not copied, by reason: without a complete key, or with a key that several rows share",
        None,
        gauge,
    )?;
    for (sink, health) in &sinks {
        for (reason, count) in [("chave_nula", health.keyless), ("chave_repetida", health.repeated)] {
            let labels = [("sink", sink.as_str()), ("reason", reason)];
            metric.encode_family(&labels)?.encode_gauge(&(count as f64))?;
        }
    }
    Ok(())
}
