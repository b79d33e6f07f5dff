//! The history of a metric that was added or changed, computed from the archive alongside the
//! pipeline.
//!
//! The windows that were closed when the process started are computed with the metric's own plan,
//! some hours of event time at once, so that memory stays bounded by the busiest of them. Each step
//! is one commit that says how far it came: a backfill that is cut short goes on there. Later
//! windows stay open in the pipeline until the history is complete.
//!
//! Sessions are computed day by day, as no session is of two; of the last day those that were
//! closed, in the commit that ends the history.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use vitral_catalog::{DomainSettings, Metric};
use vitral_connect::RetryPolicy;
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::Bounds;
use vitral_store::{Archive, MetricTable};

use crate::archive_batches::ArchiveBatches;
use crate::error::StreamError;

/// Event time that is computed at once, and how many of the metric's longest windows: rows that two
/// steps need are read twice.
const STEP_MS: i64 = 6 * 3_600_000;
const STEP_WINDOWS: i64 = 4;
/// A store that failed is tried for as long as it takes.
const RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_secs(2), Duration::from_secs(10));
/// How soon a wish to stop is seen.
const STOP_SEEN: Duration = Duration::from_millis(100);

pub struct Backfill {
    pub metric: Metric,
    pub topic: Topic,
    pub settings: DomainSettings,
    pub archive: Archive,
    pub table: MetricTable,
    /// Windows whose end plus lateness is at or before this watermark are computed, as far as the
    /// table does not have them.
    pub through: Watermark,
    pub memory_bytes: usize,
}

/// Resolves once it is to stop.
pub(crate) async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(STOP_SEEN).await;
    }
}

impl Backfill {
    /// Runs to the end, alongside other work, through outages of the store: the table with its
    /// whole history, or none if it was stopped.
    pub async fn finish(mut self, stop: &AtomicBool) -> Result<Option<MetricTable>, StreamError> {
        let mut attempts = RETRIES.attempts();
        loop {
            // A store that is away may take minutes to say so.
            let outcome = tokio::select! {
                outcome = self.run(stop) => outcome,
                () = stopped(stop) => return Ok(None),
            };
            let error = match outcome {
                Ok(true) => return Ok(Some(self.table)),
                Ok(false) => return Ok(None),
                Err(error) if is_outage(&error) => error,
                Err(error) => return Err(error),
            };
            let Some(wait) = attempts.failed() else { return Err(error) };
            tracing::warn!(metric = self.metric.name, %error, source = ?error, "its history cannot be computed yet; trying again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(stop) => return Ok(None),
            }
        }
    }

    /// Computes what is missing; false if it was stopped.
    async fn run(&mut self, stop: &AtomicBool) -> Result<bool, StreamError> {
        let topic = self.topic.name.clone();
        let failed = |source| StreamError::Batch { topic: topic.clone(), action: "backfilled", source };
        let session = engine_session(EngineConfig { memory_bytes: self.memory_bytes }).map_err(failed)?;
        let plan = Arc::new(MetricPlan::new(&self.metric, &self.topic, &self.settings, &session)?);
        let windows = plan.windows;
        // No step goes beyond what is closed: the next start, at a later watermark, goes on where
        // this one ended.
        let first_open_ms =
            |watermark: Watermark| windows.first_open_ms(watermark.late_before(self.topic.lateness_ms).ms());
        let end_ms = first_open_ms(self.through);
        let published_until_ms = self.table.published_through_ms().map(Watermark::from_ms).map(first_open_ms);
        let done_ms = self.table.backfilled_until_ms().await?.max(published_until_ms);
        let published_through = self.table.published_through_ms().map(Watermark::from_ms);
        let newest_purged = self.archive.newest_purged().await?;
        let is_sessions = windows.window.session_gap_micros().is_some();
        let mut from_ms = self.table.begin_where_whole(&windows, newest_purged, done_ms).await?;
        loop {
            if stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            // Files that the stream has merged meanwhile are deleted eventually.
            self.archive.refresh().await?;
            let Some(oldest) = self.archive.oldest_counted(from_ms.map(EventTime::from_ms)).await? else { break };
            let first_ms = windows.first_open_ms(oldest.ms());
            let first_ms = from_ms.map_or(first_ms, |from_ms| first_ms.max(from_ms));
            if first_ms >= end_ms {
                break;
            }
            let (until_ms, needed_ms) = if is_sessions {
                (end_ms.min(windows.pane_end_ms(windows.pane_start_ms(first_ms * MICROS_PER_MS))), 0)
            } else {
                (end_ms.min(first_ms + STEP_MS.max(STEP_WINDOWS * windows.longest_ms())), windows.longest_ms())
            };
            let Some(panes) = self.fold(stop, &plan, &session, first_ms..until_ms + needed_ms).await? else {
                return Ok(false);
            };
            let rows = panes.rows_of(|bounds| {
                // Of the day of an earlier publication, sessions that it had are there.
                (first_ms..until_ms).contains(&bounds.start_ms)
                    && !(is_sessions && self.is_closed(bounds, published_through))
            })?;
            self.table.backfill(rows, until_ms).await?;
            from_ms = Some(until_ms);
        }
        let mut last = Vec::new();
        if is_sessions {
            let first_ms = end_ms.max(from_ms.unwrap_or(end_ms));
            let day = first_ms..windows.pane_end_ms(end_ms).max(first_ms);
            let Some(panes) = self.fold(stop, &plan, &session, day).await? else { return Ok(false) };
            last = panes.rows_of(|bounds| {
                self.is_closed(bounds, Some(self.through)) && !self.is_closed(bounds, published_through)
            })?;
        }
        self.table.publish(last, self.through.ms()).await?;
        Ok(true)
    }

    fn is_closed(&self, bounds: Bounds, through: Option<Watermark>) -> bool {
        through.is_some_and(|through| through.closes(bounds.end_ms, self.topic.lateness_ms))
    }

    /// The states of the archive's rows of this time, in milliseconds; none if it was stopped.
    async fn fold(
        &self,
        stop: &AtomicBool,
        plan: &Arc<MetricPlan>,
        session: &SessionContext,
        time_ms: Range<i64>,
    ) -> Result<Option<MetricPanes>, StreamError> {
        let topic = &self.topic;
        let failed = |source| StreamError::Batch { topic: topic.name.clone(), action: "backfilled", source };
        let mut panes = MetricPanes::new(Arc::clone(plan), &session.runtime_env().memory_pool, self.memory_bytes);
        let (since, until) = (EventTime::from_ms(time_ms.start), EventTime::from_ms(time_ms.end));
        let mut rows = ArchiveBatches::of(self.archive.counted(Some(since), Some(until)).await?);
        while let Some(batch) = rows.next().await.map_err(failed)? {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            for (partition, batch) in batch.by_partition(topic).map_err(failed)? {
                let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
                panes.fold(partition, &batch, &pane_column(&plan.windows, times))?;
            }
        }
        Ok(Some(panes))
    }
}

/// Whether the store failed, rather than what is computed from its rows.
fn is_outage(error: &StreamError) -> bool {
    match error {
        StreamError::Store(error) => !error.is_final(),
        StreamError::Batch { source, .. } => matches!(
            source.find_root(),
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::External(_)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use vitral_catalog::Catalog;
    use vitral_schemas::position::PartitionId;
    use vitral_store::{Layout, Location};

    use super::*;

    /// The first wait of [`RETRIES`] is longer than both limits together.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_outage_is_tried_again_until_it_is_to_stop_and_then_left_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        let settings = DomainSettings::default();
        let catalog = Catalog::load(&[], &settings).expect("the built-in catalog");
        let topic = catalog.topics[0].clone();
        let metric = catalog.metrics_of(&topic.name).next().expect("a metric").clone();
        let session = engine_session(EngineConfig::default()).expect("a session");
        let plan = MetricPlan::new(&metric, &topic, &settings, &session).expect("planned");
        let version = metric.version(&settings, topic.lateness_ms);
        let metrics = Layout::of(&store).metrics();
        let table = MetricTable::open(&metric.name, &version, Arc::clone(plan.rows_schema()), &metrics);
        let table = table.await.expect("opened");
        let archive = Archive::open(&topic, "log", [PartitionId(0)], &store).await.expect("opened");
        // A file in its folder's place keeps the archive from being read.
        let folder = dir.path().join("archive").join(&topic.name);
        std::fs::rename(&folder, dir.path().join("aside")).expect("moved aside");
        std::fs::write(&folder, b"").expect("a file");

        let backfill =
            Backfill { metric, topic, settings, archive, table, through: Watermark::from_ms(0), memory_bytes: 1 << 30 };
        let stop = AtomicBool::new(false);
        let mut finish = pin!(backfill.finish(&stop));
        let gave_up = tokio::time::timeout(Duration::from_millis(500), &mut finish).await;
        assert!(gave_up.is_err(), "an outage is waited for: {gave_up:?}");
        stop.store(true, Ordering::SeqCst);
        let stopped = tokio::time::timeout(Duration::from_millis(1_000), finish).await.expect("an end at once");
        assert!(stopped.expect("no failure").is_none(), "a history that is not whole");
    }
}
