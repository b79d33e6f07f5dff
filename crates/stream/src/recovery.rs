//! What a restart brings back: the open panes, the known event ids, and how far each partition had come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, Counts, Snapshots};

use crate::archive_batches::{ArchiveBatches, by_partition};
use crate::error::StreamError;
use crate::judge::Judge;
use crate::snapshot::{self, Loaded};
use crate::topic_state::TopicState;

/// What a restart has found.
pub struct Recovered {
    /// Rows of the archive that were folded.
    pub rows: u64,
    pub snapshot: Option<Loaded>,
}

/// Brings the state, which is empty, to where the archive stands, from a snapshot and the rows behind it, or from the archive alone; none
/// if it was stopped before the end.
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
            for (partition, newest_micros) in archive.newest_events().await? {
                recovery.state.watermarks.observe_event(partition, newest_micros.div_euclid(MICROS_PER_MS));
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

    /// Folds the rows that the snapshot does not hold; the counts with them, or none if it was stopped.
    async fn fold_behind(&mut self, loaded: &Loaded) -> Result<Option<Counts>, StreamError> {
        let topic = self.topic;
        let failed = |source| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let mut counts = loaded.counts;
        let mut rows = ArchiveBatches::of(self.archive.rows_behind(&loaded.offsets).await?);
        while let Some(batch) = rows.next().await.map_err(failed)? {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let verdicts = batch.column(1).as_string::<i32>();
            for verdict in verdicts.iter().flatten().filter_map(Verdict::from_name) {
                counts.add(verdict, 1);
            }
            let is_counted: BooleanArray =
                verdicts.iter().map(|verdict| Some(verdict == Some(Verdict::Counted.name()))).collect();
            let columns: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != 1).collect();
            let rows = batch.project(&columns).map_err(|source| failed(source.into()))?;
            for (partition, rows) in by_partition(topic, rows.clone()).map_err(failed)? {
                // Rows that did not count have moved the watermark too.
                if let Some(newest_micros) = newest(topic, &rows) {
                    self.state.watermarks.observe_event(partition, newest_micros.div_euclid(MICROS_PER_MS));
                }
            }
            let counted = compute::filter_record_batch(&rows, &is_counted).map_err(|source| failed(source.into()))?;
            self.rows += counted.num_rows() as u64;
            let parts = by_partition(topic, counted).map_err(failed)?;
            self.fold(&parts, Some(None), |id| loaded.restored.contains(id).then_some(parts.as_slice()));
        }
        Ok(Some(counts))
    }

    /// Folds every counted row that an unpublished window of these metrics needs, and, if so wanted, remembers every id that can
    /// still come again. False if it was stopped.
    async fn rebuild(&mut self, metrics: &[MetricVersionId], ids: bool) -> Result<bool, StreamError> {
        if metrics.is_empty() && !ids {
            return Ok(true);
        }
        let topic = self.topic;
        let failed =
            |source: DataFusionError| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let ids_since_ms = self.archive.effective_ms().map(|effective_ms| effective_ms - topic.lateness_ms);
        let panes = &self.state.panes;
        let needed_since_ms = |id| Some((id, panes.needed_since_ms(panes.get(id)?)));
        let needed: BTreeMap<&MetricVersionId, Option<i64>> = metrics.iter().filter_map(needed_since_ms).collect();
        // None, "all of it", is the smallest.
        let since_ms = needed.values().copied().chain(ids.then_some(ids_since_ms)).min().flatten();
        // Metrics that need the same rows are folded together.
        let wants: BTreeSet<Option<i64>> = needed.values().copied().collect();
        let since_micros = since_ms.map(|since_ms| since_ms * MICROS_PER_MS);
        let mut rows = ArchiveBatches::of(self.archive.counted(since_micros, None).await?);
        while let Some(batch) = rows.next().await.map_err(failed)? {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            self.rows += batch.num_rows() as u64;
            let parts = by_partition(topic, batch).map_err(failed)?;
            let mut wanted = BTreeMap::<Option<i64>, Parts>::new();
            for since_ms in &wants {
                for (partition, rows) in &parts {
                    let newer = newer(topic, rows, *since_ms).map_err(failed)?;
                    wanted.entry(*since_ms).or_default().push((*partition, newer));
                }
            }
            let rows_of = |id: &MetricVersionId| needed.get(id).and_then(|since_ms| wanted.get(since_ms));
            self.fold(&parts, ids.then_some(ids_since_ms), |id| rows_of(id).map(Vec::as_slice));
        }
        Ok(true)
    }

    /// Folds what `rows_of` names for each metric and, at the same time, remembers the ids of `parts` since that time, if so wanted.
    fn fold<'a>(
        &mut self,
        parts: &[(i32, RecordBatch)],
        ids_since_ms: Option<Option<i64>>,
        rows_of: impl Fn(&MetricVersionId) -> Option<&'a [(i32, RecordBatch)]> + Send + Sync,
    ) {
        let Self { topic, state, .. } = self;
        let TopicState { panes, judge, .. } = &mut **state;
        let remember = || {
            let Some(since_ms) = ids_since_ms else { return };
            for (partition, rows) in parts {
                remember_ids(topic, judge, *partition, rows, since_ms);
            }
        };
        rayon::join(|| panes.fold_large(rows_of), remember);
    }
}

/// Rows by partition.
type Parts = Vec<(i32, RecordBatch)>;

fn newest(topic: &Topic, rows: &RecordBatch) -> Option<i64> {
    compute::max(rows.column(topic.event_time).as_primitive::<TimestampMicrosecondType>())
}

fn newer(topic: &Topic, batch: &RecordBatch, since_ms: Option<i64>) -> Result<RecordBatch, DataFusionError> {
    let Some(since_ms) = since_ms else { return Ok(batch.clone()) };
    let since_micros = since_ms * MICROS_PER_MS;
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    if times.values().iter().all(|time| *time >= since_micros) {
        return Ok(batch.clone());
    }
    let mask: BooleanArray = times.values().iter().map(|time| Some(*time >= since_micros)).collect();
    Ok(compute::filter_record_batch(batch, &mask)?)
}

fn remember_ids(topic: &Topic, judge: &mut Judge, partition: i32, batch: &RecordBatch, since_ms: Option<i64>) {
    let Some(index) = topic.event_id else { return };
    let since_micros = since_ms.map_or(i64::MIN, |since_ms| since_ms * MICROS_PER_MS);
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let ids = batch.column(index).as_string::<i32>().iter().zip(times.values());
    let open = ids.filter_map(|(id, time)| id.filter(|_| *time >= since_micros).zip(Some(*time)));
    judge.remember(partition, open);
}
