//! What a restart rebuilds from the archive: the open panes, the known event ids, and how far each partition had come.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use futures::StreamExt;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_store::Archive;

use crate::error::StreamError;
use crate::judge::Judge;
use crate::panes_of_topic::PanesOfTopic;

/// Folds every counted row that an unpublished window needs, and remembers every id that can still count; the number of rows, or
/// none if it was stopped before the end.
pub async fn recover(
    stop: &AtomicBool,
    topic: &Topic,
    archive: &Archive,
    panes: &mut PanesOfTopic,
    judge: &mut Judge,
    watermarks: &mut Watermarks,
) -> Result<Option<u64>, StreamError> {
    for (partition, newest_micros) in archive.newest_events().await? {
        watermarks.observe_event(partition, newest_micros.div_euclid(MICROS_PER_MS));
    }
    let failed = |source: DataFusionError| StreamError::Batch { topic: topic.name.clone(), action: "rebuilt", source };
    let ids_since_ms = archive.effective_ms().map(|effective_ms| effective_ms - topic.lateness_ms);
    let needed: Vec<Option<i64>> = (0..panes.metrics.len()).map(|index| panes.needed_since_ms(index)).collect();
    // None, "all of it", is the smallest.
    let since_ms = needed.iter().copied().chain([ids_since_ms]).min().flatten();
    let mut rows = archive.counted_since(since_ms.map(|since_ms| since_ms * MICROS_PER_MS)).await?;
    let mut folded = 0;
    while let Some(batch) = rows.next().await {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let batch = batch.map_err(failed)?;
        folded += batch.num_rows() as u64;
        for (partition, batch) in by_partition(topic, &batch).map_err(failed)? {
            remember_ids(topic, judge, partition, &batch, ids_since_ms);
            // Metrics that need the same rows are folded together.
            let mut wants: Vec<Option<i64>> = needed.clone();
            wants.sort_unstable();
            wants.dedup();
            for since_ms in wants {
                let rows = newer(topic, &batch, since_ms).map_err(failed)?;
                panes.fold(partition, &rows, |index| needed[index] == since_ms)?;
            }
        }
    }
    // Windows that are published already have taken rows of panes that they share with open ones.
    for index in 0..panes.metrics.len() {
        if let Some(through_ms) = panes.metrics[index].published_through_ms {
            panes.published(index, through_ms)?;
        }
    }
    Ok(Some(folded))
}

/// The batch's rows for each partition, in the topic's schema. The order within a partition does not matter here.
fn by_partition(topic: &Topic, batch: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>, DataFusionError> {
    let partitions = batch.column(0).as_primitive::<Int32Type>();
    let columns: Result<Vec<_>, _> = batch
        .columns()
        .iter()
        .skip(1)
        .zip(topic.schema().fields())
        .map(|(column, field)| compute::cast(column, field.data_type()))
        .collect();
    let rows = RecordBatch::try_new(topic.schema(), columns?)?;
    let mut distinct: Vec<i32> = partitions.values().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if let [only] = distinct.as_slice() {
        return Ok(vec![(*only, rows)]);
    }
    distinct
        .into_iter()
        .map(|wanted| {
            let mask: BooleanArray = partitions.values().iter().map(|partition| Some(*partition == wanted)).collect();
            Ok((wanted, compute::filter_record_batch(&rows, &mask)?))
        })
        .collect()
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
    for (id, time) in batch.column(index).as_string::<i32>().iter().zip(times.values()) {
        if let Some(id) = id.filter(|_| *time >= since_micros) {
            judge.remember(partition, id, *time);
        }
    }
}
