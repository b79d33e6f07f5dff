//! A metric's SQL, planned once and cut at its aggregate.
//!
//! ```text
//! rows of a batch --pre, Partial--> state --PartialReduce--> state --Final, post--> rows of windows
//! ```
//!
//! A state is what DataFusion's own `Partial` aggregate emits: the group columns, then the
//! accumulators' columns. The pane is one of the group columns; writing a window's start into it
//! before `Final` turns panes into windows.

mod leaf;
mod refuse;
mod session;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{ExecutionPlan, collect};
use vitral_catalog::names::statement;
use vitral_catalog::{DomainSettings, Metric, PANE_COLUMN, SESSION_LAST_COLUMN, WINDOW_START_COLUMN};
use vitral_schemas::topic::{Topic, timestamp_type};
use vitral_schemas::window::Windows;

use self::leaf::{LeafTable, rows};
pub(crate) use self::session::SessionPlan;
use crate::error::PanesError;
use crate::rows::rows_schema;
use vitral_engine::count_distinct_text;

/// How a metric is folded, merged and finished.
#[derive(Debug)]
pub struct MetricPlan {
    /// What the catalog declares.
    pub metric: Metric,
    /// The metric's windows in the domain's zone.
    pub windows: Windows,
    context: Arc<TaskContext>,
    /// The topic's columns and the pane; of sessions, the last event too.
    leaf_schema: SchemaRef,
    /// The leaf's columns that the plan reads.
    projection: Vec<usize>,
    /// From the aggregate's input down to the leaf, which is not in it.
    below: Vec<Arc<dyn ExecutionPlan>>,
    aggregation: Aggregation,
    state_schema: SchemaRef,
    /// Which of the state's columns is the pane.
    pane_index: usize,
    /// From the root down to the node above the aggregate.
    above: Vec<Arc<dyn ExecutionPlan>>,
    /// The stored rows of a window.
    rows_schema: SchemaRef,
    session: Option<SessionPlan>,
}

/// What the engine plans for a metric.
struct Planned {
    physical: Arc<dyn ExecutionPlan>,
    /// Of sessions, what the aggregate reads.
    source: Option<Arc<dyn ExecutionPlan>>,
}

/// What the three steps of the aggregate share.
#[derive(Debug)]
struct Aggregation {
    group_by: PhysicalGroupBy,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Of the rows that the first step takes.
    input_schema: SchemaRef,
}

impl MetricPlan {
    /// Plans `metric` over `topic`. Errors name the place in the metric's file.
    pub fn new(
        metric: &Metric,
        topic: &Topic,
        settings: &DomainSettings,
        session: &SessionContext,
    ) -> Result<Self, PanesError> {
        let leaf_schema = leaf_schema(topic, metric);
        let planned = futures::executor::block_on(plan(metric, &leaf_schema, session))?;
        Self::cut(metric, topic, settings, session, leaf_schema, planned)
            .map_err(|source| engine_error(metric, "cut at its aggregate", source, session))
    }

    fn cut(
        metric: &Metric,
        topic: &Topic,
        settings: &DomainSettings,
        session: &SessionContext,
        leaf_schema: SchemaRef,
        Planned { physical, source }: Planned,
    ) -> Result<Self> {
        let rows_schema = rows_schema(&physical.schema());
        let (above, last) = chain_until(physical, |node| node.downcast_ref::<AggregateExec>().is_some())?;
        // The aggregate's first step has what all steps share; a second step above it adds nothing.
        let (_, first) = chain_until(last, |node| {
            node.downcast_ref::<AggregateExec>()
                .is_some_and(|aggregate| matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::Single))
        })?;
        let Some(aggregate) = first.downcast_ref::<AggregateExec>() else { return exec_err!("no aggregate") };
        let group_by = aggregate.group_expr().clone();
        let input_schema = aggregate.input_schema();
        let aggregates = aggregate.aggr_expr().iter();
        let aggregates = aggregates.map(|expr| with_exact_texts(expr, &input_schema)).collect::<Result<Vec<_>>>()?;
        let filters = aggregate.filter_expr().to_vec();
        let (below, leaf) = chain_until(Arc::clone(aggregate.input()), |node| node.children().is_empty())?;
        let Some(projection) = leaf::projection(&leaf, &leaf_schema) else { return exec_err!("no leaf") };
        let pane = group_by
            .expr()
            .iter()
            .position(|(expr, _)| expr.downcast_ref::<Column>().is_some_and(|column| column.name() == PANE_COLUMN));
        let Some(pane_index) = pane else { return exec_err!("not grouped by its pane") };
        let sessions = match metric.window.session_gap_micros().zip(source) {
            None => None,
            Some((gap, source)) => {
                Some(SessionPlan::new(gap, &metric.session_keys, topic, &group_by, source, &leaf_schema)?)
            }
        };
        let mut plan = Self {
            metric: metric.clone(),
            windows: Windows::new(metric.window, settings.time_zone),
            context: session.task_ctx(),
            leaf_schema,
            projection,
            below,
            aggregation: Aggregation { group_by, aggregates, filters, input_schema },
            state_schema: Arc::new(Schema::empty()),
            pane_index,
            above,
            rows_schema,
            session: sessions,
        };
        plan.state_schema = plan.partial_over(Vec::new())?.schema();
        Ok(plan)
    }

    /// The schema of the metric's rows: the window's start and end, then its columns.
    pub fn rows_schema(&self) -> &SchemaRef {
        &self.rows_schema
    }

    /// The schema of a partial state.
    pub fn state_schema(&self) -> &SchemaRef {
        &self.state_schema
    }

    pub(crate) fn pane_index(&self) -> usize {
        self.pane_index
    }

    /// Folds rows of the topic, whose panes are `panes`, into one state.
    pub fn fold(&self, batch: &RecordBatch, panes: &ArrayRef) -> Result<RecordBatch, PanesError> {
        if let Some(session) = &self.session {
            return self.fold_fragments(session, batch, panes).map_err(|source| self.failed("folded", source));
        }
        let with_panes = || {
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::clone(panes));
            RecordBatch::try_new(Arc::clone(&self.leaf_schema), columns).map_err(DataFusionError::from)
        };
        with_panes()
            .and_then(|batch| self.run(&self.partial_over(vec![batch])?))
            .map_err(|source| self.failed("folded", source))
    }

    /// Merges states into one, with each group once; fragments that belong together are one
    /// afterwards.
    pub fn merge(&self, states: Vec<RecordBatch>) -> Result<RecordBatch, PanesError> {
        let states = match &self.session {
            None => states,
            Some(session) => {
                let joined = || {
                    let spans = self.spans(session, &states)?;
                    let both = states.iter().zip(&spans);
                    both.map(|(states, spans)| self.in_sessions(session, states, spans)).collect::<Result<_>>()
                };
                joined().map_err(|source| self.failed("merged", source))?
            }
        };
        self.aggregate_states(AggregateMode::PartialReduce, states)
            .and_then(|plan| self.run(&plan))
            .map_err(|source| self.failed("merged", source))
    }

    /// Turns states, whose panes have become window starts, into the windows' rows.
    pub fn finish(&self, states: Vec<RecordBatch>) -> Result<RecordBatch, PanesError> {
        let run = || {
            let mut plan = self.aggregate_states(AggregateMode::Final, states)?;
            for node in self.above.iter().rev() {
                plan = over(node, plan)?;
            }
            self.run(&plan)
        };
        run().map_err(|source| self.failed("finished", source))
    }

    pub(crate) fn failed(&self, action: &'static str, source: DataFusionError) -> PanesError {
        PanesError::engine(&self.metric.name, action, source, self.context.memory_pool().as_ref())
    }

    fn partial_over(&self, batches: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = rows(batches, &self.leaf_schema, Some(&self.projection))?;
        for node in self.below.iter().rev() {
            plan = over(node, plan)?;
        }
        self.aggregate(AggregateMode::Partial, self.aggregation.group_by.clone(), plan)
    }

    fn aggregate_states(&self, mode: AggregateMode, states: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = rows(states, &self.state_schema, None)?;
        self.aggregate(mode, self.aggregation.group_by.as_final(), input)
    }

    fn aggregate(
        &self,
        mode: AggregateMode,
        group_by: PhysicalGroupBy,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = AggregateExec::try_new(
            mode,
            group_by,
            self.aggregation.aggregates.clone(),
            self.aggregation.filters.clone(),
            input,
            Arc::clone(&self.aggregation.input_schema),
        )?;
        Ok(Arc::new(aggregate))
    }

    /// Runs a plan to its end on this thread. Plans are rebuilt for each run: their nodes collect
    /// telemetry that would grow without bound.
    fn run(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<RecordBatch> {
        let batches = collect(Arc::clone(plan), Arc::clone(&self.context));
        // Unconstrained: inside a runtime the cooperative budget would stop this loop, and nobody
        // would refill it.
        let batches = futures::executor::block_on(tokio::task::unconstrained(batches))?;
        match batches.as_slice() {
            [batch] => Ok(batch.clone()),
            batches => Ok(concat_batches(&plan.schema(), batches)?),
        }
    }
}

/// The topic's columns, then the pane, then, of sessions, the last event.
fn leaf_schema(topic: &Topic, metric: &Metric) -> SchemaRef {
    let mut fields: Vec<FieldRef> = topic.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(PANE_COLUMN, timestamp_type(), false)));
    if metric.window.session_gap_micros().is_some() {
        fields.push(Arc::new(Field::new(SESSION_LAST_COLUMN, timestamp_type(), false)));
    }
    Arc::new(Schema::new(fields))
}

async fn plan(metric: &Metric, leaf_schema: &SchemaRef, session: &SessionContext) -> Result<Planned, PanesError> {
    // The session is shared by metrics whose topics may bear the same name in turn.
    let _ = session.deregister_table(metric.topic.as_str());
    session
        .register_table(metric.topic.as_str(), Arc::new(LeafTable::new(Arc::clone(leaf_schema))))
        .map_err(|source| engine_error(metric, "planned", source, session))?;
    let statement = statement(&metric.query);
    let state = session.state();
    let logical = state.statement_to_plan(statement).await.map_err(|source| refuse::planning_error(metric, &source))?;
    refuse::unsupported(metric, &logical)?;
    let failed = |source| refuse::planning_error(metric, &source);
    let physical = state.create_physical_plan(&logical).await.map_err(failed)?;
    let source = match session::source(&logical).filter(|_| metric.window.session_gap_micros().is_some()) {
        Some(source) => Some(state.create_physical_plan(source).await.map_err(failed)?),
        None => None,
    };
    match physical.schema().field_with_name(WINDOW_START_COLUMN).map(Field::data_type) {
        Ok(DataType::Timestamp(..)) => Ok(Planned { physical, source }),
        _ => Err(refuse::error(metric, "the window's start is not a time", "select the window once, as janela")),
    }
}

type Node = Arc<dyn ExecutionPlan>;

/// Walks down a chain of unary nodes until `stop` holds: the nodes above, and the node.
fn chain_until(
    root: Arc<dyn ExecutionPlan>,
    stop: impl Fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> Result<(Vec<Node>, Node)> {
    let mut nodes = Vec::new();
    let mut node = root;
    while !stop(&node) {
        let children = node.children();
        let [child] = children.as_slice() else {
            return exec_err!("{} has {} inputs where one is expected", node.name(), children.len());
        };
        let child = Arc::clone(child);
        nodes.push(node);
        node = child;
    }
    Ok((nodes, node))
}

fn over(node: &Arc<dyn ExecutionPlan>, child: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node).replace_children(vec![child], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Counts distinct texts by one shared table instead of DataFusion's accumulator per group.
fn with_exact_texts(
    aggregate: &Arc<AggregateFunctionExpr>,
    input_schema: &SchemaRef,
) -> Result<Arc<AggregateFunctionExpr>> {
    let arguments = aggregate.expressions();
    let counts_texts = aggregate.fun().name() == "count"
        && aggregate.is_distinct()
        && arguments.len() == 1
        && arguments[0].data_type(input_schema)? == DataType::Utf8;
    if !counts_texts {
        return Ok(Arc::clone(aggregate));
    }
    AggregateExprBuilder::new(count_distinct_text(), arguments)
        .schema(Arc::clone(input_schema))
        .alias(aggregate.name())
        .build()
        .map(Arc::new)
}

fn engine_error(
    metric: &Metric,
    action: &'static str,
    source: DataFusionError,
    session: &SessionContext,
) -> PanesError {
    PanesError::engine(&metric.name, action, source, session.runtime_env().memory_pool.as_ref())
}
