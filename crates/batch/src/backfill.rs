//! The history of a metric that no stream has begun with, computed before the stream that declares
//! it starts.
//!
//! A stream can compute such a history itself, alongside its work. Here the engine of choice does
//! it, with the SQL of reconciliation, and the stream continues where this ended. Once a stream has
//! begun with the metric, its history is left to that stream.

use std::sync::Arc;

use vitral_catalog::{DomainSettings, Metric};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::Windows;
use vitral_store::{Archive, Layout, Location, MetricTable};

use crate::engine::Engine;
use crate::error::BatchError;
use crate::reconcile::{WindowRange, next_ms, recompute_one};

/// Event time that is computed at once, and how many of the metric's longest windows: rows that two
/// steps need are read twice.
const STEP_MS: i64 = 24 * 3_600_000;
const STEP_WINDOWS: i64 = 4;
/// Before any event.
const LONG_AGO_MS: i64 = -(1 << 48);

/// What became of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backfilled {
    /// A stream has begun with it, and computes its history itself.
    LeftToItsStream,
    /// There is nothing yet to compute it from.
    NoEvents,
    /// Its history is there.
    Until {
        /// Windows that start before this are there, in milliseconds since the Unix epoch.
        until_ms: i64,
        /// How many rows were added.
        rows: usize,
    },
}

/// Computes the windows of `metric` that the archive's M has closed, as far as its table does not
/// have them.
pub async fn backfill(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
) -> Result<Backfilled, BatchError> {
    let archive = Archive::read(topic, store)
        .await?
        .ok_or_else(|| BatchError::NoArchive { topic: topic.name.clone(), folder: store.to_string() })?;
    let Some(watermark) = archive.watermark().await? else { return Ok(Backfilled::NoEvents) };
    let session = engine_session(EngineConfig::default()).map_err(BatchError::engine(&metric.name, "planned"))?;
    let plan = MetricPlan::new(metric, topic, settings, &session)?;
    let version = metric.version(settings, topic.lateness_ms);
    let location = Layout::of(store).metrics();
    // After M was asked for: a stream that begins from now on has an M that is not before it, and
    // so nothing here is beyond what the stream takes for history.
    if MetricTable::is_defined(&metric.name, &version, &location).await? {
        return Ok(Backfilled::LeftToItsStream);
    }
    let mut table = MetricTable::open(&metric.name, &version, Arc::clone(plan.rows_schema()), &location).await?;
    let windows = Windows::new(metric.window, settings.time_zone);
    let end_ms = windows.first_open_ms(watermark.late_before(topic.lateness_ms).ms());
    let done_ms = table.backfilled_until_ms().await?;
    let done_ms = table.begin_where_whole(&windows, archive.newest_purged(), done_ms).await?;
    let next = async |from_ms: i64| next_ms(metric, topic, settings, store, from_ms).await;
    let mut from_ms = done_ms;
    let mut first_ms = next(done_ms.unwrap_or(LONG_AGO_MS)).await?;
    let mut rows = 0;
    while let Some(start_ms) = first_ms.max(from_ms).filter(|start_ms| first_ms.is_some() && *start_ms < end_ms) {
        // Windows start where panes do: one that begins in the middle of a month would not.
        let step_ms = STEP_MS.max(STEP_WINDOWS * windows.longest_ms());
        let until_ms = end_ms.min(windows.first_open_ms(start_ms + step_ms));
        let range = WindowRange::of_ms(start_ms, until_ms);
        let computed = recompute_one(metric, topic, settings, store, engine, range).await?;
        let is_empty = computed.num_rows() == 0;
        rows += computed.num_rows();
        table.backfill(vec![computed], until_ms).await?;
        tracing::info!(metric = metric.name, until = %shown(until_ms), rows, "computed");
        from_ms = Some(until_ms);
        // Years without events are skipped at once.
        first_ms = if is_empty { next(until_ms).await? } else { from_ms };
    }
    Ok(from_ms.map_or(Backfilled::NoEvents, |until_ms| Backfilled::Until { until_ms, rows }))
}

fn shown(ms: i64) -> String {
    chrono::DateTime::from_timestamp_micros(ms * MICROS_PER_MS).map_or_else(|| ms.to_string(), |time| time.to_rfc3339())
}
