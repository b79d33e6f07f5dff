//! The rows of a topic that have an id: committed ones, those that wait for their commit, those of
//! files, and messages that were refused.
//!
//! The archive is read with the condition on its columns of ids, so that files whose statistics
//! rule the id out are not opened, and of the others only those columns before the rows that match.
//! Refused messages have no columns: their contents are looked through.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, FieldRef, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::execution::SessionState;
use datafusion::functions::string::expr_fn::contains;
use datafusion::logical_expr::{Expr, ident, lit};
use serde_json::Value;
use vitral_catalog::Catalog;
use vitral_engine::text_of_bytes;
use vitral_schemas::topic::{Topic, archive_columns, history_columns, timestamp_type};
use vitral_schemas::verdict::Verdict;

use super::numbers::Numbers;
use super::proofs::Proofs;
use super::{PREVIEW_CHARS, ROWS_MAX, TracedRow, object};
use crate::error::QueryError;
use crate::plan::frame;
use crate::read_point::ReadPoint;
use crate::rows::utc_text;
use crate::tables::{as_type, imported, scan};
use crate::visibility::condition;

/// Where rows were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Archive,
    /// Counted, and not committed yet.
    Tail,
    File,
}

/// The rows of one topic.
pub(super) struct Found {
    parts: Vec<(Origin, RecordBatch)>,
}

impl Found {
    pub(super) async fn of(
        state: &SessionState,
        point: &ReadPoint,
        topic: &Topic,
        columns: &[&str],
        id: &str,
    ) -> Result<Self, QueryError> {
        let Some(shown) = point.view.topics.get(&topic.name) else {
            return match point.view.topics_waiting.get(&topic.name) {
                Some(_) => Ok(Self { parts: Vec::new() }),
                None => Err(QueryError::Unavailable(topic.name.clone())),
            };
        };
        let seen = condition(&topic.name, point.principal.filters(), &topic.schema())?;
        let has_id = columns.iter().map(|column| ident(*column).eq(lit(id))).reduce(Expr::or);
        let has_id = has_id.unwrap_or_else(|| lit(false));
        let matching = match &seen {
            Some(seen) => has_id.clone().and(seen.clone()),
            None => has_id,
        };
        let mut parts = Vec::new();
        let archived = rows(state, &shown.archive, matching.clone()).await?;
        parts.push((Origin::Archive, archived));
        if !shown.tail.is_empty() {
            let tail: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(topic.schema(), vec![shown.tail.to_vec()])?);
            parts.push((Origin::Tail, rows(state, &tail, matching.clone()).await?));
        }
        let history = imported(&point.histories, &topic.name)?;
        if let Some(history) = history {
            parts.push((Origin::File, rows(state, history, matching).await?));
        }
        // They are nobody's rows, as nobody knows what they say.
        if seen.is_none() {
            let is_refused = || ident(archive_columns::VERDICT).eq(lit(Verdict::Refused.name()));
            let schema = shown.archive.schema();
            let payload = schema.field_with_name(archive_columns::PAYLOAD)?.data_type();
            let payload = as_type(ident(archive_columns::PAYLOAD), &DataType::Binary, payload);
            let has_text = contains(text_of_bytes().call(vec![payload]), lit(id));
            let refused = rows(state, &shown.archive, is_refused().and(has_text)).await?;
            parts.push((Origin::Archive, with_id(&refused, columns, id)?));
            if let Some(history) = history {
                let has_text = contains(ident(history_columns::PAYLOAD), lit(id));
                parts.push((Origin::File, rows(state, history, is_refused().and(has_text)).await?));
            }
        }
        let has_rows = |(_, rows): &(Origin, RecordBatch)| rows.num_rows() > 0;
        Ok(Self { parts: parts.into_iter().filter(has_rows).collect() })
    }

    pub(super) fn count(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows.num_rows()).sum()
    }

    /// The rows with the numbers that they count in.
    pub(super) async fn traced(
        &self,
        state: &SessionState,
        point: &ReadPoint,
        (catalog, topic): (&Catalog, &Topic),
        proofs: &Proofs,
    ) -> Result<Vec<TracedRow>, QueryError> {
        let mut traced = Vec::new();
        for (origin, rows) in &self.parts {
            let of_topic = as_declared(rows, &topic.schema())?;
            let is_counted = match origin {
                Origin::Tail => vec![true; rows.num_rows()],
                Origin::Archive | Origin::File => {
                    let verdicts = texts(rows, archive_columns::VERDICT)?;
                    verdicts.iter().map(|verdict| verdict.as_deref() == Some(Verdict::Counted.name())).collect()
                }
            };
            // Rows of files feed tables, and no windows.
            let windows = *origin != Origin::File;
            let numbers = Numbers { state, point, catalog, topic, proofs };
            let mut numbers = numbers.of(&of_topic, &is_counted, windows).await?;
            for row in 0..rows.num_rows() {
                let numbers = std::mem::take(&mut numbers[row]);
                traced.push(TracedRow { numbers, ..described(*origin, rows, &of_topic, (topic, row))? });
            }
        }
        Ok(traced)
    }
}

/// The rows of a table that match, and one more than are shown.
async fn rows(state: &SessionState, table: &Arc<dyn TableProvider>, matching: Expr) -> Result<RecordBatch, QueryError> {
    let plan = scan(Arc::clone(table))?.filter(matching)?.limit(0, Some(ROWS_MAX + 1))?.build()?;
    let frame = frame(state, plan);
    let schema = Arc::clone(frame.schema().inner());
    Ok(concat_batches(&schema, &frame.collect().await?)?)
}

/// Of messages that have this text in them, those that have it as an id, as far as they can be
/// read.
fn with_id(refused: &RecordBatch, columns: &[&str], id: &str) -> Result<RecordBatch, QueryError> {
    let is_it = |payload: &Option<String>| {
        let Ok(Value::Object(fields)) = serde_json::from_str(payload.as_deref().unwrap_or_default()) else {
            return true;
        };
        columns.iter().filter_map(|column| fields.get(*column)).any(|value| match value {
            Value::String(text) => text == id,
            other => format!("{other}") == id,
        })
    };
    let mask: BooleanArray =
        texts(refused, archive_columns::PAYLOAD)?.iter().map(|payload| Some(is_it(payload))).collect();
    Ok(filter_record_batch(refused, &mask)?)
}

/// The columns of a schema, in its types; what is not there is null.
fn as_declared(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn described(
    origin: Origin,
    rows: &RecordBatch,
    of_topic: &RecordBatch,
    (topic, row): (&Topic, usize),
) -> Result<TracedRow, QueryError> {
    let one = rows.slice(row, 1);
    let text =
        |name: &str| -> Result<Option<String>, QueryError> { Ok(texts(&one, name)?.into_iter().next().flatten()) };
    let number = |name: &str| -> Result<Option<i64>, QueryError> {
        let Some(column) = one.column_by_name(name) else { return Ok(None) };
        Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().iter().next().flatten())
    };
    let partition = match one.column_by_name(archive_columns::PARTITION) {
        Some(column) => cast(column, &DataType::Int32)?.as_primitive::<Int32Type>().iter().next().flatten(),
        None => None,
    };
    let micros = |column: &ArrayRef| -> Result<Option<String>, QueryError> {
        let times = cast(column, &timestamp_type())?;
        Ok(times.as_primitive::<TimestampMicrosecondType>().iter().next().flatten().and_then(utc_text))
    };
    let arrival = one.column_by_name(archive_columns::ARRIVAL).map(micros).transpose()?.flatten();
    let fields = of_topic.slice(row, 1);
    let instant = micros(fields.column(topic.event_time))?;
    let filled: Vec<usize> = (0..fields.num_columns()).filter(|column| fields.column(*column).is_valid(0)).collect();
    let verdict = match origin {
        Origin::Tail => Verdict::Counted.name().to_owned(),
        Origin::Archive | Origin::File => text(archive_columns::VERDICT)?.unwrap_or_default(),
    };
    let is_refused = verdict == Verdict::Refused.name();
    let payload = text(archive_columns::PAYLOAD)?.filter(|_| is_refused);
    Ok(TracedRow {
        topic: topic.name.clone(),
        partition,
        offset: number(archive_columns::OFFSET)?,
        arrival,
        instant,
        reason: text(archive_columns::REASON)?,
        verdict,
        is_committed: origin != Origin::Tail,
        import: text(history_columns::IMPORT)?,
        file: text(history_columns::FILE)?,
        line: number(history_columns::LINE)?,
        fields: object(&fields.project(&filled)?)?,
        payload: payload.map(|payload| payload.chars().take(PREVIEW_CHARS).collect()),
        numbers: Vec::new(),
    })
}

/// A column as texts, whatever its type; none where there is no such column.
fn texts(rows: &RecordBatch, name: &str) -> Result<Vec<Option<String>>, QueryError> {
    let Some(column) = rows.column_by_name(name) else { return Ok(vec![None; rows.num_rows()]) };
    if matches!(column.data_type(), DataType::Binary | DataType::BinaryView | DataType::LargeBinary) {
        let bytes = cast(column, &DataType::Binary)?;
        let bytes = bytes.as_binary::<i32>();
        return Ok(bytes.iter().map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect());
    }
    let texts = cast(column, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}
