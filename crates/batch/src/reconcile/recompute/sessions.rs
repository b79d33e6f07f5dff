//! Sessions as gaps and islands ([`islands`]): an event that does not follow another of its key
//! closely begins an island, and the rest is the metric's own statement. A session is of the range
//! that it ends in.
//!
//! A session that ends in the range has begun on the same day, most often not long before. Events
//! are read from a few hours before the range, and from earlier ones only if a session may have
//! begun there.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Field, Schema, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::internal_err;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::SetExpr;
use futures::TryStreamExt;
use vitral_catalog::{Metric, PANE_COLUMN, SESSION_LAST_COLUMN};
use vitral_panes::stored_rows;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, timestamp_type};
use vitral_schemas::window::Windows;

use super::{KeyPart, WindowRange, counted, islands, seen_by, statement};

/// Sessions that end within this time are computed together: their events are sorted in memory. Who
/// asks for a longer time than [`BUSY_MS`] at once, or for a part of the keys, knows of few events,
/// or takes what a day has.
const STEP_MS: i64 = 3 * 3_600_000;
const BUSY_MS: i64 = 6 * 3_600_000;
const LONG_STEP_MS: i64 = 24 * 3_600_000;
/// How long before it events are read at first.
const BEFORE_MS: i64 = 3 * 3_600_000;

/// What is computed, and in which session of the engine.
pub(super) struct SessionQuery<'a> {
    pub(super) metric: &'a Metric,
    pub(super) topic: &'a Topic,
    pub(super) windows: Windows,
    /// Those of some keys only.
    pub(super) part: Option<&'a KeyPart>,
    pub(super) engine: SessionContext,
    /// Of this process, where islands are found in the events that the other reads.
    pub(super) local: SessionContext,
}

impl SessionQuery<'_> {
    /// The rows of all sessions that end in the range.
    pub(super) async fn rows(&self, archive: &Arc<dyn TableProvider>, range: WindowRange) -> Result<RecordBatch> {
        let mut found = Vec::new();
        let mut from = range.from;
        let has_few = self.part.is_some() || range.to.ms() - range.from.ms() > BUSY_MS;
        let step_ms = if has_few { LONG_STEP_MS } else { STEP_MS };
        while from < range.to || found.is_empty() {
            let step = WindowRange { from, to: range.to.min(from.plus_ms(step_ms)) };
            found.push(self.step(archive, step).await?);
            from = step.to;
        }
        let rows = concat_batches(&found[0].schema(), &found)?;
        // Sessions overlap: they are in order of their ends' steps only.
        let columns = rows.columns().iter().map(|values| SortColumn { values: Arc::clone(values), options: None });
        let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None)?;
        Ok(take_record_batch(&rows, &order)?)
    }

    /// Looks further back until no session can have begun before what was read.
    async fn step(&self, archive: &Arc<dyn TableProvider>, step: WindowRange) -> Result<RecordBatch> {
        // A session of an earlier day has ended before.
        let day_ms = self.windows.first_open_ms(step.from.ms());
        let gap_micros = self.gap_micros();
        // What HAVING leaves out of a part, it might not leave out of the whole.
        let looks_near = matches!(self.metric.query.body.as_ref(), SetExpr::Select(select) if select.having.is_none());
        let mut before_ms = BEFORE_MS.max(4 * gap_micros / MICROS_PER_MS);
        loop {
            let since_ms = if looks_near { day_ms.max(step.from.ms() - before_ms) } else { day_ms };
            let rows = self.since(archive, since_ms, step).await;
            if since_ms <= day_ms {
                return rows;
            }
            let may_have_begun = |start: &i64| {
                *start < since_ms * MICROS_PER_MS + gap_micros && self.windows.pane_start_ms(*start) < since_ms
            };
            // Part of a session may fail where the whole does not.
            if let Ok(rows) = rows
                && !rows.column(0).as_primitive::<TimestampMicrosecondType>().values().iter().any(may_have_begun)
            {
                return Ok(rows);
            }
            before_ms *= 2;
        }
    }

    /// The rows of the sessions that end in the step, as events since this time make them.
    async fn since(&self, archive: &Arc<dyn TableProvider>, since_ms: i64, step: WindowRange) -> Result<RecordBatch> {
        let mut fields = self.topic.schema().fields().to_vec();
        for column in [PANE_COLUMN, SESSION_LAST_COLUMN] {
            fields.push(Arc::new(Field::new(column, timestamp_type(), true)));
        }
        let nothing = Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))));
        let (columns, _) = seen_by(&statement(self.metric, self.topic, &self.engine, nothing).await?, self.topic)?;
        let mut events = counted(&self.engine, self.topic, archive, &columns, EventTime::from_ms(since_ms)..step.to)?;
        if let Some(part) = self.part {
            events = events.filter(part.has_event())?;
        }
        let islands = self.islands(events, step).await?;
        let plan = statement(self.metric, self.topic, &self.local, islands).await?;
        let rows = DataFrame::new(self.local.state(), plan).execute_stream().await?;
        let schema = rows.schema();
        let finished = concat_batches(&schema, &rows.try_collect::<Vec<_>>().await?)?;
        let rows = stored_rows(self.metric, &self.windows, &finished)?;
        let [from, to] = [step.from, step.to].map(EventTime::micros);
        let ends = rows.column(1).as_primitive::<TimestampMicrosecondType>().values();
        let of_step: BooleanArray = ends.iter().map(|end| Some(*end > from && *end <= to)).collect();
        Ok(filter_record_batch(&rows, &of_step)?)
    }

    /// Each event that the metric reads, with the first and the last of its session, of sessions
    /// that may end in the step.
    async fn islands(&self, events: DataFrame, step: WindowRange) -> Result<Arc<dyn TableProvider>> {
        let SetExpr::Select(select) = self.metric.query.body.as_ref() else {
            return internal_err!("a metric that is not one SELECT");
        };
        let names = events.schema().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ");
        let from = select.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let condition = select.selection.as_ref().map_or_else(String::new, |condition| format!("WHERE {condition}"));
        let name = self.topic.name.as_str();
        self.engine.register_table(name, events.into_view())?;
        let read = self.engine.sql(&format!("SELECT {names} FROM {from} {condition}")).await;
        self.engine.deregister_table(name)?;
        let time = &self.topic.columns[self.topic.event_time].name;
        islands::table(read?, &self.metric.session_keys, time, self.windows, step.from.micros())
    }

    fn gap_micros(&self) -> i64 {
        self.windows.window.session_gap_micros().unwrap_or_default()
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
