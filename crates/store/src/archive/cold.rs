//! The older part of an archive: rows that were moved below another prefix, and what is known of
//! those that retention has purged.
//!
//! `archive/TOPIC` has the newest rows, `cold/archive/TOPIC` those before them, and
//! `cold/steps/TOPIC` says where the border is. A step is planned there, its rows are appended to
//! the cold table and read back, and then it is marked as done: with that one commit readers
//! switch. Only then do the rows leave the hot table. After a kill the next run goes on with what
//! was planned.
//!
//! Readers open the hot table first, then the steps, then the cold table. So they find each row
//! once, at any point of a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use serde::{Deserialize, Serialize};
use vitral_schemas::event_time::EventTime;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};

use super::spans::Spans;
use super::{Counts, this_log};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

const STEP: &str = "passo";
const DONE: &str = "feito";
const EXTENT: &str = "alcance";

/// Offsets through which rows have something in common, by log and partition.
pub(super) type Through = BTreeMap<String, BTreeMap<PartitionId, Offset>>;

/// Where an archive's parts begin and end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    /// Rows through these are in the cold table, no longer in the hot one.
    pub(super) cold: Through,
    /// Rows through these are purged.
    #[serde(rename = "gone")]
    pub(super) purged: Through,
    /// Their verdicts.
    #[serde(rename = "gone_counts")]
    pub(super) purged_counts: Counts,
    /// The newest event time among those of them that had counted.
    #[serde(rename = "gone_micros")]
    pub(super) newest_purged: Option<EventTime>,
    /// The event times of those. None where nothing is purged, or where a version purged rows that
    /// did not record them.
    #[serde(rename = "gone_times")]
    pub(super) purged_times: Option<Spans>,
}

impl Extent {
    /// The event times that purged rows which had counted may have had.
    pub(super) fn purged_times(&self) -> Spans {
        match (&self.purged_times, self.newest_purged) {
            (Some(spans), _) => spans.clone(),
            (None, Some(newest)) => Spans::through(newest),
            (None, None) => Spans::default(),
        }
    }
}

/// A step, planned or done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: i64,
    pub(super) is_done: bool,
    pub(super) extent: Extent,
}

/// The cold part at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Cold {
    pub(super) extent: Extent,
    /// Whether a step is planned and not yet done: its rows are being copied.
    pub(super) is_moving: bool,
    rows: Option<Arc<dyn TableProvider>>,
}

pub(super) fn rows_place(store: &Location, topic: &Topic) -> Location {
    Layout::of(store).cold_archive(topic)
}

impl Cold {
    pub(super) fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// To be called after the hot table was opened.
    pub(super) async fn read(store: &Location, topic: &Topic) -> Result<Self, StoreError> {
        let Some(steps) = Steps::read(store, topic).await? else { return Ok(Self::default()) };
        let extent = steps.current().await?;
        let last = steps.last().await?;
        let is_moving = last.number > 0 && !last.is_done && last.extent.cold != extent.cold;
        let rows = match Table::read(&topic.name, &rows_place(store, topic)).await? {
            Some(table) if !extent.cold.is_empty() => Some(table.provider().await?),
            _ => None,
        };
        Ok(Self { extent, is_moving, rows })
    }

    /// Every row, in either table.
    pub(super) fn with(&self, hot: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
        if self.extent == Extent::default() {
            return Ok(hot);
        }
        let schema = hot.schema();
        let still_hot = !through(&self.extent.cold);
        let mut plan = LogicalPlanBuilder::scan("hot", provider_as_source(hot), None)?
            .filter(still_hot)?
            .project(columns(&schema, &schema))?;
        if let Some(rows) = &self.rows {
            let there = through(&self.extent.cold).and(!through(&self.extent.purged));
            let found = columns(&schema, &rows.schema());
            let cold = LogicalPlanBuilder::scan("cold", provider_as_source(Arc::clone(rows)), None)?;
            plan = plan.union(cold.filter(there)?.project(found)?.build()?)?;
        }
        Ok(Arc::new(ViewTable::new(plan.build()?, None)))
    }
}

/// Rows at or before these offsets.
pub(super) fn through(offsets: &Through) -> Expr {
    let each = offsets.iter().flat_map(|(log, partitions)| {
        partitions.iter().map(move |(partition, last)| {
            this_log(log)
                .and(ident(archive_columns::PARTITION).eq(lit(partition.0)))
                .and(ident(archive_columns::OFFSET).lt_eq(lit(last.0)))
        })
    });
    each.reduce(Expr::or).unwrap_or(lit(false))
}

/// The wanted columns; one that was added later is empty in older rows.
pub(super) fn columns(wanted: &SchemaRef, found: &SchemaRef) -> Vec<Expr> {
    let column = |field: &Arc<Field>| match found.field_with_name(field.name()) {
        Ok(_) => ident(field.name()),
        Err(_) => lit(ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null)).alias(field.name()),
    };
    wanted.fields().iter().map(column).collect()
}

/// The table of steps.
pub(super) struct Steps(Table);

impl Steps {
    fn place(store: &Location, topic: &Topic) -> Location {
        // Read by this process alone, never by a plan that is sent away.
        Layout::of(store).cold_steps(topic).as_delta()
    }

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new(STEP, DataType::Int64, false),
            Field::new(DONE, DataType::Boolean, false),
            Field::new(EXTENT, DataType::Utf8, false),
        ]))
    }

    pub(super) async fn open(store: &Location, topic: &Topic) -> Result<Self, StoreError> {
        Table::open(&topic.name, &Self::place(store, topic), Self::schema()).await.map(Self)
    }

    async fn read(store: &Location, topic: &Topic) -> Result<Option<Self>, StoreError> {
        Ok(Table::read(&topic.name, &Self::place(store, topic)).await?.map(Self))
    }

    /// The newest step; the first has the number 1.
    pub(super) async fn last(&self) -> Result<Step, StoreError> {
        Ok(self.newest(lit(true)).await?.unwrap_or_default())
    }

    /// What the newest step that is done says: what readers go by.
    pub(super) async fn current(&self) -> Result<Extent, StoreError> {
        Ok(self.newest(ident(DONE)).await?.unwrap_or_default().extent)
    }

    async fn newest(&self, wanted: Expr) -> Result<Option<Step>, StoreError> {
        let failed = StoreError::read(&self.0.name);
        let frame = read_session(1).read_table(self.0.provider().await?).map_err(&failed)?;
        let run = async {
            // Of a step's two rows the later one says that it is done.
            let order = vec![ident(STEP).sort(false, false), ident(DONE).sort(false, false)];
            frame.filter(wanted)?.sort(order)?.limit(0, Some(1))?.collect().await
        };
        let batches = run.await.map_err(&failed)?;
        let Some(row) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let extent = serde_json::from_str(row.column(2).as_string::<i32>().value(0));
        Ok(Some(Step {
            number: row.column(0).as_primitive::<Int64Type>().value(0),
            is_done: row.column(1).as_boolean().value(0),
            extent: extent.map_err(|error| failed(DataFusionError::External(Box::new(error))))?,
        }))
    }

    /// Of two processes that write the same step at the same time, one succeeds.
    pub(super) async fn write(&mut self, step: &Step) -> Result<(), StoreError> {
        let failed = StoreError::read(&self.0.name);
        let extent = serde_json::to_string(&step.extent);
        let extent = extent.map_err(|error| failed(DataFusionError::External(Box::new(error))))?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![step.number])),
            Arc::new(BooleanArray::from(vec![step.is_done])),
            Arc::new(StringArray::from(vec![extent])),
        ];
        let rows = RecordBatch::try_new(Self::schema(), columns).map_err(|error| failed(error.into()))?;
        self.0.append(vec![rows], &[(STEP.to_owned(), step.number)]).await.map(|_| ())
    }
}
