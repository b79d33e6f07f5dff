//! The archive's rows in large batches, read while the ones before are folded.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch};
use arrow::compute;
use datafusion::common::exec_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

/// Rows that are folded together: a state is merged with others the fewer times the more rows it is
/// made of.
const ROWS_AT_ONCE: usize = 512 * 1024;

pub(crate) struct ArchiveBatches {
    read: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    reader: Option<JoinHandle<()>>,
}

impl ArchiveBatches {
    /// Begins to read, one batch ahead and no more: a batch may be a hundred megabytes. Within a
    /// runtime.
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

    pub(crate) async fn next(&mut self) -> Result<Option<ArchivedRows>, DataFusionError> {
        let batch = self.read.recv().await.transpose()?;
        // The end counts only if the reader came to it.
        if batch.is_none()
            && let Some(reader) = self.reader.take()
        {
            reader.await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        Ok(batch.map(ArchivedRows))
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

/// Rows of the archive, or of a query over it. Their columns are found by name.
#[derive(Debug, Clone)]
pub(crate) struct ArchivedRows(RecordBatch);

impl ArchivedRows {
    pub(crate) fn len(&self) -> usize {
        self.0.num_rows()
    }

    fn partitions(&self) -> Result<&Int32Array, DataFusionError> {
        Ok(column(&self.0, archive_columns::PARTITION)?.as_primitive())
    }

    /// None for a verdict of a later version.
    pub(crate) fn verdicts(&self) -> Result<impl Iterator<Item = Option<Verdict>> + '_, DataFusionError> {
        let names = column(&self.0, archive_columns::VERDICT)?.as_string::<i32>();
        Ok(names.iter().map(|name| name.and_then(Verdict::from_name)))
    }

    /// The rows that are marked.
    pub(crate) fn filter(&self, wanted: &BooleanArray) -> Result<Self, DataFusionError> {
        Ok(Self(compute::filter_record_batch(&self.0, wanted)?))
    }

    /// The rows of each partition, in the topic's schema. The order within a partition does not
    /// matter here. The batch is let go, so that it is not there twice while its rows are folded.
    pub(crate) fn by_partition(self, topic: &Topic) -> Result<Vec<(PartitionId, RecordBatch)>, DataFusionError> {
        let partitions = self.partitions()?.clone();
        let schema = topic.schema();
        let columns: Result<Vec<_>, DataFusionError> = schema
            .fields()
            .iter()
            .map(|field| Ok(compute::cast(column(&self.0, field.name())?, field.data_type())?))
            .collect();
        let rows = RecordBatch::try_new(schema, columns?)?;
        drop(self);
        let mut distinct: Vec<i32> = partitions.values().to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if let [only] = distinct.as_slice() {
            return Ok(vec![(PartitionId(*only), rows)]);
        }
        let of_partition = |wanted: i32| {
            let mask: BooleanArray = partitions.values().iter().map(|partition| Some(*partition == wanted)).collect();
            Ok((PartitionId(wanted), compute::filter_record_batch(&rows, &mask)?))
        };
        distinct.into_iter().map(of_partition).collect()
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataFusionError> {
    rows.column_by_name(name).ok_or_else(|| exec_datafusion_err!("rows of the archive lack the column {name}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
    use arrow::datatypes::{Field, Schema};
    use vitral_catalog::{Catalog, DomainSettings};

    use super::*;

    /// Rows of partitions 1, 0, 1 whose columns are in the order of `reversed`.
    fn rows(topic: &Topic, reversed: bool) -> ArchivedRows {
        let mut columns: Vec<(Arc<Field>, ArrayRef)> = vec![
            (
                Arc::new(Field::new(archive_columns::PARTITION, arrow::datatypes::DataType::Int32, false)),
                Arc::new(Int32Array::from(vec![1, 0, 1])),
            ),
            (
                Arc::new(Field::new(archive_columns::VERDICT, arrow::datatypes::DataType::Utf8, false)),
                Arc::new(StringArray::from(vec![Verdict::Counted.name(), Verdict::Late.name(), "of a later version"])),
            ),
        ];
        for field in topic.schema().fields() {
            let values: ArrayRef = match field.name().as_str() {
                "timestamp" => Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC")),
                "quantidade" => compute::cast(&Int64Array::from(vec![10, 20, 30]), field.data_type()).expect("a cast"),
                _ => new_null_array(field.data_type(), 3),
            };
            columns.push((Arc::new(field.as_ref().clone().with_nullable(true)), values));
        }
        if reversed {
            columns.reverse();
        }
        let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        ArchivedRows(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch"))
    }

    #[test]
    fn columns_are_found_by_name_in_whatever_order_they_stand() {
        let topic = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0);
        let parts = |reversed| rows(&topic, reversed).by_partition(&topic).expect("rows by partition");
        assert_eq!(parts(true), parts(false));
        let quantities = parts(true).into_iter().map(|(partition, rows)| (partition.0, rows.num_rows()));
        assert_eq!(quantities.collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        let verdicts: Vec<_> = rows(&topic, true).verdicts().expect("verdicts").collect();
        assert_eq!(verdicts, [Some(Verdict::Counted), Some(Verdict::Late), None]);
    }
}
