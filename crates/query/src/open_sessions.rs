//! The sessions that are still open, those with the newest events first.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use vitral_panes::view::MetricView;
use vitral_schemas::time::MICROS_PER_MS;

use crate::error::QueryError;

/// Those that have begun; their rows should have been made.
pub(crate) fn newest(view: &MetricView, now_ms: i64, count: Option<usize>) -> Result<RecordBatch, QueryError> {
    let now_micros = now_ms.saturating_mul(MICROS_PER_MS);
    let mut begun = Vec::new();
    // They are kept by day.
    for rows in view.open.rows().range(..=now_ms).map(|(_, rows)| rows) {
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
        let has_begun: BooleanArray = starts.iter().map(|start| Some(*start <= now_micros)).collect();
        begun.push(filter_record_batch(rows, &has_begun)?);
    }
    let all = concat_batches(&view.schema, &begun)?;
    let newest_first = SortOptions { descending: true, nulls_first: false };
    let order = sort_to_indices(all.column(1), Some(newest_first), count)?;
    Ok(take_record_batch(&all, &order)?)
}
