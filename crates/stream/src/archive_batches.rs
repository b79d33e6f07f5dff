//! The archive's rows in large batches, read while the ones before are folded.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::Int32Type;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vitral_schemas::topic::Topic;

/// Rows that are folded together: a state is merged with others the fewer times the more rows it is made of.
const ROWS_AT_ONCE: usize = 512 * 1024;

pub(crate) struct ArchiveBatches {
    read: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    reader: Option<JoinHandle<()>>,
}

impl ArchiveBatches {
    /// Begins to read, one batch ahead and no more: a batch may be a hundred megabytes. Within a runtime.
    pub(crate) fn of(mut rows: SendableRecordBatchStream) -> Self {
        let (sender, read) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            // An error: the caller was stopped.
            while let Ok(place) = sender.reserve().await {
                let Some(batch) = next(&mut rows).await.transpose() else { return };
                place.send(batch);
            }
        });
        Self { read, reader: Some(reader) }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        let batch = self.read.recv().await.transpose()?;
        // The end counts only if the reader came to it.
        if batch.is_none()
            && let Some(reader) = self.reader.take()
        {
            reader.await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        Ok(batch)
    }
}

/// The stream's next batches as one.
async fn next(rows: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>, DataFusionError> {
    let mut batches = Vec::new();
    let mut count = 0;
    while count < ROWS_AT_ONCE {
        let Some(batch) = rows.next().await else { break };
        let batch = batch?;
        count += batch.num_rows();
        batches.push(batch);
    }
    match batches.first() {
        None => Ok(None),
        Some(first) => Ok(Some(compute::concat_batches(&first.schema(), &batches)?)),
    }
}

/// The batch's rows for each partition, in the topic's schema. The order within a partition does not matter here. The batch is let go, so
/// that it is not there twice while its rows are folded.
pub(crate) fn by_partition(topic: &Topic, batch: RecordBatch) -> Result<Vec<(i32, RecordBatch)>, DataFusionError> {
    let partitions = batch.column(0).as_primitive::<Int32Type>().clone();
    let columns: Result<Vec<_>, _> = batch
        .columns()
        .iter()
        .skip(1)
        .zip(topic.schema().fields())
        .map(|(column, field)| compute::cast(column, field.data_type()))
        .collect();
    let rows = RecordBatch::try_new(topic.schema(), columns?)?;
    drop(batch);
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
