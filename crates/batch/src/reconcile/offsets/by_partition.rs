//! Reading columns of the archive, and finding out quickly which partition each row is of.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, cast, ident};
use datafusion::physical_plan::SendableRecordBatchStream;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::archive_columns::{LOG, PARTITION};
use vitral_store::bulk_session;

/// Log, partition and these columns of the rows that are wanted; all rows if nothing says which.
pub(super) async fn read(
    rows: &Arc<dyn TableProvider>,
    wanted: Option<Expr>,
    columns: [&str; 2],
) -> Result<SendableRecordBatchStream> {
    let mut rows = bulk_session(1).read_table(Arc::clone(rows))?;
    if let Some(wanted) = wanted {
        rows = rows.filter(wanted)?;
    }
    let log = cast(ident(LOG), DataType::Utf8View).alias(LOG);
    rows.select([log, ident(PARTITION)].into_iter().chain(columns.map(ident)).collect::<Vec<_>>())?
        .execute_stream()
        .await
}

/// What `find` says of the log and partition of each row. It is asked once for rows that follow
/// each other, as most of a partition do.
pub(super) fn of_rows(
    batch: &RecordBatch,
    mut find: impl FnMut(&str, PartitionId) -> Option<usize>,
) -> impl Iterator<Item = Option<usize>> {
    let (logs, partitions) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int32Type>());
    let mut last = None;
    (0..batch.num_rows()).map(move |row| {
        // Within a column, equal views are equal texts, and seldom the other way round.
        let key = (logs.views()[row], PartitionId(partitions.value(row)));
        match last {
            Some((known, found)) if known == key => found,
            _ => {
                let found = find(logs.value(row), key.1);
                last = Some((key, found));
                found
            }
        }
    })
}
