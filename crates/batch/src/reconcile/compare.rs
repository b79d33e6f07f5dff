//! The rows in which a metric's table and what was recomputed differ.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, cast, ident, lit};
use vitral_catalog::{Metric, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_schemas::event_time::EventTime;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_store::read_session;

use super::key_part::KeyPart;
use super::{MetricComparison, Published, WindowRange, instant};
use crate::error::BatchError;

/// Says on which side a row stands that the other lacks, and how often.
pub const SIDE_COLUMN: &str = "_side";
const SIDE: &str = "_sign";

pub(super) async fn compare(
    metric: &Metric,
    topic: &Topic,
    stored: &Published,
    recomputed: RecordBatch,
    range: WindowRange,
    part: Option<&KeyPart>,
) -> std::result::Result<MetricComparison, BatchError> {
    let published_through_ms = stored.as_ref().and_then(|(_, through_ms)| *through_ms);
    let schema = recomputed.schema();
    let closed = || {
        let closed = closed(metric, topic, range, published_through_ms);
        part.map_or(closed.clone(), |part| closed.and(part.has_row()))
    };
    let columns: Vec<Expr> = schema.fields().iter().map(|field| ident(field.name())).collect();
    // One part: to hand rows to another would cost more than to compare them.
    let session = read_session(1);
    let side = |frame: DataFrame, sign: i64| -> Result<DataFrame> {
        let typed = schema.fields().iter().map(|field| cast(ident(field.name()), field.data_type().clone()));
        let mut typed: Vec<Expr> = typed.zip(schema.fields()).map(|(expr, field)| expr.alias(field.name())).collect();
        typed.push(lit(sign).alias(SIDE));
        frame.select(typed)
    };
    let run = async {
        let table = MemTable::try_new(Arc::clone(&schema), vec![vec![recomputed]])?;
        let expected = session.read_table(Arc::new(table))?.filter(closed())?.collect().await?;
        let expected = concat_batches(&schema, &expected)?;
        let starts = expected.column_by_name(WINDOW_START_COLUMN).map(|starts| starts.as_primitive());
        let starts = starts.into_iter().flat_map(|starts: &TimestampMicrosecondArray| starts.values());
        let windows = starts.collect::<HashSet<_>>().len();
        let table = MemTable::try_new(Arc::clone(&schema), vec![vec![expected.clone()]])?;
        let counted = side(session.read_table(Arc::new(table))?, -1)?;
        let both = match stored {
            Some((table, _)) => side(session.read_table(Arc::clone(table))?.filter(closed())?, 1)?.union(counted)?,
            None => counted,
        };
        let mut shown = vec![ident(SIDE_COLUMN)];
        shown.extend(columns.clone());
        let differing = both
            .aggregate(columns, vec![sum(ident(SIDE)).alias(SIDE_COLUMN)])?
            .filter(ident(SIDE_COLUMN).not_eq(lit(0_i64)))?
            .select(shown)?
            .sort(vec![ident(WINDOW_START_COLUMN).sort(true, true), ident(SIDE_COLUMN).sort(false, true)])?;
        let batches = differing.clone().collect().await?;
        let schema = Arc::new(differing.schema().as_arrow().clone());
        Ok((expected, windows, concat_batches(&schema, &batches)?))
    };
    let (expected, windows, differences) = run.await.map_err(BatchError::engine(&metric.name, "recomputed"))?;
    Ok(MetricComparison {
        published_through_ms,
        windows,
        expected,
        differences,
        ..MetricComparison::nothing(metric, range)
    })
}

/// Which rows of a metric's table are of the range and final.
pub(super) fn closed(metric: &Metric, topic: &Topic, range: WindowRange, published_through_ms: Option<i64>) -> Expr {
    let last_end = published_through_ms.map_or(i64::MIN, |ms| (ms - topic.lateness_ms) * MICROS_PER_MS);
    let [from, to] = [range.from, range.to].map(EventTime::micros);
    let of_range = match metric.window.session_gap_micros() {
        None => ident(WINDOW_START_COLUMN).between(lit(instant(from)), lit(instant(to - 1))),
        Some(_) => ident(WINDOW_END_COLUMN).between(lit(instant(from + 1)), lit(instant(to))),
    };
    of_range.and(ident(WINDOW_END_COLUMN).lt_eq(lit(instant(last_end))))
}
