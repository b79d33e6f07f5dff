//! What other programs send, made into messages by the catalog's SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::DateTime;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as EngineResult;
use serde_json::Value;
use serde_json::value::RawValue;
use vitral_catalog::names::statement;
use vitral_catalog::{BODY_TABLE, Diagnostics, Input, PLACE_IN_LIST};
use vitral_engine::file_session;
use vitral_query::utc_text;
use vitral_schemas::topic::{ColumnKind, Topic};
use vitral_schemas::verdict::Reason;

use super::faults::{Fault, Faults};
use super::taken_apart::{self, Odd, Row, Unfit};
use super::{BODY_BYTES_MAX, ITEMS_MAX};
use crate::error::ApiError;
use crate::problem::{ItemsProblem, Problem};

/// A thousand rows of a body, and what is computed of them.
const MEMORY_BYTES: usize = 64 * BODY_BYTES_MAX;

/// An error with its place if the statement cannot be planned.
pub(super) fn check(input: &Input) -> Result<(), ApiError> {
    let planned = tokio::task::unconstrained(frame(input, Vec::new(), 0));
    futures::executor::block_on(planned).map(|_| ()).map_err(|error| {
        let remedy = "name paths of the body in double quotes, and linha without";
        let error = input.source.error(format!("input {}: {}", input.name, error.strip_backtrace()), remedy.into());
        ApiError::Catalog(Diagnostics(vec![error]))
    })
}

/// The payload of each message that a body stands for.
pub(super) async fn payloads(
    input: &Input,
    body: &RawValue,
    topic: &Topic,
    now_ms: i64,
) -> Result<Vec<Vec<u8>>, ItemsProblem> {
    let rows = taken_apart::rows(body, input, ITEMS_MAX).map_err(|unfit| match unfit {
        Unfit::TooMany => ItemsProblem::from(Problem::too_many_items(ITEMS_MAX + 1, ITEMS_MAX)),
        Unfit::Odd(odd) => odd.into_iter().map(fault).collect::<Faults>().problem(),
    })?;
    let computed = async { frame(input, rows, now_ms).await?.collect().await }.await;
    let batches = computed.map_err(|error| Problem::unreadable_input(&input.name, &error.strip_backtrace()))?;
    let mut payloads = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let payload = payload(batch, row, topic);
            payloads.push(payload.map_err(|error| Problem::unreadable_input(&input.name, &error.to_string()))?);
        }
    }
    Ok(payloads)
}

fn fault(Odd { row, path, what }: Odd) -> (usize, Fault) {
    let detail = format!("{path} {what}");
    (row, Fault { field: Some(path), code: Reason::Type.name(), detail })
}

/// The statement over the rows of a body, with the time of the request as `now()`.
async fn frame(input: &Input, rows: Vec<Row>, now_ms: i64) -> EngineResult<DataFrame> {
    let text = |index: usize| Arc::new(rows.iter().map(|row| row.texts[index].as_deref()).collect::<StringArray>());
    let fields = input.fields.iter().enumerate();
    let mut columns: Vec<(&str, ArrayRef, bool)> =
        fields.map(|(index, name)| (name.as_str(), text(index) as ArrayRef, true)).collect();
    columns.push((PLACE_IN_LIST, Arc::new(rows.iter().map(|row| row.place).collect::<Int64Array>()), true));
    let session = file_session(MEMORY_BYTES)?;
    session.register_batch(BODY_TABLE, RecordBatch::try_from_iter_with_nullable(columns)?)?;
    let mut state = session.state();
    let plan = state.statement_to_plan(statement(&input.query)).await?;
    state.mark_start_execution();
    if let Some(now) = DateTime::from_timestamp_millis(now_ms) {
        state.execution_props_mut().query_execution_start_time = Some(now);
    }
    Ok(DataFrame::new(state, plan))
}

/// One row as an object with the topic's fields. What is a number there is written as one if it is
/// one; what it is otherwise, the topic's rules say.
fn payload(batch: &RecordBatch, row: usize, topic: &Topic) -> Result<Vec<u8>, ArrowError> {
    let mut out = String::from("{");
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let declared = topic.columns.iter().find(|declared| declared.name == *field.name());
        let Some(declared) = declared.filter(|_| column.is_valid(row)) else { continue };
        let value = text(column, row)?;
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&Value::from(declared.name.as_str()).to_string());
        out.push(':');
        if is_plain(declared.kind, &value) {
            out.push_str(&value);
        } else {
            out.push_str(&Value::from(value).to_string());
        }
    }
    out.push('}');
    Ok(out.into_bytes())
}

fn text(column: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        let micros = times.value(row);
        return Ok(utc_text(micros).unwrap_or_else(|| micros.to_string()));
    }
    array_value_to_string(column, row)
}

/// Whether a text stands in JSON without quotes.
fn is_plain(kind: ColumnKind, text: &str) -> bool {
    match kind {
        ColumnKind::Integer => serde_json::from_str::<serde_json::Number>(text).is_ok(),
        ColumnKind::Boolean => matches!(text, "true" | "false"),
        _ => false,
    }
}
