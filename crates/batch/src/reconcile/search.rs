//! Where, from some time on, there may be something to compare.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::catalog::TableProvider;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, ident, lit};
use vitral_catalog::{Catalog, DomainSettings, Metric, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_schemas::window::Windows;
use vitral_store::{Location, read_session};

use super::{Subject, instant};
use crate::engine::Engine;
use crate::error::BatchError;
use crate::parallelism::PARALLELISM;

/// Where, at or after this time, any of the metrics may have something to compare.
pub async fn first_ms(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    from_ms: i64,
) -> Result<Option<i64>, BatchError> {
    let mut first = None;
    for topic in &catalog.topics {
        let metrics: Vec<&Metric> = catalog.metrics_of(&topic.name).collect();
        let subject = Subject { topic, settings, store, engine: &Engine::Local, bucket: None, is_frequent: false };
        first = first.into_iter().chain(subject.next_ms(&metrics, from_ms).await?).min();
    }
    Ok(first)
}

/// Where, at or after this time, something may be there to compare: an event's first window, or a
/// published one.
pub(crate) async fn next_ms(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    from_ms: i64,
) -> Result<Option<i64>, BatchError> {
    Subject { topic, settings, store, engine: &Engine::Local, bucket: None, is_frequent: false }
        .next_ms(&[metric], from_ms)
        .await
}

impl Subject<'_> {
    /// The same for several metrics of the topic.
    pub(super) async fn next_ms(&self, metrics: &[&Metric], from_ms: i64) -> Result<Option<i64>, BatchError> {
        if metrics.is_empty() {
            return Ok(None);
        }
        let here = Subject { engine: &Engine::Local, ..*self };
        let stored = here.stored(metrics).await?;
        let newest_purged = stored.archive.as_ref().and_then(|archive| archive.newest_purged());
        let whole_from_ms = newest_purged.map(|newest| newest.ms() + 1);
        let from_ms = whole_from_ms.unwrap_or(from_ms).max(from_ms);
        let from = || lit(instant(from_ms * MICROS_PER_MS));
        let gaps = metrics.iter().map(|metric| metric.window.session_gap_micros().unwrap_or_default());
        let gap_micros = gaps.max().unwrap_or_default();
        let time = self.topic.columns[self.topic.event_time].name.as_str();
        let since = async |micros: i64| {
            let Some(archive) = &stored.archive else { return Ok(None) };
            let is_counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
            let wanted = is_counted.and(ident(time).gt_eq(lit(instant(micros))));
            oldest(&self.topic.name, archive.provider().await?, time, wanted).await
        };
        let event_ms = since(from_ms * MICROS_PER_MS).await?;
        // A session whose last event is before that ends a gap after it.
        let session_ms = match gap_micros {
            0 => event_ms,
            gap => since(from_ms * MICROS_PER_MS - gap).await?,
        };
        let mut first = None;
        for (metric, table) in metrics.iter().zip(&stored.tables) {
            let windows = Windows::new(metric.window, self.settings.time_zone);
            let first_window_ms = match metric.window.session_gap_micros() {
                None => event_ms.map(|event_ms| windows.first_open_ms(event_ms)),
                Some(_) => session_ms.map(|event_ms| event_ms.max(from_ms)),
            };
            let published_ms = match table {
                Some((table, _)) => {
                    let table = Arc::clone(table);
                    // Sessions are looked for where they end, which is after where the search goes
                    // on.
                    let (column, before_ms) = match metric.window.session_gap_micros() {
                        None => (WINDOW_START_COLUMN, 0),
                        Some(_) => (WINDOW_END_COLUMN, 1),
                    };
                    let wanted = ident(column).gt_eq(from());
                    oldest(&metric.name, table, column, wanted).await?.map(|ms| (ms - before_ms).max(from_ms))
                }
                None => None,
            };
            first = first.into_iter().chain(first_window_ms).chain(published_ms).min();
        }
        Ok(first)
    }
}

/// The earliest time in a column of the rows that `wanted` names, in milliseconds.
async fn oldest(
    name: &str,
    table: Arc<dyn TableProvider>,
    column: &str,
    wanted: Expr,
) -> Result<Option<i64>, BatchError> {
    let run = async {
        let frame = read_session(PARALLELISM).read_table(table)?.filter(wanted)?;
        frame.aggregate(vec![], vec![min(ident(column)).alias("oldest")])?.collect().await
    };
    let batches = run.await.map_err(BatchError::engine(name, "searched"))?;
    let first = |batch: &RecordBatch| {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        arrow::compute::min(times).map(|micros| micros.div_euclid(MICROS_PER_MS))
    };
    Ok(batches.iter().find_map(first))
}
