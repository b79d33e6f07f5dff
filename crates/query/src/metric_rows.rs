//! A metric's rows, newest window first and within a window in the metric's own order.

mod recent;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, SortExpr, ident, lit};
use vitral_catalog::{Metric, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_panes::view::MetricView;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::Window;

use crate::error::QueryError;
use crate::open_rows::make_open_rows;
use crate::open_sessions;
use crate::plan::frame;
use crate::principal::RowFilters;
use crate::recent_rows::RecentRows;
use crate::tables::{PROVISIONAL_COLUMN, metric_plan, published_plan, utc};
use crate::time_range::TimeRange;
use crate::visibility::{condition, seen};

/// Which rows of a metric are wanted, in its order.
#[derive(Debug, Default)]
pub struct RowFilter<'a> {
    /// The starts of the windows.
    pub range: TimeRange,
    /// Text columns and the values that they must have.
    pub filters: BTreeMap<&'a str, &'a str>,
    /// How many of the first rows are left out.
    pub skip: usize,
    /// All of them if there is none.
    pub count: Option<usize>,
}

/// A metric, and which of its rows are seen: these filters are of columns that it is partitioned
/// by.
#[derive(Clone, Copy)]
pub(crate) struct SeenMetric<'a> {
    pub metric: &'a Metric,
    pub view: &'a MetricView,
    pub filters: &'a RowFilters,
    pub recent: &'a RecentRows,
}

impl SeenMetric<'_> {
    /// Looks at recent windows first: the newest rows of a long history cost no more than those of
    /// a short one. As the order is by window, what fills the count from a part of them is what all
    /// of them would give.
    pub(crate) async fn read(self, state: &SessionState, wanted: &RowFilter<'_>) -> Result<RecordBatch, QueryError> {
        make_open_rows(self.view).await?;
        for from in starts(self.view, wanted) {
            let range = TimeRange { from: Some(from), ..wanted.range };
            let rows = match self.read_recent(state, wanted, range).await? {
                Some(rows) => rows,
                None => self.read_range(state, wanted, range).await?,
            };
            if Some(rows.num_rows()) == wanted.count {
                return Ok(rows);
            }
        }
        // Fewer than are wanted: all there are.
        let all = TimeRange { from: wanted.range.from.or(Some(i64::MIN)), ..wanted.range };
        match self.read_recent(state, wanted, all).await? {
            Some(rows) => Ok(rows),
            None => self.read_range(state, wanted, wanted.range).await,
        }
    }

    /// The newest open window that has begun and has rows that are seen. Open windows are newer
    /// than published ones, and already in order. Of sessions, all that are open and have begun,
    /// those with the newest events first.
    pub(crate) async fn newest_open(
        self,
        now_ms: i64,
        count: Option<usize>,
    ) -> Result<Option<RecordBatch>, QueryError> {
        make_open_rows(self.view).await?;
        let rows = match self.view.window.session_gap_micros() {
            Some(_) if self.filters.is_empty() => open_sessions::newest(self.view, now_ms, count)?,
            Some(_) => seen(&self.metric.name, self.filters, &open_sessions::newest(self.view, now_ms, None)?)?,
            None => match self.newest_open_window(now_ms)? {
                Some(rows) => rows,
                None => return Ok(None),
            },
        };
        let rows = rows.slice(0, count.map_or(rows.num_rows(), |count| count.min(rows.num_rows())));
        let mut fields = rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PROVISIONAL_COLUMN, DataType::Boolean, false)));
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(vec![true; rows.num_rows()])));
        Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
    }

    fn newest_open_window(self, now_ms: i64) -> Result<Option<RecordBatch>, QueryError> {
        let mut begun = self.view.open.rows().range(..=now_ms).rev().map(|(_, rows)| rows);
        if self.filters.is_empty() {
            return Ok(begun.next().cloned());
        }
        for rows in begun {
            let rows = seen(&self.metric.name, self.filters, rows)?;
            // A window of others alone is none.
            if rows.num_rows() > 0 {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The newest published window that has begun; without rows if there is none.
    pub(crate) async fn newest_published(
        self,
        state: &SessionState,
        now_ms: i64,
        count: Option<usize>,
    ) -> Result<RecordBatch, QueryError> {
        let until = now_ms.saturating_mul(MICROS_PER_MS).saturating_add(1);
        let begun =
            RowFilter { range: TimeRange { from: None, until: Some(until) }, count: Some(1), ..RowFilter::default() };
        let newest = self.read(state, &begun).await?;
        let starts = newest.column(0).as_primitive_opt::<TimestampMicrosecondType>();
        let Some(start) = starts.and_then(|starts| starts.values().first().copied()) else { return Ok(newest) };
        let window = TimeRange { from: Some(start), until: Some(start + 1) };
        self.read(state, &RowFilter { range: window, count, ..RowFilter::default() }).await
    }

    /// The first published rows of windows that start there or later, also those that are not seen.
    async fn read_published(self, state: &SessionState, from: i64, count: usize) -> Result<RecordBatch, QueryError> {
        let mut rows = LogicalPlanBuilder::from(published_plan(self.view)?);
        if from != i64::MIN {
            rows = rows.filter(ident(WINDOW_START_COLUMN).gt_eq(lit(utc(Some(from)))))?;
        }
        let frame = frame(state, rows.sort(order(self.metric, self.view))?.limit(0, Some(count))?.build()?);
        let schema = frame.schema().inner().clone();
        Ok(concat_batches(&schema, &frame.collect().await?)?)
    }

    async fn read_range(
        self,
        state: &SessionState,
        wanted: &RowFilter<'_>,
        range: TimeRange,
    ) -> Result<RecordBatch, QueryError> {
        let start = || ident(WINDOW_START_COLUMN);
        let seen = condition(&self.metric.name, self.filters, &self.view.schema)?;
        let from = range.from.map(|from| start().gt_eq(lit(utc(Some(from)))));
        let until = range.until.map(|until| start().lt(lit(utc(Some(until)))));
        let filters = wanted.filters.iter().map(|(column, value)| ident(*column).eq(lit(*value)));
        let filter = seen.into_iter().chain(from).chain(until).chain(filters).reduce(Expr::and);
        let mut builder = LogicalPlanBuilder::from(metric_plan(self.view)?);
        if let Some(filter) = filter {
            builder = builder.filter(filter)?;
        }
        let plan = builder.sort(order(self.metric, self.view))?.limit(wanted.skip, wanted.count)?.build()?;
        let frame = frame(state, plan);
        let schema = frame.schema().inner().clone();
        Ok(concat_batches(&schema, &frame.collect().await?)?)
    }
}

/// How far back to look before looking at everything: so far that rows as dense as those of the
/// open windows fill the count, then eight times as far, and again.
fn starts(view: &MetricView, wanted: &RowFilter<'_>) -> Vec<i64> {
    let Some(count) = wanted.count else { return Vec::new() };
    let open = view.open.rows();
    let last_open = open.last_key_value().map(|(start_ms, _)| *start_ms);
    let newest = last_open.max(view.published_through_ms).and_then(|ms| ms.checked_mul(MICROS_PER_MS));
    let Some(newest) = newest else { return Vec::new() };
    let end = wanted.range.until.map_or(newest, |until| until.min(newest));
    let open_rows: usize = open.values().map(RecordBatch::num_rows).sum();
    let rows_per_window = (open_rows / open.len().max(1)).max(1);
    let windows = i64::try_from((wanted.skip + count).div_ceil(rows_per_window)).unwrap_or(i64::MAX);
    let span =
        |factor: i64| windows.checked_add(2)?.checked_mul(factor)?.checked_mul(step_ms(view.window) * MICROS_PER_MS);
    let starts = [1, 8, 64].into_iter().filter_map(|factor| end.checked_sub(span(factor)?));
    starts.filter(|start| wanted.range.from.is_none_or(|from| from < *start)).collect()
}

/// About how far one window starts after the one before.
fn step_ms(window: Window) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    match window {
        Window::Fixed { slide_ms, .. } => slide_ms,
        // Those that are open are kept by day.
        Window::Days { .. } | Window::Session { .. } => DAY_MS,
        Window::Month => 31 * DAY_MS,
    }
}

/// The order in which windows are stored, but newest window first.
fn order(metric: &Metric, view: &MetricView) -> Vec<SortExpr> {
    let mut order = vec![ident(WINDOW_START_COLUMN).sort(false, false)];
    let mut taken = vec![WINDOW_START_COLUMN, WINDOW_END_COLUMN];
    for column in &metric.order {
        order.push(ident(&column.name).sort(!column.descending, column.descending));
        taken.push(&column.name);
    }
    let others = view.schema.fields().iter().filter(|field| !taken.contains(&field.name().as_str()));
    order.extend(others.map(|field| ident(field.name()).sort(true, true)));
    order
}
