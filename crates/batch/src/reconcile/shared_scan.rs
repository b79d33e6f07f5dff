//! One scan that several queries read at the same pace: rows are decoded once, however many metrics
//! they prove, and memory holds a few batches of them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::exec_datafusion_err;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Batches that wait for a query that is slower than the scan.
const BATCHES_WAITING: usize = 2;

pub(super) struct SharedScan {
    batches: SendableRecordBatchStream,
    readers: Vec<mpsc::Sender<RecordBatch>>,
}

impl SharedScan {
    /// A scan of these rows; it begins with [`Self::run`].
    pub(super) async fn open(rows: DataFrame) -> Result<Self> {
        Ok(Self { batches: rows.execute_stream().await?, readers: Vec::new() })
    }

    /// A table of the rows for one query, which can read it once, while the scan runs.
    pub(super) fn table(&mut self) -> Result<Arc<dyn TableProvider>> {
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        self.readers.push(sender);
        let schema = self.batches.schema();
        let rows = Rows { schema: Arc::clone(&schema), batches: Mutex::new(Some(receiver)) };
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(rows)])?))
    }

    /// Hands every batch to every query. One that has ended, and so dropped its table, is not
    /// waited for.
    ///
    /// After an error the queries have seen a part of the rows, as if that were all: what they
    /// answer is worth nothing.
    pub(super) async fn run(self) -> Result<()> {
        let Self { mut batches, mut readers } = self;
        while let Some(batch) = batches.try_next().await? {
            let mut reading = Vec::with_capacity(readers.len());
            for reader in readers {
                if reader.send(batch.clone()).await.is_ok() {
                    reading.push(reader);
                }
            }
            if reading.is_empty() {
                break;
            }
            readers = reading;
        }
        Ok(())
    }
}

struct Rows {
    schema: SchemaRef,
    /// None once they are being read.
    batches: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = match receiver {
            Some(receiver) => ReceiverStream::new(receiver).map(Ok).boxed(),
            None => {
                let twice = exec_datafusion_err!("a query reads the rows of a shared scan a second time");
                futures::stream::once(async { Err(twice) }).boxed()
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use datafusion::functions_aggregate::expr_fn::sum;
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    /// `batches` batches of a thousand numbers.
    fn numbers(session: &SessionContext, batches: i64) -> DataFrame {
        let batch = |nth: i64| {
            let numbers = Int64Array::from_iter_values(nth * 1_000..(nth + 1) * 1_000);
            RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).expect("a batch")
        };
        session.read_batches((0..batches).map(batch)).expect("rows")
    }

    async fn total(session: &SessionContext, table: Arc<dyn TableProvider>) -> Result<i64> {
        let rows = session.read_table(table)?.aggregate(vec![], vec![sum(col("n"))])?.collect().await?;
        Ok(rows[0].column(0).as_primitive::<Int64Type>().value(0))
    }

    #[tokio::test]
    async fn every_query_sees_every_row_whatever_the_others_do() {
        let session = SessionContext::new();
        let mut scan = SharedScan::open(numbers(&session, 50)).await.expect("opened");
        let (first, second, failing, unread) = (
            scan.table().expect("a table"),
            scan.table().expect("a table"),
            scan.table().expect("a table"),
            scan.table().expect("a table"),
        );
        let fails = async {
            let rows = session.read_table(failing)?.select(vec![col("n") / (col("n") - lit(7_i64))])?;
            rows.collect().await.map(|_| ())
        };
        let ends = async move { drop(unread) };
        let (scanned, first, second, failed, ()) =
            tokio::join!(scan.run(), total(&session, first), total(&session, second), fails, ends);
        scanned.expect("scanned");
        let all = 50_000 * 49_999 / 2;
        assert_eq!((first.expect("a sum"), second.expect("a sum")), (all, all));
        assert!(failed.expect_err("a division by zero").to_string().contains("zero"));
    }

    #[tokio::test]
    async fn rows_are_read_once() {
        let session = SessionContext::new();
        let mut scan = SharedScan::open(numbers(&session, 1)).await.expect("opened");
        let table = scan.table().expect("a table");
        let both = session.read_table(Arc::clone(&table)).expect("rows");
        let both = both.union(session.read_table(table).expect("rows")).expect("planned");
        let (_, outcome) = tokio::join!(scan.run(), both.collect());
        assert!(outcome.expect_err("a second reading").to_string().contains("second time"));
    }
}
