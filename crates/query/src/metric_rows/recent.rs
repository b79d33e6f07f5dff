//! What is asked for most often, from memory: the open windows and the newest published ones, which
//! are read once for each window that is published, and not for each request.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::execution::SessionState;
use vitral_catalog::WINDOW_START_COLUMN;
use vitral_panes::view::MetricView;
use vitral_schemas::time::MICROS_PER_MS;

use super::{RowFilter, SeenMetric};
use crate::error::QueryError;
use crate::recent_rows::Recent;
use crate::tables::PROVISIONAL_COLUMN;
use crate::time_range::TimeRange;
use crate::visibility::seen;

/// More rows of a metric are not kept.
const ROWS_MAX: usize = 1 << 14;

impl SeenMetric<'_> {
    /// The wanted rows of windows from `range.from` on; none if not all of them are in memory. Open
    /// rows should have been made.
    pub(super) async fn read_recent(
        self,
        state: &SessionState,
        wanted: &RowFilter<'_>,
        range: TimeRange,
    ) -> Result<Option<RecordBatch>, QueryError> {
        // Sessions are kept by day, and in another order.
        let Some(from) = range.from.filter(|_| self.view.window.session_gap_micros().is_none()) else {
            return Ok(None);
        };
        let Some(published) = self.published_since(state, from).await? else { return Ok(None) };
        let open = self.view.open.rows();
        let first_open = open.first_key_value().and_then(|(start_ms, _)| start_ms.checked_mul(MICROS_PER_MS));
        let newest = starts(&published).and_then(|starts| starts.first().copied());
        if first_open.zip(newest).is_some_and(|(open, newest)| open <= newest) {
            return Ok(None);
        }
        let schema = schema_of(self.view);
        let (mut found, mut count) = (Vec::new(), 0);
        let enough = wanted.count.map_or(usize::MAX, |count| wanted.skip.saturating_add(count));
        for (rows, is_provisional) in open.values().rev().map(|rows| (rows, true)).chain([(&published, false)]) {
            if count >= enough {
                break;
            }
            let rows = within(rows, range);
            let rows = seen(&self.metric.name, self.filters, &rows)?;
            let rows = having(&rows, wanted)?;
            count += rows.num_rows();
            found.push(marked(&rows, &schema, is_provisional)?);
        }
        let rows = concat_batches(&schema, &found)?;
        let first = wanted.skip.min(rows.num_rows());
        let length = wanted.count.map_or(usize::MAX, |count| count).min(rows.num_rows() - first);
        Ok(Some(rows.slice(first, length)))
    }

    /// All published rows of windows that start there or later, in order.
    async fn published_since(self, state: &SessionState, from: i64) -> Result<Option<RecordBatch>, QueryError> {
        let slot = self.recent.slot(&self.metric.name);
        let mut kept = slot.lock().await;
        let recent = match kept.take() {
            Some(recent) if recent.is_of(self.view) => kept.insert(recent),
            known => {
                // What was too much is no less now.
                let too_many_from = known.and_then(|known| known.too_many_from);
                kept.insert(Recent { too_many_from, ..Recent::new(&self.view.published) })
            }
        };
        if let Some((since, rows)) = &recent.rows
            && *since <= from
        {
            return Ok(Some(rows.clone()));
        }
        if recent.too_many_from.is_some_and(|known| from <= known) {
            return Ok(None);
        }
        let rows = self.read_published(state, from, ROWS_MAX + 1).await?;
        if rows.num_rows() > ROWS_MAX {
            recent.too_many_from = Some(from);
            return Ok(None);
        }
        recent.rows = Some((from, rows.clone()));
        Ok(Some(rows))
    }
}

fn starts(rows: &RecordBatch) -> Option<&[i64]> {
    Some(rows.column_by_name(WINDOW_START_COLUMN)?.as_primitive_opt::<TimestampMicrosecondType>()?.values())
}

/// The rows of windows that start in the range; those of later windows come first.
fn within(rows: &RecordBatch, range: TimeRange) -> RecordBatch {
    let Some(starts) = starts(rows) else { return rows.slice(0, 0) };
    let first = range.until.map_or(0, |until| starts.partition_point(|start| *start >= until));
    let end = range.from.map_or(starts.len(), |from| starts.partition_point(|start| *start >= from));
    rows.slice(first, end.saturating_sub(first))
}

/// The rows with the values that are wanted.
fn having(rows: &RecordBatch, wanted: &RowFilter<'_>) -> Result<RecordBatch, QueryError> {
    let mut are_wanted: Option<BooleanArray> = None;
    for (column, value) in &wanted.filters {
        let Some(found) = rows.column_by_name(column) else {
            return Err(QueryError::Unavailable((*column).to_owned()));
        };
        let is_equal = eq(&cast(found, &DataType::Utf8)?, &Scalar::new(StringArray::from(vec![*value])))?;
        are_wanted = Some(match are_wanted {
            Some(others) => and(&others, &is_equal)?,
            None => is_equal,
        });
    }
    Ok(match are_wanted {
        Some(are_wanted) => filter_record_batch(rows, &are_wanted)?,
        None => rows.clone(),
    })
}

fn schema_of(view: &MetricView) -> SchemaRef {
    let mut fields: Vec<_> =
        view.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.push(Field::new(PROVISIONAL_COLUMN, DataType::Boolean, false));
    Arc::new(Schema::new(fields))
}

/// The columns of the schema, the last of which says whether the rows are provisional.
fn marked(rows: &RecordBatch, schema: &SchemaRef, is_provisional: bool) -> Result<RecordBatch, QueryError> {
    let others = schema.fields().iter().take(schema.fields().len() - 1);
    let columns = others.map(|field| Ok(Arc::clone(rows.column(rows.schema().index_of(field.name())?))));
    let mut columns = columns.collect::<Result<Vec<ArrayRef>, arrow::error::ArrowError>>()?;
    columns.push(Arc::new(BooleanArray::from(vec![is_provisional; rows.num_rows()])));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
