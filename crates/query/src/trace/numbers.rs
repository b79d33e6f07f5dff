//! The rows of metrics and tables in which rows of a topic count.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use datafusion::catalog::MemTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::names::statement;
use vitral_catalog::{Catalog, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_engine::{EngineConfig, engine_session};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::Window;

use super::proofs::Proofs;
use super::{Number, TRACE_SCOPE, object};
use crate::error::QueryError;
use crate::open_rows::make_open_rows;
use crate::plan::frame;
use crate::read_point::ReadPoint;
use crate::rows::utc_text;
use crate::tables::{PROVISIONAL_COLUMN, metric_plan, scan, utc};

/// Numbers a row for the statements that tell its groups.
const ROW_NUMBER: &str = "_linha_do_rastro";
/// For a hundred rows and their groups.
const MEMORY_BYTES: usize = 64 << 20;
const HOUR_MS: i64 = 3_600_000;

/// What numbers are computed from.
pub(super) struct Numbers<'a> {
    pub state: &'a SessionState,
    pub point: &'a ReadPoint,
    pub catalog: &'a Catalog,
    pub topic: &'a Topic,
    pub proofs: &'a Proofs,
}

/// Rows of a metric or table, and which of its columns are which.
struct Served {
    name: String,
    rows: RecordBatch,
    keys: Vec<String>,
    has_windows: bool,
}

/// A row of the topic that counts: its place, its event time, and its values of the keys.
struct Counted {
    row: usize,
    micros: i64,
    key: Vec<ScalarValue>,
}

impl Numbers<'_> {
    /// For each row, the numbers that it counts in.
    pub(super) async fn of(
        &self,
        rows: &RecordBatch,
        is_counted: &[bool],
        windows: bool,
    ) -> Result<Vec<Vec<Number>>, QueryError> {
        let mut numbers = vec![Vec::new(); rows.num_rows()];
        if !is_counted.contains(&true) {
            return Ok(numbers);
        }
        let times = rows.column(self.topic.event_time).as_primitive::<TimestampMicrosecondType>().clone();
        let rows = numbered(rows)?;
        let counts = |counted: &Counted| is_counted[counted.row];
        for metric in self.catalog.metrics_of(&self.topic.name).filter(|_| windows) {
            let is_open = self.may_read(&metric.name, &|column| metric.is_partitioned_by(column));
            let Some(view) = self.point.view.metrics.get(&metric.name).filter(|_| is_open) else { continue };
            let query = metric.groups_of_rows(ROW_NUMBER).map_err(|error| self.unplanned(error))?;
            let (keys, counted) = self.counted(&query, &rows, &times, &view.schema).await?;
            let counted: Vec<_> = counted.into_iter().filter(counts).collect();
            if counted.is_empty() {
                continue;
            }
            make_open_rows(view).await?;
            let matching = any(counted.iter().map(|counted| in_window(view.window, counted, &keys)));
            let found = self.collect(LogicalPlanBuilder::from(metric_plan(view)?), matching).await?;
            let served = Served { name: metric.name.clone(), rows: found, keys, has_windows: true };
            served.add(&counted, self.proofs, &mut numbers)?;
        }
        for table in self.catalog.keyed_of(&self.topic.name) {
            let is_open = self.may_read(&table.name, &|column| table.is_partitioned_by(column));
            let shown = self.point.view.keyed.get(&table.name).filter(|shown| is_open && shown.failure.is_none());
            let Some(shown) = shown.filter(|_| !table.is_of_changes) else { continue };
            let query = table.keys_of_rows(ROW_NUMBER).map_err(|error| self.unplanned(error))?;
            let (keys, counted) = self.counted(&query, &rows, &times, &shown.rows.schema()).await?;
            let counted: Vec<_> = counted.into_iter().filter(counts).collect();
            if counted.is_empty() {
                continue;
            }
            let matching = any(counted.iter().map(|counted| has_key(counted, &keys)));
            let found = self.collect(scan(Arc::clone(&shown.rows))?, matching).await?;
            let served = Served { name: table.name.clone(), rows: found, keys, has_windows: false };
            served.add(&counted, self.proofs, &mut numbers)?;
        }
        Ok(numbers)
    }

    /// Whether the principal may know of a metric: within row filters only if each of its rows is
    /// made of rows that the principal sees.
    fn may_read(&self, name: &str, is_partitioned_by: &dyn Fn(&str) -> bool) -> bool {
        let principal = &self.point.principal;
        let is_named = principal.scopes().has(TRACE_SCOPE) || principal.scopes().may_read(name);
        is_named && principal.filters().iter().all(|(column, _)| is_partitioned_by(column))
    }

    /// The rows that a statement counts, with their keys in the types of `schema`.
    async fn counted(
        &self,
        query: &Query,
        rows: &RecordBatch,
        times: &arrow::array::TimestampMicrosecondArray,
        schema: &Schema,
    ) -> Result<(Vec<String>, Vec<Counted>), QueryError> {
        let session = engine_session(EngineConfig { memory_bytes: MEMORY_BYTES })?;
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
        session.register_table(self.topic.name.as_str(), Arc::new(table))?;
        let plan = session.state().statement_to_plan(statement(query)).await?;
        let planned: Arc<Schema> = Arc::clone(plan.schema().inner());
        let batches = session.execute_logical_plan(plan).await?.collect().await?;
        let keys: Vec<String> = planned.fields().iter().skip(1).map(|field| field.name().clone()).collect();
        let mut counted = Vec::new();
        for batch in &batches {
            let numbers = batch.column(0).as_primitive::<Int64Type>();
            let columns = keys.iter().zip(batch.columns().iter().skip(1)).map(|(name, column)| {
                let wanted = schema.field_with_name(name)?.data_type();
                cast(column, wanted)
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for (place, number) in numbers.values().iter().enumerate() {
                let row = usize::try_from(*number).unwrap_or_default();
                let key = columns.iter().map(|column| ScalarValue::try_from_array(column, place));
                counted.push(Counted { row, micros: times.value(row), key: key.collect::<Result<_, _>>()? });
            }
        }
        Ok((keys, counted))
    }

    async fn collect(&self, rows: LogicalPlanBuilder, matching: Expr) -> Result<RecordBatch, QueryError> {
        let plan: LogicalPlan = rows.filter(matching)?.build()?;
        let frame = frame(self.state, plan);
        let schema = Arc::clone(frame.schema().inner());
        Ok(concat_batches(&schema, &frame.collect().await?)?)
    }

    /// A statement that is there cannot be taken apart: it was checked before.
    fn unplanned(&self, error: impl std::fmt::Display) -> QueryError {
        let error = format!("a statement over {} cannot be evaluated for one row: {error}", self.topic.name);
        QueryError::Engine(datafusion::error::DataFusionError::Internal(error))
    }
}

impl Served {
    /// Adds to each row that counts the numbers that it counts in; a metric without such a row says
    /// so.
    fn add(&self, counted: &[Counted], proofs: &Proofs, numbers: &mut [Vec<Number>]) -> Result<(), QueryError> {
        let start = self.micros(WINDOW_START_COLUMN)?;
        let end = self.micros(WINDOW_END_COLUMN)?;
        let keys = self.keys.iter().map(|key| self.rows.schema().index_of(key)).collect::<Result<Vec<_>, _>>()?;
        for counted in counted {
            let mut is_there = false;
            for place in 0..self.rows.num_rows() {
                let window = start[place].zip(end[place]);
                if window.is_some_and(|(start, end)| !(start..end).contains(&counted.micros)) {
                    continue;
                }
                let value = |index: &usize| ScalarValue::try_from_array(self.rows.column(*index), place);
                let key = keys.iter().map(value).collect::<Result<Vec<_>, _>>()?;
                if key != counted.key {
                    continue;
                }
                is_there = true;
                numbers[counted.row].push(self.number(place, window, &keys, proofs)?);
            }
            if !is_there {
                numbers[counted.row].push(self.absent());
            }
        }
        Ok(())
    }

    /// The times of a column of windows; none of a table that has none.
    fn micros(&self, name: &str) -> Result<Vec<Option<i64>>, QueryError> {
        match self.rows.column_by_name(name).filter(|_| self.has_windows) {
            Some(column) => Ok(column.as_primitive::<TimestampMicrosecondType>().iter().collect()),
            None => Ok(vec![None; self.rows.num_rows()]),
        }
    }

    fn number(
        &self,
        place: usize,
        window: Option<(i64, i64)>,
        keys: &[usize],
        proofs: &Proofs,
    ) -> Result<Number, QueryError> {
        let row = self.rows.slice(place, 1);
        let provisional = row.column_by_name(PROVISIONAL_COLUMN).filter(|_| self.has_windows);
        let is_provisional = provisional.map(|column| column.as_boolean().value(0));
        let of_window = [WINDOW_START_COLUMN, WINDOW_END_COLUMN, PROVISIONAL_COLUMN];
        let schema = row.schema();
        let others = schema.fields().iter().enumerate().filter(|(index, field)| {
            let is_of_window = self.has_windows && of_window.contains(&field.name().as_str());
            !keys.contains(index) && !is_of_window
        });
        let others: Vec<usize> = others.map(|(index, _)| index).collect();
        let proof = match is_provisional {
            // Nothing is compared before it is published.
            Some(true) => None,
            _ => proofs.of_metric(&self.name, window),
        };
        Ok(Number {
            metric: self.name.clone(),
            window_start: window.and_then(|(start, _)| utc_text(start)),
            window_end: window.and_then(|(_, end)| utc_text(end)),
            key: object(&row.project(keys)?)?,
            values: object(&row.project(&others)?)?,
            is_provisional,
            proof,
            url: self.url(&row, window, keys),
        })
    }

    /// The row is not there (any more): a metric may keep the first rows of a window alone, or
    /// still wait for its history.
    fn absent(&self) -> Number {
        Number {
            metric: self.name.clone(),
            window_start: None,
            window_end: None,
            key: None,
            values: None,
            is_provisional: None,
            proof: None,
            url: format!("/metricas/{}", self.name),
        }
    }

    fn url(&self, row: &RecordBatch, window: Option<(i64, i64)>, keys: &[usize]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        // No other window of a metric begins within a second.
        let bounds = window.and_then(|(start, _)| Some((utc_text(start)?, utc_text(start + 1_000 * MICROS_PER_MS)?)));
        if let Some((from, until)) = bounds {
            query.append_pair("de", &from).append_pair("ate", &until);
        }
        for index in keys {
            let column = row.column(*index);
            if let Some(texts) = column.as_string_opt::<i32>().filter(|texts| texts.iter().next().flatten().is_some()) {
                query.append_pair(row.schema().field(*index).name(), texts.value(0));
            }
        }
        let query = query.finish();
        let question = if query.is_empty() { "" } else { "?" };
        format!("/metricas/{}{question}{query}", self.name)
    }
}

/// The rows with their numbers.
fn numbered(rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(ROW_NUMBER, DataType::Int64, false)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new((0..i64::try_from(rows.num_rows()).unwrap_or_default()).collect::<Int64Array>()));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn any(conditions: impl Iterator<Item = Expr>) -> Expr {
    conditions.reduce(Expr::or).unwrap_or_else(|| lit(false))
}

fn has_key(counted: &Counted, keys: &[String]) -> Expr {
    let of_key = |(name, value): (&String, &ScalarValue)| match value.is_null() {
        true => ident(name.as_str()).is_null(),
        false => ident(name.as_str()).eq(lit(value.clone())),
    };
    keys.iter().zip(&counted.key).map(of_key).reduce(Expr::and).unwrap_or_else(|| lit(true))
}

/// The windows that have the row's time in them, within bounds that the stored files' statistics
/// know.
fn in_window(window: Window, counted: &Counted, keys: &[String]) -> Expr {
    let longest_ms = match window {
        Window::Fixed { size_ms, .. } => size_ms,
        Window::Days { size } => (i64::from(size) + 1) * 24 * HOUR_MS,
        Window::Month => 32 * 24 * HOUR_MS,
        // They are cut at days, one of which may have an hour more.
        Window::Session { .. } => 26 * HOUR_MS,
    };
    let earliest = counted.micros.saturating_sub(longest_ms.saturating_mul(MICROS_PER_MS));
    let start = || ident(WINDOW_START_COLUMN);
    let covers = start()
        .lt_eq(lit(utc(Some(counted.micros))))
        .and(start().gt_eq(lit(utc(Some(earliest)))))
        .and(ident(WINDOW_END_COLUMN).gt(lit(utc(Some(counted.micros)))));
    covers.and(has_key(counted, keys))
}
