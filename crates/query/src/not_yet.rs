//! What people should know who ask a store, and not a server, for a metric's rows.

use chrono::{DateTime, SecondsFormat};
use vitral_catalog::{Catalog, DomainSettings, Metric, Name, Needs};
use vitral_schemas::window::Windows;

use crate::read_point::ReadPoint;

const MINUTE_MS: i64 = 60_000;

/// A sentence for each metric that a statement reads and of which no window was published; of
/// others one for all, that their open windows are elsewhere.
pub fn notes_on_windows(catalog: &Catalog, settings: &DomainSettings, point: &ReadPoint, needs: &Needs) -> Vec<String> {
    let is_read = |metric: &&Metric| {
        needs.names.iter().any(|name| matches!(name, Name::Table(table) | Name::Newest(table) if *table == metric.name))
    };
    let is_new = |metric: &&Metric| {
        point.view.metrics.get(&metric.name).is_some_and(|shown| shown.published_through_ms.is_none())
    };
    let (new, begun): (Vec<_>, Vec<_>) = catalog.metrics.iter().filter(is_read).partition(is_new);
    let paths: Vec<String> = begun.iter().map(|metric| format!("GET /metricas/{}", metric.name)).collect();
    let elsewhere = (!paths.is_empty()).then(|| format!("open windows are not here: {}", paths.join(", ")));
    new.into_iter().map(|metric| sentence(catalog, settings, point, metric)).chain(elsewhere).collect()
}

fn sentence(catalog: &Catalog, settings: &DomainSettings, point: &ReadPoint, metric: &Metric) -> String {
    let Metric { name, topic, window, .. } = metric;
    let lateness_ms = catalog.topic(topic).map_or(0, |topic| topic.lateness_ms);
    let Some(watermark) = point.view.committed_watermarks.get(topic) else {
        return format!("{name} has no row yet: no event of {topic} is archived");
    };
    let reached_ms = watermark.ms();
    let stands = format!("{name} has no final window yet: the watermark of {topic} is at {}", time(reached_ms));
    let minutes = lateness_ms / MINUTE_MS;
    let way_on = format!(
        "Until then GET /metricas/{name} has its open windows; earlier windows come from the stream that runs with this catalog, or from \
         `vitral backfill`"
    );
    if window.session_gap_micros().is_some() {
        return format!("{stands}, and a session is final {minutes} minutes after its end. {way_on}");
    }
    let windows = Windows::new(*window, settings.time_zone);
    let end_ms = windows.bounds(windows.first_open_ms(reached_ms - lateness_ms)).end_ms;
    format!(
        "{stands}, and a window is final once that has passed its end by {minutes} minutes: the next one at {}. {way_on}",
        time(end_ms + lateness_ms)
    )
}

fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(|| ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
