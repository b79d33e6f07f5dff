//! What jobs have done, kept for people who ask, and for the next run.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::logical_expr::{ident, lit};
use vitral_schemas::topic::timestamp_type;
use vitral_store::{AppendTable, Layout, Location, read_session};

use super::JobReport;
use super::changes::Moment;
use crate::error::BatchError;

/// A row for each table that a job has written.
pub const TABLE: &str = "execucoes";
/// A column that tables of older versions lack.
const TARGET_ID: &str = "tabela_id";

/// What a job has done with one table.
#[derive(Debug, Clone)]
pub struct Run {
    /// The job's name.
    pub job: String,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When its rows were written.
    pub ended: DateTime<Utc>,
    /// What became of the table.
    pub done: JobReport,
    /// Whether it was for all that had changed, so that the next such run continues after it.
    pub is_by_change: bool,
    /// What it was computed from.
    pub moment: Moment,
    /// The identity of the table that was written: a table that replaces it does not have these
    /// rows.
    pub target_id: String,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("job", DataType::Utf8, false),
        Field::new("tabela", DataType::Utf8, false),
        Field::new("inicio", timestamp_type(), false),
        Field::new("fim", timestamp_type(), false),
        Field::new("de", DataType::Date32, true),
        Field::new("ate", DataType::Date32, true),
        Field::new("lidas", DataType::Int64, false),
        Field::new("escritas", DataType::Int64, false),
        Field::new("recusadas", DataType::Int64, false),
        Field::new("por_mudanca", DataType::Boolean, false),
        Field::new("momento", DataType::Utf8, false),
        Field::new(TARGET_ID, DataType::Utf8, true),
    ]))
}

pub(super) async fn record(store: &Location, run: &Run) -> Result<(), BatchError> {
    let failed = BatchError::engine("a job's run", "recorded");
    let instant = |time: DateTime<Utc>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_value(time.timestamp_micros(), 1).with_timezone("UTC"))
    };
    let number =
        |number: u64| -> ArrayRef { Arc::new(Int64Array::from_value(i64::try_from(number).unwrap_or(i64::MAX), 1)) };
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
    let day = |day: Option<chrono::NaiveDate>| -> ArrayRef {
        Arc::new(Date32Array::from_iter([day.map(Date32Type::from_naive_date)]))
    };
    let moment = serde_json::to_string(&run.moment).map_err(|source| failed(external(source)))?;
    let columns = vec![
        text(&run.job),
        text(&run.done.table),
        instant(run.began),
        instant(run.ended),
        day(run.done.days.map(|days| days.from)),
        day(run.done.days.map(|days| days.to)),
        number(run.done.read),
        number(run.done.written),
        number(run.done.refused),
        Arc::new(BooleanArray::from(vec![run.is_by_change])),
        text(&moment),
        text(&run.target_id),
    ];
    let rows = RecordBatch::try_new(schema(), columns).map_err(|source| failed(source.into()))?;
    AppendTable::open(TABLE, &Layout::of(store).table(TABLE), schema()).await?.append(rows).await?;
    Ok(())
}

/// What the last run that was for all changes was computed from; none if there was none.
pub(super) async fn last_moment(store: &Location, target_id: &str) -> Result<Option<Moment>, BatchError> {
    let failed = BatchError::engine("the runs of jobs", "read");
    let Some(runs) = AppendTable::read(TABLE, &Layout::of(store).table(TABLE)).await? else { return Ok(None) };
    let provider = runs.provider().await?;
    if provider.schema().field_with_name(TARGET_ID).is_err() {
        return Ok(None);
    }
    let run = async {
        read_session(1)
            .read_table(provider)?
            .filter(ident(TARGET_ID).eq(lit(target_id)).and(ident("por_mudanca")))?
            .sort(vec![ident("fim").sort(false, false)])?
            .limit(0, Some(1))?
            .select(vec![ident("momento")])?
            .collect()
            .await
    };
    let batches = run.await.map_err(&failed)?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let moment = batch.column(0).as_string::<i32>().value(0).to_owned();
    serde_json::from_str(&moment).map(Some).map_err(|source| failed(external(source)))
}

fn external(source: serde_json::Error) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(source))
}
