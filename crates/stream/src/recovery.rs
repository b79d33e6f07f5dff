//! What a restart brings back: the open panes, the known event ids, and how far each partition had come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, Counts, Snapshots};

use crate::error::StreamError;
use crate::judge::Judge;
use crate::large_batches::{LargeBatches, by_partition};
use crate::panes_of_topic::PanesOfTopic;
use crate::snapshot::{self, Loaded};

/// What a restart has found.
pub struct Recovered {
    /// Of all rows of the archive.
    pub counts: Counts,
    /// Rows of the archive that were folded.
    pub rows: u64,
    pub snapshot: Option<Loaded>,
}

/// Brings panes, ids and watermarks to where the archive stands, from a snapshot and the rows behind it, or from the archive alone;
/// none if it was stopped before the end.
pub async fn recover(
    stop: &AtomicBool,
    topic: &Topic,
    archive: &Archive,
    snapshots: &Snapshots,
    panes: &mut PanesOfTopic,
    judge: &mut Judge,
    watermarks: &mut Watermarks,
) -> Result<Option<Recovered>, StreamError> {
    let snapshot = snapshot::load(snapshots, topic, archive, panes, judge, watermarks).await;
    let mut recovery = Recovery { stop, topic, archive, panes, judge, watermarks, rows: 0 };
    let counts = match &snapshot {
        Some(loaded) => {
            let Some(behind) = recovery.fold_behind(loaded).await? else { return Ok(None) };
            let missing: Vec<usize> = (0..loaded.restored.len()).filter(|index| !loaded.restored[*index]).collect();
            if !recovery.rebuild(&missing, false).await? {
                return Ok(None);
            }
            behind
        }
        None => {
            for (partition, newest_micros) in archive.newest_events().await? {
                recovery.watermarks.observe_event(partition, newest_micros.div_euclid(MICROS_PER_MS));
            }
            let all: Vec<usize> = (0..recovery.panes.metrics.len()).collect();
            if !recovery.rebuild(&all, true).await? {
                return Ok(None);
            }
            archive.counts().await?
        }
    };
    let rows = recovery.rows;
    // Windows that are published already have taken rows of panes that they share with open ones.
    for index in 0..panes.metrics.len() {
        panes.evict_settled(index);
    }
    Ok(Some(Recovered { counts, rows, snapshot }))
}

struct Recovery<'a> {
    stop: &'a AtomicBool,
    topic: &'a Topic,
    archive: &'a Archive,
    panes: &'a mut PanesOfTopic,
    judge: &'a mut Judge,
    watermarks: &'a mut Watermarks,
    rows: u64,
}

impl Recovery<'_> {
    /// Folds the rows that the snapshot does not hold; the counts with them, or none if it was stopped.
    async fn fold_behind(&mut self, loaded: &Loaded) -> Result<Option<Counts>, StreamError> {
        let topic = self.topic;
        let failed = |source| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let mut counts = loaded.counts;
        let mut rows = LargeBatches::of(self.archive.rows_behind(&loaded.offsets).await?);
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
                    self.watermarks.observe_event(partition, newest_micros.div_euclid(MICROS_PER_MS));
                }
            }
            let counted = compute::filter_record_batch(&rows, &is_counted).map_err(|source| failed(source.into()))?;
            self.rows += counted.num_rows() as u64;
            let parts = by_partition(topic, counted).map_err(failed)?;
            self.fold(&parts, Some(None), |index| loaded.restored[index].then_some(parts.as_slice()));
        }
        Ok(Some(counts))
    }

    /// Folds every counted row that an unpublished window of these metrics needs, and, if so wanted, remembers every id that can
    /// still come again. False if it was stopped.
    async fn rebuild(&mut self, metrics: &[usize], ids: bool) -> Result<bool, StreamError> {
        if metrics.is_empty() && !ids {
            return Ok(true);
        }
        let topic = self.topic;
        let failed =
            |source: DataFusionError| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
        let ids_since_ms = self.archive.effective_ms().map(|effective_ms| effective_ms - topic.lateness_ms);
        let needed: BTreeMap<usize, Option<i64>> =
            metrics.iter().map(|index| (*index, self.panes.needed_since_ms(*index))).collect();
        // None, "all of it", is the smallest.
        let since_ms = needed.values().copied().chain(ids.then_some(ids_since_ms)).min().flatten();
        // Metrics that need the same rows are folded together.
        let wants: BTreeSet<Option<i64>> = needed.values().copied().collect();
        let since_micros = since_ms.map(|since_ms| since_ms * MICROS_PER_MS);
        let mut rows = LargeBatches::of(self.archive.counted(since_micros, None).await?);
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
            let rows_of = |index: usize| needed.get(&index).and_then(|since_ms| wanted.get(since_ms));
            self.fold(&parts, ids.then_some(ids_since_ms), |index| rows_of(index).map(Vec::as_slice));
        }
        Ok(true)
    }

    /// Folds what `rows_of` names for each metric and, beside that, remembers the ids of `parts` since that time, if so wanted.
    fn fold<'a>(
        &mut self,
        parts: &[(i32, RecordBatch)],
        ids_since_ms: Option<Option<i64>>,
        rows_of: impl Fn(usize) -> Option<&'a [(i32, RecordBatch)]> + Send + Sync,
    ) {
        let Self { topic, panes, judge, .. } = self;
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
