//! Checks of quality: the catalog's queries for rows that should not be.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Date32Type, Schema};
use chrono::{Days as ChronoDays, NaiveDate};
use chrono_tz::Tz;
use datafusion::common::ParamValues;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{ident, lit};
use vitral_catalog::{Catalog, Check};
use vitral_schemas::time::day_start_ms;
use vitral_store::warehouse::Days;
use vitral_store::{Location, QUARANTINE_TABLE, Quarantine, read_session};

use crate::error::{BatchError, is_outage};
use crate::tables::{NoRows, Span, Tables, unplanned};

/// What one check has found.
#[derive(Debug)]
pub struct CheckResult {
    /// The check's name in the catalog.
    pub name: String,
    /// What its rows mean, in a sentence.
    pub words: String,
    /// How many rows offend.
    pub count: usize,
    /// The first of them.
    pub rows: RecordBatch,
    /// Why it could not be run, if so.
    pub failure: Option<String>,
    /// Why finding nothing says nothing, if so.
    pub unchecked: Option<String>,
}

impl CheckResult {
    fn nothing(check: &Check) -> Self {
        let rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Self { name: check.name.clone(), words: check.words.clone(), count: 0, rows, failure: None, unchecked: None }
    }
}

/// Rows that are kept of each check.
const SHOWN: usize = 20;

/// Runs every check over these days.
pub async fn run(catalog: &Catalog, zone: Tz, days: Days, tables: &Tables<'_>) -> Result<Vec<CheckResult>, BatchError> {
    let mut found = Vec::new();
    for check in &catalog.checks {
        found.push(match one(check, zone, days, tables).await {
            // A check that fails on the data says nothing about the others.
            Err(BatchError::Engine { source, .. }) if !is_outage(&source) => {
                CheckResult { failure: Some(vitral_engine::words(&source)), ..CheckResult::nothing(check) }
            }
            Err(error @ (BatchError::SetAside { .. } | BatchError::LookupTable { .. })) => {
                CheckResult { failure: Some(error.to_string()), ..CheckResult::nothing(check) }
            }
            outcome => outcome?,
        });
    }
    Ok(found)
}

/// The events that a check sees: those of the days, and of its history before.
fn span_of(check: &Check, zone: Tz, days: Days) -> Span {
    let first = days.from.checked_sub_days(ChronoDays::new(check.history_days)).unwrap_or(NaiveDate::MIN);
    Span { from_ms: day_start_ms(zone, first), to_ms: day_start_ms(zone, days.to) }
}

/// Why a check that found nothing says nothing.
async fn unchecked(check: &Check, zone: Tz, days: Days, tables: &Tables<'_>) -> Result<Option<String>, BatchError> {
    if let Some(reason) = tables.unfilled_reference(&check.query, &check.position) {
        return Ok(Some(reason));
    }
    let found = tables.no_rows((&check.query, &check.position), span_of(check, zone, days), zone).await?;
    Ok(found.map(|NoRows { topics, newest }| {
        let newest =
            newest.map_or_else(|| "none are stored at all".to_owned(), |day| format!("the newest is from {day}"));
        format!("no {} events are stored for these days; {newest}", topics.join(", "))
    }))
}

pub(crate) async fn planned(check: &Check, zone: Tz, days: Days, tables: &Tables<'_>) -> Result<DataFrame, BatchError> {
    let failed = |source| unplanned(&check.position, &source);
    let span = span_of(check, zone, days);
    let (state, plan) = tables.plan(&check.query, &check.position, Some(span)).await?.into_parts();
    let day = |day| ScalarValue::Date32(Some(Date32Type::from_naive_date(day))).into();
    let values = HashMap::from([("de".to_owned(), day(days.from)), ("ate".to_owned(), day(days.to))]);
    let plan = plan.with_param_values(ParamValues::Map(values)).map_err(failed)?;
    Ok(DataFrame::new(state, plan))
}

/// Rows of these days that the warehouse's database could not take; none if there are none.
pub async fn quarantined(store: &Location, days: Days) -> Result<Option<CheckResult>, BatchError> {
    let failed = BatchError::engine(QUARANTINE_TABLE, "read");
    let Some(stored) = Quarantine::of(store).provider().await? else { return Ok(None) };
    let day = |day| lit(ScalarValue::Date32(Some(Date32Type::from_naive_date(day))));
    let wanted = ident("dia").gt_eq(day(days.from)).and(ident("dia").lt(day(days.to)));
    let frame = read_session(1).read_table(stored).and_then(|frame| frame.filter(wanted)).map_err(&failed)?;
    let count = frame.clone().count().await.map_err(&failed)?;
    if count == 0 {
        return Ok(None);
    }
    let first = frame.limit(0, Some(SHOWN)).map_err(&failed)?.collect().await.map_err(&failed)?;
    let rows = first.first().map(|batch| concat_batches(&batch.schema(), &first)).transpose();
    let rows = rows.map_err(|source| failed(source.into()))?;
    Ok(Some(CheckResult {
        name: QUARANTINE_TABLE.to_owned(),
        words: "a row that the warehouse's database cannot store: it is in none of its tables".to_owned(),
        count,
        rows: rows.unwrap_or_else(|| RecordBatch::new_empty(Arc::new(Schema::empty()))),
        failure: None,
        unchecked: None,
    }))
}

async fn one(check: &Check, zone: Tz, days: Days, tables: &Tables<'_>) -> Result<CheckResult, BatchError> {
    let frame = planned(check, zone, days, tables).await?;
    let batches = frame.collect().await.map_err(BatchError::engine(&check.name, "run"))?;
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Some(first) = batches.first().filter(|_| count > 0) else {
        let unchecked = unchecked(check, zone, days, tables).await?;
        return Ok(CheckResult { unchecked, ..CheckResult::nothing(check) });
    };
    let rows = concat_batches(&first.schema(), &batches)
        .map_err(|source| BatchError::engine(&check.name, "run")(source.into()))?;
    Ok(CheckResult { count, rows: rows.slice(0, rows.num_rows().min(SHOWN)), ..CheckResult::nothing(check) })
}
