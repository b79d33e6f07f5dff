//! What `/metrics` says of notifications: how many wait for each destination, and what it does not
//! take.

use std::fmt::Error;
use std::time::Instant;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use vitral_schemas::health::{Health, NotificationHealth};

use super::{age, encode as encode_value};

/// The value of a destination in a family of figures.
type Value<'a> = &'a dyn Fn(&NotificationHealth) -> f64;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, health: &Health, now: Instant) -> Result<(), Error> {
    let destinations = health.notifications();
    if destinations.is_empty() {
        return Ok(());
    }
    let mut of_each = |name: &str, help: &str, unit: Option<&Unit>, kind: MetricType, value: Value<'_>| {
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        for (destination, health) in &destinations {
            let labels = [("destination", destination.as_str())];
            encode_value(&mut metric.encode_family(&labels)?, kind, value(health))?;
        }
        Ok::<_, Error>(())
    };
    let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
    of_each(
        "vitral_notifications_waiting",
        "Notifications that the destination has neither accepted nor refused",
        None,
        gauge,
        &|of| of.waiting as f64,
    )?;
    of_each(
        "vitral_notifications_waiting_age",
        "How long the oldest of them has waited",
        Some(&Unit::Seconds),
        gauge,
        &|of| of.oldest.map_or(0.0, |since| age(now, since)),
    )?;
    of_each(
        "vitral_notifications_passed_over",
        "Those of them that fail while others are accepted",
        None,
        gauge,
        &|of| of.passed_over as f64,
    )?;
    of_each(
        "vitral_notifications_refused",
        "Notifications that were refused for good, or set aside",
        None,
        counter,
        &|of| of.refused as f64,
    )?;
    of_each("vitral_notifications_failed_attempts", "Attempts that failed and were retried", None, counter, &|of| {
        of.failures as f64
    })
}
