//! Results of reconciliations are kept, so that anyone who doubts a number sees when it was proved.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use datafusion::logical_expr::ident;
use vitral_schemas::reconciliation::{BY_KEYS, DIFFERENT, EQUAL, FAILED, TABLE, schema};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_store::{AppendTable, Layout, Location, read_session};

use super::{MetricComparison, WindowRange};
use crate::error::BatchError;

/// What is recorded of a whole run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// [`vitral_schemas::reconciliation::BY_COMMAND`] or
    /// [`vitral_schemas::reconciliation::BY_ITSELF`].
    pub origin: &'a str,
    /// The windows that were compared.
    pub range: WindowRange,
    /// When, in milliseconds since the Unix epoch.
    pub ended_ms: i64,
    /// How long it took.
    pub took_ms: i64,
    /// Breaks in the offsets of the archives that were compared with.
    pub breaks: usize,
    /// Whether it proves that a repair succeeded.
    pub is_after_repair: bool,
}

/// A row for each metric. One that has no closed window in the range proves nothing and has none.
pub fn rows(run: &Run<'_>, compared: &[MetricComparison]) -> Result<RecordBatch, BatchError> {
    let compared: Vec<&MetricComparison> =
        compared.iter().filter(|each| each.windows > 0 || each.differs() || each.failure.is_some()).collect();
    let count = compared.len();
    let instants = |ms: Vec<Option<i64>>| {
        let micros = ms.into_iter().map(|ms| ms.map(|ms| ms * MICROS_PER_MS));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let same = |ms: i64| instants(vec![Some(ms); count]);
    let numbers = |of: &dyn Fn(&MetricComparison) -> usize| {
        let numbers = compared.iter().map(|each| i64::try_from(of(each)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    let origin = |each: &&MetricComparison| if each.is_of_part { BY_KEYS } else { run.origin };
    let verdict = |each: &&MetricComparison| match &each.failure {
        Some(_) => FAILED,
        None if each.differs() || run.breaks > 0 => DIFFERENT,
        None => EQUAL,
    };
    RecordBatch::try_new(
        schema(),
        vec![
            same(run.ended_ms),
            Arc::new(StringArray::from_iter_values(compared.iter().map(origin))),
            Arc::new(StringArray::from_iter_values(compared.iter().map(|each| each.metric.as_str()))),
            same(run.range.from.ms()),
            same(run.range.to.ms()),
            instants(compared.iter().map(|each| each.published_through_ms).collect()),
            numbers(&|each| each.windows),
            numbers(&|each| each.expected.num_rows()),
            numbers(&|each| each.differences.num_rows()),
            numbers(&|_| run.breaks),
            Arc::new(StringArray::from_iter_values(compared.iter().map(verdict))),
            Arc::new(BooleanArray::from(vec![run.is_after_repair; count])),
            Arc::new(Int64Array::from(vec![run.took_ms; count])),
        ],
    )
    .map_err(|source| BatchError::engine("the result of a reconciliation", "stored")(source.into()))
}

/// Keeps the rows.
pub async fn record(store: &Location, rows: RecordBatch) -> Result<(), BatchError> {
    if rows.num_rows() > 0 {
        AppendTable::open(TABLE, &Layout::of(store).table(TABLE), schema()).await?.append(rows).await?;
    }
    Ok(())
}

/// Reads what is kept, again and again.
#[derive(Debug)]
pub struct Results {
    store: Location,
    table: Option<AppendTable>,
}

impl Results {
    /// Those in this place.
    pub fn new(store: Location) -> Self {
        Self { store, table: None }
    }

    /// The last `limit` rows, newest first, if there are others than at the last call.
    pub async fn changed(&mut self, limit: usize) -> Result<Option<RecordBatch>, BatchError> {
        match &mut self.table {
            Some(table) => {
                if !table.refresh().await? {
                    return Ok(None);
                }
            }
            None => self.table = AppendTable::read(TABLE, &Layout::of(&self.store).table(TABLE)).await?,
        }
        let Some(table) = &self.table else { return Ok(None) };
        let provider = table.provider().await?;
        let run = async {
            let rows = read_session(1)
                .read_table(provider)?
                .sort(vec![ident("instante").sort(false, false)])?
                .limit(0, Some(limit))?
                .collect()
                .await?;
            Ok(concat_batches(&schema(), &rows)?)
        };
        run.await.map(Some).map_err(BatchError::engine("the results of reconciliations", "read"))
    }
}
