//! What a restart brings back: the open panes, the known event ids, and how far each partition had
//! come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, Counts, Snapshots};

use crate::archive_batches::ArchiveBatches;
use crate::classify::Classifier;
use crate::error::StreamError;
use crate::snapshot::{self, Loaded};
use crate::topic_state::TopicState;

/// What a restart has found.
pub struct Recovered {
    /// Rows of the archive that were folded.
    pub rows: u64,
    pub snapshot: Option<Loaded>,
}

/// Brings the state, which is empty, to where the archive stands, from a snapshot and the rows
/// behind it, or from the archive alone; none if it was stopped before the end.
pub async fn recover(
    stop: &AtomicBool,
    topic: &Topic,
    archive: &Archive,
    snapshots: &Snapshots,
    state: &mut TopicState,
) -> Result<Option<Recovered>, StreamError> {
    let snapshot = snapshot::load(snapshots, topic, archive, state).await;
    let mut recovery = Recovery { stop, topic, archive, state, rows: 0 };
    match &snapshot {
        Some(loaded) => {
            let Some(counts) = recovery.fold_behind(loaded).await? else { return Ok(None) };
            let missing = recovery.ids(|id| !loaded.restored.contains(id));
            if !recovery.rebuild(&missing, false).await? {
                return Ok(None);
            }
            recovery.state.counts = counts;
        }
        None => {
            for (partition, newest) in archive.newest_events().await? {
                recovery.state.watermarks.observe_event(partition, newest);
            }
            let all = recovery.ids(|_| true);
            if !recovery.rebuild(&all, true).await? {
                return Ok(None);
            }
            recovery.state.counts = archive.counts().await?;
        }
    }
    let rows = recovery.rows;
    // Windows that are published already have taken rows of panes that they share with open ones.
    state.panes.evict_settled();
    Ok(Some(Recovered { rows, snapshot }))
}

struct Recovery<'a> {
    stop: &'a AtomicBool,
    topic: &'a Topic,
    archive: &'a Archive,
    state: &'a mut TopicState,
    rows: u64,
}

impl Recovery<'_> {
    fn ids(&self, wanted: impl Fn(&MetricVersionId) -> bool) -> Vec<MetricVersionId> {
        let ids = self.state.panes.metrics().iter().map(|metric| &metric.id);
        ids.filter(|id| wanted(id)).cloned().collect()
    }

    /// Folds the rows that the snapshot does not hold; the counts with them, or none if it was
    /// stopped.
    async fn fold_behind(&mut self, loaded: &Loaded) -> Result<Option<Counts>, StreamError> {
        let topic = self.topic;
        let failed = |source| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let mut counts = loaded.counts;
        let mut rows = ArchiveBatches::of(self.archive.rows_behind(&loaded.offsets).await?);
        while let Some(batch) = rows.next().await.map_err(failed)? {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let verdicts: Vec<Option<Verdict>> = batch.verdicts().map_err(failed)?.collect();
            verdicts.iter().flatten().for_each(|verdict| counts.add(*verdict, 1));
            let is_counted: BooleanArray =
                verdicts.iter().map(|verdict| Some(*verdict == Some(Verdict::Counted))).collect();
            let counted = batch.filter(&is_counted).map_err(failed)?;
            for (partition, rows) in batch.by_partition(topic).map_err(failed)? {
                // Rows that did not count have moved the watermark too.
                if let Some(newest) = newest(topic, &rows) {
                    self.state.watermarks.observe_event(partition, newest);
                }
            }
            self.rows += counted.len() as u64;
            let parts = counted.by_partition(topic).map_err(failed)?;
            self.fold(&parts, Some(None), |id| loaded.restored.contains(id).then_some(parts.as_slice()));
        }
        Ok(Some(counts))
    }

    /// Folds every counted row that an unpublished window of these metrics needs, and, if so
    /// wanted, remembers every id that can still come again. False if it was stopped.
    async fn rebuild(&mut self, metrics: &[MetricVersionId], ids: bool) -> Result<bool, StreamError> {
        if metrics.is_empty() && !ids {
            return Ok(true);
        }
        let topic = self.topic;
        let failed =
            |source: DataFusionError| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let ids_since = self.archive.watermark().map(|watermark| watermark.late_before(topic.lateness_ms));
        let panes = &self.state.panes;
        let needed_since = |id| Some((id, panes.needed_since(panes.get(id)?)));
        let needed: BTreeMap<&MetricVersionId, Option<EventTime>> = metrics.iter().filter_map(needed_since).collect();
        // None, "all of it", is the smallest.
        let since = needed.values().copied().chain(ids.then_some(ids_since)).min().flatten();
        // Metrics that need the same rows are folded together.
        let wants: BTreeSet<Option<EventTime>> = needed.values().copied().collect();
        let mut rows = ArchiveBatches::of(self.archive.counted(since, None).await?);
        while let Some(batch) = rows.next().await.map_err(failed)? {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            self.rows += batch.len() as u64;
            let parts = batch.by_partition(topic).map_err(failed)?;
            let mut wanted = BTreeMap::<Option<EventTime>, Parts>::new();
            for since in &wants {
                for (partition, rows) in &parts {
                    let newer = newer(topic, rows, *since).map_err(failed)?;
                    wanted.entry(*since).or_default().push((*partition, newer));
                }
            }
            let rows_of = |id: &MetricVersionId| needed.get(id).and_then(|since| wanted.get(since));
            self.fold(&parts, ids.then_some(ids_since), |id| rows_of(id).map(Vec::as_slice));
        }
        Ok(true)
    }

    /// Folds what `rows_of` names for each metric and, at the same time, remembers the ids of
    /// `parts` since that time, if so wanted.
    fn fold<'a>(
        &mut self,
        parts: &[(PartitionId, RecordBatch)],
        ids_since: Option<Option<EventTime>>,
        rows_of: impl Fn(&MetricVersionId) -> Option<&'a [(PartitionId, RecordBatch)]> + Send + Sync,
    ) {
        let Self { topic, state, .. } = self;
        let TopicState { panes, classifier, .. } = &mut **state;
        let remember = || {
            let Some(since) = ids_since else { return };
            for (partition, rows) in parts {
                remember_ids(topic, classifier, *partition, rows, since);
            }
        };
        rayon::join(|| panes.fold_large(rows_of), remember);
    }
}

/// Rows by partition.
type Parts = Vec<(PartitionId, RecordBatch)>;

fn newest(topic: &Topic, rows: &RecordBatch) -> Option<EventTime> {
    compute::max(rows.column(topic.event_time).as_primitive::<TimestampMicrosecondType>()).map(EventTime::from_micros)
}

fn newer(topic: &Topic, batch: &RecordBatch, since: Option<EventTime>) -> Result<RecordBatch, DataFusionError> {
    let Some(since_micros) = since.map(EventTime::micros) else { return Ok(batch.clone()) };
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    if times.values().iter().all(|time| *time >= since_micros) {
        return Ok(batch.clone());
    }
    let mask: BooleanArray = times.values().iter().map(|time| Some(*time >= since_micros)).collect();
    Ok(compute::filter_record_batch(batch, &mask)?)
}

fn remember_ids(
    topic: &Topic,
    classifier: &mut Classifier,
    partition: PartitionId,
    batch: &RecordBatch,
    since: Option<EventTime>,
) {
    let Some(index) = topic.event_id else { return };
    let since_micros = since.unwrap_or(EventTime::MIN).micros();
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let ids = batch.column(index).as_string::<i32>().iter().zip(times.values());
    let open = ids.filter_map(|(id, time)| id.filter(|_| *time >= since_micros).zip(Some(*time)));
    classifier.remember(partition, open);
}
