//! How complete an answer is: the counts of its topics, as JSON for metrics and as headers for
//! arrays. The counts are of all rows: who sees only some gets none.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use vitral_catalog::{Name, Needs};
use vitral_panes::view::{Completeness, Live, LookupCompleteness, MetricView, View};
use vitral_query::{Principal, ReadPoint, sees_completeness, utc_text};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_store::PublishedWindows;
use vitral_store::warehouse::ReadFrom;

const WATERMARK: HeaderName = HeaderName::from_static("vitral-watermark");
const READ: HeaderName = HeaderName::from_static("vitral-read");
const COUNTED: HeaderName = HeaderName::from_static("vitral-counted");
const DUPLICATE: HeaderName = HeaderName::from_static("vitral-duplicate");
const LATE: HeaderName = HeaderName::from_static("vitral-late");
const REFUSED: HeaderName = HeaderName::from_static("vitral-refused");
const SKIPPED: HeaderName = HeaderName::from_static("vitral-skipped");
const IDLE_PARTITIONS: HeaderName = HeaderName::from_static("vitral-idle-partitions");
const LIVE: HeaderName = HeaderName::from_static("vitral-ao-vivo");
/// Who has answered for the warehouse, where it has a replica.
const WAREHOUSE: HeaderName = HeaderName::from_static("vitral-armazem");
/// How far behind the replica is.
const WAREHOUSE_LAG: HeaderName = HeaderName::from_static("vitral-armazem-atraso-ms");

/// The object `completude` of a metric's answer.
#[derive(Debug, Serialize)]
pub(crate) struct Figures<'a> {
    marca_dagua: Option<String>,
    lidas: u64,
    contadas: u64,
    duplicadas: u64,
    atrasadas: u64,
    recusadas: u64,
    puladas: u64,
    particoes_ociosas: &'a [PartitionId],
    /// What became of the look-ups of the topic's columns, by column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    consultas: BTreeMap<&'a str, LookupFigures>,
    /// Windows that start before this are missing: their events were deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    desde: Option<String>,
    /// Windows that start before this are those of an earlier version of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    versao_anterior_ate: Option<String>,
    /// Whether what the stream has not stored yet is in the answer.
    ao_vivo: &'static str,
}

/// What became of the look-ups of one column.
#[derive(Debug, Serialize)]
struct LookupFigures {
    /// Rows that came before this have null.
    #[serde(skip_serializing_if = "Option::is_none")]
    desde: Option<String>,
    nao_encontradas: u64,
    falhas: u64,
    desatualizadas: u64,
}

impl LookupFigures {
    fn of(lookup: &LookupCompleteness) -> Self {
        Self {
            desde: utc_ms_text(lookup.since_ms),
            nao_encontradas: lookup.unknown,
            falhas: lookup.failed,
            desatualizadas: lookup.stale,
        }
    }
}

impl<'a> Figures<'a> {
    pub(crate) fn of(metric: &'a MetricView) -> Self {
        let windows = PublishedWindows::of(&metric.published);
        let of_topic = Self::of_topic(&metric.completeness, windows.and_then(|windows| windows.since_ms));
        Self { versao_anterior_ate: utc_ms_text(windows.and_then(|windows| windows.earlier_until_ms)), ..of_topic }
    }

    /// Of a table that is whole for events since this time, or for all.
    pub(crate) fn of_topic(completeness: &'a Completeness, since_ms: Option<i64>) -> Self {
        Self {
            marca_dagua: utc_ms_text(completeness.watermark.map(Watermark::ms)),
            lidas: completeness.read,
            contadas: completeness.counted,
            duplicadas: completeness.duplicate,
            atrasadas: completeness.late,
            recusadas: completeness.refused,
            puladas: completeness.skipped,
            particoes_ociosas: &completeness.idle_partitions,
            consultas: completeness
                .lookups
                .iter()
                .map(|(name, lookup)| (name.as_str(), LookupFigures::of(lookup)))
                .collect(),
            desde: utc_ms_text(since_ms),
            versao_anterior_ate: None,
            ao_vivo: live_word(completeness.live),
        }
    }
}

/// The headers of an answer that is made of these topics and metrics: counts are summed, the
/// watermark is the smallest, and absent while one topic has none. With several topics an idle
/// partition carries its topic's name.
pub(crate) fn headers(point: &ReadPoint, needs: &Needs) -> HeaderMap {
    let view = &point.view;
    let found = needs.topics.iter().filter_map(|name| Some((name.as_str(), of_topic(view, needs, name)?)));
    let mut headers = of_topics(&point.principal, &found.collect::<Vec<_>>());
    match point.warehouse.from {
        Some(ReadFrom::Replica { lag_ms }) => {
            headers.insert(WAREHOUSE, HeaderValue::from_static("replica"));
            headers.extend(lag_ms.map(|lag_ms| (WAREHOUSE_LAG, HeaderValue::from(lag_ms))));
        }
        Some(ReadFrom::InsteadOfReplica) => {
            headers.insert(WAREHOUSE, HeaderValue::from_static("primario"));
        }
        Some(ReadFrom::Primary) | None => {}
    }
    headers
}

pub(crate) fn of_topics(principal: &Principal, found: &[(&str, &Completeness)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if found.is_empty() || !sees_completeness(principal) {
        return headers;
    }
    let watermarks: Option<Vec<Watermark>> = found.iter().map(|(_, completeness)| completeness.watermark).collect();
    let watermark = utc_ms_text(watermarks.and_then(|all| all.into_iter().min()).map(Watermark::ms));
    if let Some(value) = watermark.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(WATERMARK, value);
    }
    let sum =
        |count: fn(&Completeness) -> u64| -> u64 { found.iter().map(|(_, completeness)| count(completeness)).sum() };
    headers.insert(READ, sum(|completeness| completeness.read).into());
    headers.insert(COUNTED, sum(|completeness| completeness.counted).into());
    headers.insert(DUPLICATE, sum(|completeness| completeness.duplicate).into());
    headers.insert(LATE, sum(|completeness| completeness.late).into());
    headers.insert(REFUSED, sum(|completeness| completeness.refused).into());
    headers.insert(SKIPPED, sum(|completeness| completeness.skipped).into());
    let idle = found.iter().flat_map(|(name, completeness)| {
        let one = found.len() == 1;
        let text = move |partition| if one { format!("{partition}") } else { format!("{name}/{partition}") };
        completeness.idle_partitions.iter().map(text)
    });
    if let Ok(value) = HeaderValue::from_str(&idle.collect::<Vec<_>>().join(", ")) {
        headers.insert(IDLE_PARTITIONS, value);
    }
    // Of several topics, what holds for the worst of them.
    let worst = found.iter().map(|(_, completeness)| completeness.live).max_by_key(|live| match live {
        Live::Current => 0,
        Live::OtherVersion => 1,
        Live::Away { .. } => 2,
    });
    headers.insert(LIVE, HeaderValue::from_static(live_word(worst.unwrap_or_default())));
    headers
}

/// As answers have it.
fn live_word(live: Live) -> &'static str {
    match live {
        Live::Current => "atual",
        Live::Away { .. } => "ausente",
        Live::OtherVersion => "outra_versao",
    }
}

/// The same for one metric, whose JSON has them inside.
pub(crate) fn of_metric(principal: &Principal, metric: &MetricView) -> HeaderMap {
    of_topics(principal, &[(&metric.topic, &metric.completeness)])
}

fn utc_ms_text(ms: Option<i64>) -> Option<String> {
    utc_text(ms?.checked_mul(MICROS_PER_MS)?)
}

/// What every part of the answer holds at least: a topic's open windows may be older than its tail,
/// never newer.
fn of_topic<'a>(view: &'a View, needs: &Needs, topic: &str) -> Option<&'a Completeness> {
    let mut metrics = needs
        .names
        .iter()
        .filter_map(|(Name::Table(name) | Name::Newest(name) | Name::Information(name))| view.metrics.get(name));
    match metrics.find(|metric| metric.topic == topic) {
        Some(metric) => Some(&metric.completeness),
        None => Some(&view.topics.get(topic)?.completeness),
    }
}
