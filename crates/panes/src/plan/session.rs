//! Metrics of sessions: a row's pane is the first event of the session that it is part of, as far
//! as the rows at hand tell, and another group column is the last.
//!
//! So a state is a fragment of a session. Fragments that are nearer to each other than the gap get
//! the same two times, and what merges states merges them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::PhysicalGroupBy;
use vitral_catalog::SESSION_LAST_COLUMN;
use vitral_schemas::topic::Topic;

use super::leaf::rows;
use super::{MetricPlan, Node, chain_until, leaf, over};
use crate::pane_column::pane_column;
use crate::sessions::{Span, Spans, key_schema};

/// What sessions need besides what every metric has.
#[derive(Debug)]
pub(crate) struct SessionPlan {
    pub(crate) gap_micros: i64,
    /// From the rows that the metric reads down to the leaf, which is not in it; empty if it reads
    /// all.
    source: Vec<Node>,
    /// The leaf's columns that this reads.
    source_projection: Vec<usize>,
    /// The topic's columns that tell whose an event is, and when it was.
    keys: Vec<usize>,
    event_time: usize,
    /// The same keys in a state, and the last event time.
    state_keys: Vec<usize>,
    last_index: usize,
}

/// What a metric's aggregate reads: the topic's rows that meet its condition.
pub(super) fn source(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate.input.as_ref()),
        _ => plan.inputs().into_iter().find_map(source),
    }
}

impl SessionPlan {
    pub(super) fn new(
        gap_micros: i64,
        keys: &[String],
        topic: &Topic,
        group_by: &PhysicalGroupBy,
        source: Arc<dyn ExecutionPlan>,
        leaf_schema: &arrow::datatypes::SchemaRef,
    ) -> Result<Self> {
        let in_state = |name: &str| {
            let is_it = |expr: &Arc<dyn PhysicalExpr>| {
                expr.downcast_ref::<Column>().is_some_and(|column| column.name() == name)
            };
            match group_by.expr().iter().position(|(expr, _)| is_it(expr)) {
                Some(index) => Ok(index),
                None => exec_err!("not grouped by {name}"),
            }
        };
        let in_topic = |name: &String| match topic.columns.iter().position(|column| column.name == *name) {
            Some(index) => Ok(index),
            None => exec_err!("{name} is not a column of the topic"),
        };
        let (source, leaf) = chain_until(source, |node| node.children().is_empty())?;
        let Some(source_projection) = leaf::projection(&leaf, leaf_schema) else { return exec_err!("no leaf") };
        Ok(Self {
            gap_micros,
            source,
            source_projection,
            keys: keys.iter().map(in_topic).collect::<Result<_>>()?,
            event_time: topic.event_time,
            state_keys: keys.iter().map(|key| in_state(key)).collect::<Result<_>>()?,
            last_index: in_state(SESSION_LAST_COLUMN)?,
        })
    }
}

impl MetricPlan {
    /// What sessions need; none of other windows.
    pub(crate) fn session(&self) -> Option<&SessionPlan> {
        self.session.as_ref()
    }

    /// Folds rows of the topic, whose days are `days`, into one state of fragments.
    pub(super) fn fold_fragments(
        &self,
        session: &SessionPlan,
        batch: &RecordBatch,
        days: &ArrayRef,
    ) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::clone(days));
        columns.push(Arc::clone(batch.column(session.event_time)));
        let mut read = RecordBatch::try_new(Arc::clone(&self.leaf_schema), columns)?;
        // A row that the metric does not read holds no session together.
        if !session.source.is_empty() {
            let mut plan = rows(vec![read], &self.leaf_schema, Some(&session.source_projection))?;
            for node in session.source.iter().rev() {
                plan = over(node, plan)?;
            }
            read = self.run(&plan)?;
        }
        if read.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.state_schema)));
        }
        let days = read.num_columns() - 2;
        let keys: Vec<ArrayRef> =
            session.keys.iter().chain([&days]).map(|index| Arc::clone(read.column(*index))).collect();
        let mut spans = Spans::new(key_schema(keys.iter().map(|key| key.data_type())), session.gap_micros)?;
        let times = read.column(session.event_time).as_primitive::<TimestampMicrosecondType>().values();
        spans.add(&keys, times.iter().map(|time| Span { first: *time, last: *time }))?;
        let read = with_spans(&read, [days, days + 1], &spans.join())?;
        self.run(&self.partial_over(vec![read])?)
    }

    /// For each row of states, the session that it is part of, as far as these states tell.
    pub(crate) fn spans(&self, session: &SessionPlan, states: &[RecordBatch]) -> Result<Vec<Vec<Span>>> {
        let keys_of = |states: &RecordBatch| -> Vec<ArrayRef> {
            let firsts = states.column(self.pane_index).as_primitive::<TimestampMicrosecondType>();
            let keys = session.state_keys.iter().map(|index| Arc::clone(states.column(*index)));
            keys.chain([pane_column(&self.windows, firsts)]).collect()
        };
        let Some(first) = states.first() else { return Ok(Vec::new()) };
        let types = keys_of(&first.slice(0, 0));
        let mut all = Spans::new(key_schema(types.iter().map(|key| key.data_type())), session.gap_micros)?;
        for states in states {
            all.add(&keys_of(states), self.own_spans(session, states))?;
        }
        let mut joined = all.join().into_iter();
        Ok(states.iter().map(|states| joined.by_ref().take(states.num_rows()).collect()).collect())
    }

    /// The fragments' own times.
    pub(crate) fn own_spans<'a>(
        &self,
        session: &SessionPlan,
        states: &'a RecordBatch,
    ) -> impl Iterator<Item = Span> + 'a {
        let times = |index: usize| states.column(index).as_primitive::<TimestampMicrosecondType>().values();
        let (firsts, lasts) = (times(self.pane_index), times(session.last_index));
        firsts.iter().zip(lasts).map(|(first, last)| Span { first: *first, last: *last })
    }

    /// The same states as parts of these sessions.
    pub(crate) fn in_sessions(
        &self,
        session: &SessionPlan,
        states: &RecordBatch,
        spans: &[Span],
    ) -> Result<RecordBatch> {
        with_spans(states, [self.pane_index, session.last_index], spans)
    }
}

/// The rows with the spans in the place of two columns.
fn with_spans(rows: &RecordBatch, [first, last]: [usize; 2], spans: &[Span]) -> Result<RecordBatch> {
    let times = |time: fn(&Span) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(spans.iter().map(time)).with_timezone("UTC"))
    };
    let mut columns = rows.columns().to_vec();
    columns[first] = times(|span| span.first);
    columns[last] = times(|span| span.last);
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}
