//! Rows are copied to the cold table, and the copy is read back before it counts.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ident};
use futures::TryStreamExt;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::{Topic, archive_columns};

use super::MOVED;
use crate::archive::cold::columns;
use crate::error::StoreError;
use crate::session::read_session;
use crate::table::Table;

/// Copies the step's rows, each of which the cold table has exactly once afterwards; how many were
/// copied now.
pub(super) async fn copy(hot: &Table, cold: &mut Table, wanted: Expr, number: i64) -> Result<u64, StoreError> {
    if cold.transaction(MOVED).await? >= Some(number) {
        return Ok(0);
    }
    let failed = StoreError::read(&cold.name);
    let there = read_session(1).read_table(cold.provider().await?).and_then(|frame| frame.filter(wanted.clone()));
    if there.map_err(&failed)?.count().await.map_err(&failed)? > 0 {
        cold.delete(wanted.clone()).await?;
    }
    let provider = hot.provider().await?;
    let found = columns(cold.schema(), &provider.schema());
    let rows = |frame: DataFrame| frame.filter(wanted)?.select(found);
    let rows = read_session(1).read_table(provider).and_then(rows).map_err(&failed)?;
    cold.append_by_plan(rows, &[(MOVED.to_owned(), number)]).await
}

/// Reads every column of what was copied, and fails unless it is what the hot table has.
pub(super) async fn prove(topic: &Topic, hot: &Table, cold: &Table, wanted: Expr) -> Result<(), StoreError> {
    use archive_columns::*;
    let failed = StoreError::read(&topic.name);
    let frame = |provider| read_session(1).read_table(provider).and_then(|frame| frame.filter(wanted.clone()));
    let ours = [LOG, PARTITION, OFFSET].map(ident).to_vec();
    let expected = frame(hot.provider().await?).and_then(|frame| frame.select(ours)).map_err(&failed)?;
    let expected = tally(expected).await.map_err(&failed)?;
    let found = tally(frame(cold.provider().await?).map_err(&failed)?).await.map_err(&failed)?;
    if expected == found {
        return Ok(());
    }
    let rows = |tally: &Tally| tally.values().map(|(rows, _)| rows).sum();
    Err(StoreError::NotReadBack { topic: topic.name.clone(), expected: rows(&expected), found: rows(&found) })
}

/// By log and partition: how many rows, and the sum of their offsets.
type Tally = BTreeMap<(String, PartitionId), (u64, i64)>;

async fn tally(rows: DataFrame) -> Result<Tally> {
    use archive_columns::*;
    let mut tally = Tally::new();
    let mut batches = rows.execute_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        let column = |name| Ok::<_, datafusion::error::DataFusionError>(batch.column(batch.schema().index_of(name)?));
        let logs = column(LOG)?.as_string::<i32>();
        let partitions = column(PARTITION)?.as_primitive::<Int32Type>();
        let offsets = column(OFFSET)?.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let of = tally.entry((logs.value(row).to_owned(), PartitionId(partitions.value(row)))).or_default();
            *of = (of.0 + 1, of.1.wrapping_add(offsets.value(row)));
        }
    }
    Ok(tally)
}
