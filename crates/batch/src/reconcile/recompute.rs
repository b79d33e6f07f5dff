//! What the windows of metrics must hold, computed from the archive's counted rows.
//!
//! By another code path than the stream's on purpose: the metric's SQL as one plain query, every
//! row put into each of its windows, with DataFusion's own planner and optimiser. Nothing of panes,
//! states or merges takes part; sums that do not fit fail here as they do there. Two things make it
//! cheap: metrics whose windows are short read their rows by one scan, and where an aggregate does
//! not see duplicates, rows that agree in everything it sees are put into their windows once
//! ([`once_per_window`]). Sessions have no windows to put rows into: [`sessions`] finds them.

mod islands;
mod session;
mod sessions;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, ident, lit};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use futures::future::{join, join_all};
use vitral_catalog::{DomainSettings, Metric, PANE_COLUMN};
use vitral_engine::starts_of;
use vitral_panes::stored_rows;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns, timestamp_type};
use vitral_schemas::verdict::Verdict;
use vitral_schemas::window::{Window, Windows};

pub(super) use self::session::Session;
use self::sessions::SessionQuery;
use super::key_part::KeyPart;
use super::once_per_window;
use super::shared_scan::SharedScan;
use super::{WindowRange, instant};
use crate::engine::Engine;
use crate::error::{BatchError, is_outage};

/// Metrics whose windows are no longer than this read their rows together: none makes the others
/// read much more than they need.
const SHARED_WINDOW_MS: i64 = 3_600_000;
/// Aggregates that a repeated row does not change; `count(DISTINCT ...)` is another.
const IDEMPOTENT: [&str; 7] = ["min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "approx_distinct"];

/// What is recomputed of a metric.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) metric: &'a Metric,
    pub(super) range: WindowRange,
    /// Of sessions, those of some keys.
    pub(super) part: Option<&'a KeyPart>,
}

/// The rows of each metric's windows that start in its range, or sessions that end in it, in the
/// schema of its table and in any order, from the archive's rows.
///
/// An outage is everybody's error, others are of one metric.
pub(super) async fn recompute(
    topic: &Topic,
    settings: &DomainSettings,
    archive: &Arc<dyn TableProvider>,
    session: &Session<'_>,
    wanted: &[Wanted<'_>],
) -> std::result::Result<Vec<std::result::Result<RecordBatch, BatchError>>, BatchError> {
    // To make a session takes as long as to plan a query, so that all queries of a kind have one.
    let failed = BatchError::engine(&topic.name, "planned");
    let (alone, shared) = (session.open().map_err(&failed)?, single(session.open().map_err(&failed)?));
    let local = session.local(&alone).map_err(&failed)?;
    let mut queries = Vec::with_capacity(wanted.len());
    for Wanted { metric, range, part } in wanted.iter().copied() {
        let windows = Windows::new(metric.window, settings.time_zone);
        if metric.window.session_gap_micros().is_some() {
            queries.push(Query::OfSessions(SessionQuery {
                metric,
                topic,
                windows,
                part,
                engine: alone.clone(),
                local: local.clone(),
            }));
            continue;
        }
        let shares = *session.engine == Engine::Local && windows.longest_ms() <= SHARED_WINDOW_MS;
        let session = if shares { &shared } else { &alone };
        queries.push(Query::OfWindows(MetricQuery::plan(metric, topic, windows, session, range, shares).await));
    }
    let of_windows = queries.iter().filter_map(|query| match query {
        Query::OfWindows(Ok(query)) => Some(query),
        Query::OfWindows(Err(_)) | Query::OfSessions(_) => None,
    });
    let sharing: Vec<&MetricQuery<'_>> = of_windows.filter(|query| query.shares).collect();
    let together = match run_together(topic, archive, &shared, &sharing).await {
        Ok(outcomes) => outcomes,
        Err(error) if is_outage(&error) => return Err(BatchError::engine(&topic.name, "read")(error)),
        Err(error) => {
            let error = Arc::new(error);
            sharing.iter().map(|_| Err(DataFusionError::Shared(Arc::clone(&error)))).collect()
        }
    };
    let mut together = together.into_iter();
    let mut recomputed = Vec::with_capacity(queries.len());
    for (query, Wanted { metric, range, .. }) in queries.into_iter().zip(wanted.iter().copied()) {
        let rows = match query {
            Query::OfWindows(Ok(query)) if query.shares => {
                together.next().unwrap_or_else(|| internal_err!("a query has no answer"))
            }
            Query::OfWindows(Ok(query)) => query.run_alone(archive).await,
            Query::OfWindows(Err(error)) => Err(error),
            Query::OfSessions(query) => query.rows(archive, range).await,
        };
        recomputed.push(rows.map_err(BatchError::engine(&metric.name, "recomputed")));
    }
    Ok(recomputed)
}

/// How a metric is recomputed.
enum Query<'a> {
    OfWindows(Result<MetricQuery<'a>>),
    OfSessions(SessionQuery<'a>),
}

/// Runs the queries over one scan of all that they need. The outer error is the scan's.
async fn run_together(
    topic: &Topic,
    archive: &Arc<dyn TableProvider>,
    session: &SessionContext,
    queries: &[&MetricQuery<'_>],
) -> Result<Vec<Result<RecordBatch>>> {
    let from = queries.iter().map(|query| query.range.from).min();
    let until = queries.iter().map(|query| query.needed_until()).max();
    let Some((from, until)) = from.zip(until) else { return Ok(Vec::new()) };
    let columns = queries.iter().flat_map(|query| &query.columns).copied().collect();
    let rows = counted(session, topic, archive, &columns, from..until)?;
    let mut scan = SharedScan::open(rows).await?;
    let mut runs = Vec::with_capacity(queries.len());
    for query in queries {
        let rows = session.read_table(scan.table()?)?;
        // Planned one after the other, as they share the session; run together.
        let planned = query.over(rows).await;
        runs.push(async move { query.run(planned?).await });
    }
    let (scanned, outcomes) = join(scan.run(), join_all(runs)).await;
    scanned.map(|()| outcomes)
}

/// A metric's statement, and which parts of the rows it sees.
struct MetricQuery<'a> {
    metric: &'a Metric,
    topic: &'a Topic,
    session: SessionContext,
    windows: Windows,
    range: WindowRange,
    /// The topic's columns that it names.
    columns: BTreeSet<usize>,
    ignores_duplicates: bool,
    /// What it asks of rows before anything else.
    condition: Option<Expr>,
    /// Whether it reads its rows together with others.
    shares: bool,
}

impl<'a> MetricQuery<'a> {
    async fn plan(
        metric: &'a Metric,
        topic: &'a Topic,
        windows: Windows,
        session: &SessionContext,
        range: WindowRange,
        shares: bool,
    ) -> Result<Self> {
        let session = session.clone();
        let mut fields = topic.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PANE_COLUMN, timestamp_type(), true)));
        let nothing = EmptyTable::new(Arc::new(Schema::new(fields)));
        let plan = statement(metric, topic, &session, Arc::new(nothing)).await?;
        let (columns, ignores_duplicates) = seen_by(&plan, topic)?;
        let ignores_duplicates = ignores_duplicates && !columns.contains(&topic.event_time);
        let condition = first_condition(&plan, topic)?;
        Ok(Self { metric, topic, session, windows, range, columns, ignores_duplicates, condition, shares })
    }

    /// Events at or after this time are in no window that starts in the range.
    fn needed_until(&self) -> EventTime {
        let last = EventTime::from_ms(self.range.to.ms() - 1);
        let end_ms = self.windows.bounds(self.windows.pane_start_ms(last.micros())).end_ms;
        EventTime::from_ms(end_ms + self.windows.longest_ms())
    }

    async fn run_alone(&self, archive: &Arc<dyn TableProvider>) -> Result<RecordBatch> {
        let times = self.range.from..self.needed_until();
        let rows = counted(&self.session, self.topic, archive, &self.columns, times)?;
        self.run(self.over(rows).await?).await
    }

    /// The metric's statement over counted rows.
    async fn over(&self, rows: DataFrame) -> Result<DataFrame> {
        let events = self.events(rows)?.into_view();
        let plan = statement(self.metric, self.topic, &self.session, events).await?;
        Ok(DataFrame::new(self.session.state(), plan))
    }

    /// The metric's rows, as it stores them.
    async fn run(&self, planned: DataFrame) -> Result<RecordBatch> {
        // Not the frame's own types: before it is analysed, CASE has that of its first branch.
        let rows = planned.execute_stream().await?;
        let schema = rows.schema();
        let finished = concat_batches(&schema, &rows.try_collect::<Vec<_>>().await?)?;
        stored_rows(self.metric, &self.windows, &finished)
    }

    /// The rows, each once for every window of the range that it belongs to.
    fn events(&self, mut rows: DataFrame) -> Result<DataFrame> {
        let with = |start: Expr| {
            let mut columns: Vec<Expr> =
                self.columns.iter().map(|index| ident(&self.topic.columns[*index].name)).collect();
            columns.push(start.alias(PANE_COLUMN));
            columns
        };
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let in_range = ident(PANE_COLUMN)
            .between(lit(instant(self.range.from.micros())), lit(instant(self.range.to.micros() - 1)));
        // Rows that the statement leaves out anyway are put into no window.
        if let Some(condition) = &self.condition {
            rows = rows.filter(condition.clone())?;
        }
        let Window::Fixed { size_ms, slide_ms } = self.windows.window else {
            let rows = rows.select(with(starts_of(&self.windows, time)))?;
            return rows.unnest_columns(&[PANE_COLUMN])?.filter(in_range);
        };
        if self.shares && self.ignores_duplicates && !self.columns.is_empty() {
            let [from, until] = [self.range.from, self.needed_until()].map(|at| lit(instant(at.micros())));
            let mut seen: Vec<Expr> =
                self.columns.iter().map(|index| ident(&self.topic.columns[*index].name)).collect();
            seen.push(time.clone());
            let rows = rows.filter(time.clone().gt_eq(from).and(time.lt(until)))?.select(seen)?;
            return self.session.read_table(once_per_window::table(rows, &self.windows, self.range)?);
        }
        // All rows of a pane are in the same windows.
        let pane_ms = self.windows.pane_end_ms(0);
        let starts_with_pane = size_ms == slide_ms;
        if starts_with_pane {
            // Their time says whether the window is of the range: to compare it costs less than to
            // compute its pane first.
            let [from, until] = [self.range.from, self.range.to].map(|at| at_or_after(at.ms(), pane_ms));
            rows = rows.filter(time.clone().gt_eq(from).and(time.clone().lt(until)))?;
        }
        let mut rows = rows.select(with(start_of(pane_ms, time)))?;
        if self.ignores_duplicates {
            rows = rows.distinct()?;
        }
        if starts_with_pane {
            return Ok(rows);
        }
        let rows = rows.select(with(starts_of(&self.windows, ident(PANE_COLUMN))))?;
        rows.unnest_columns(&[PANE_COLUMN])?.filter(in_range)
    }
}

/// The metric's statement over a table of events.
async fn statement(
    metric: &Metric,
    topic: &Topic,
    session: &SessionContext,
    events: Arc<dyn TableProvider>,
) -> Result<LogicalPlan> {
    session.register_table(topic.name.as_str(), events)?;
    let statement = vitral_catalog::names::statement(&metric.query);
    let plan = session.state().statement_to_plan(statement).await;
    // The plan has the table; a session that kept it would keep a shared scan waiting.
    session.deregister_table(topic.name.as_str())?;
    plan
}

/// The topic's columns that a plan names, and whether a repeated row changes none of its
/// aggregates.
fn seen_by(plan: &LogicalPlan, topic: &Topic) -> Result<(BTreeSet<usize>, bool)> {
    let mut columns = BTreeSet::new();
    let mut ignores_duplicates = true;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            ignores_duplicates &= aggregate.aggr_expr.iter().all(is_idempotent);
        }
        for expr in node.expressions() {
            expr.apply(|inner| {
                if let Expr::Column(column) = inner {
                    columns.extend(topic.columns.iter().position(|known| known.name == column.name));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((columns, ignores_duplicates))
}

/// The condition on rows that a plan begins with, if it reads them once and the condition rests on
/// them alone.
fn first_condition(plan: &LogicalPlan, topic: &Topic) -> Result<Option<Expr>> {
    let (mut scans, mut condition) = (0, None);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(_) => scans += 1,
            LogicalPlan::Filter(filter) if matches!(*filter.input, LogicalPlan::TableScan(_)) => {
                condition = Some(unnormalize_col(filter.predicate.clone()));
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let is_of_rows = |condition: &Expr| {
        let is_known = |name: &str| topic.columns.iter().any(|column| column.name == name);
        scans == 1 && !condition.is_volatile() && condition.column_refs().iter().all(|column| is_known(&column.name))
    };
    Ok(condition.filter(is_of_rows))
}

fn is_idempotent(aggregate: &Expr) -> bool {
    match aggregate {
        Expr::Alias(alias) => is_idempotent(&alias.expr),
        Expr::AggregateFunction(call) => call.params.distinct || IDEMPOTENT.contains(&call.func.name()),
        _ => false,
    }
}

/// Counted rows of a span of event time: some of the topic's columns, and the event time.
fn counted(
    session: &SessionContext,
    topic: &Topic,
    archive: &Arc<dyn TableProvider>,
    columns: &BTreeSet<usize>,
    times: Range<EventTime>,
) -> Result<DataFrame> {
    let time = || ident(&topic.columns[topic.event_time].name);
    let wanted = ident(archive_columns::VERDICT)
        .eq(lit(Verdict::Counted.name()))
        .and(time().gt_eq(lit(instant(times.start.micros()))))
        .and(time().lt(lit(instant(times.end.micros()))));
    let found = archive.schema();
    let columns: BTreeSet<usize> = columns.iter().copied().chain([topic.event_time]).collect();
    let typed = columns.into_iter().map(|index| {
        let column = &topic.columns[index];
        let is_text = found.field_with_name(&column.name).is_ok_and(|field| *field.data_type() == DataType::Utf8View);
        match column.kind.data_type() {
            // A view of what was read: to copy it would cost more than to compute with it.
            DataType::Utf8 if is_text => ident(&column.name),
            data_type => cast(ident(&column.name), data_type).alias(&column.name),
        }
    });
    session.read_table(Arc::clone(archive))?.filter(wanted)?.select(typed.collect::<Vec<_>>())
}

/// The start of what a time is in, where time is cut into such widths since the Unix epoch.
fn start_of(width_ms: i64, time: Expr) -> Expr {
    let width = IntervalMonthDayNano { months: 0, days: 0, nanoseconds: width_ms * 1_000_000 };
    let start = date_bin().call(vec![lit(ScalarValue::IntervalMonthDayNano(Some(width))), time]);
    cast(start, timestamp_type())
}

/// The first time that is a multiple of a width since the Unix epoch, at or after this one.
fn at_or_after(ms: i64, width_ms: i64) -> Expr {
    lit(instant((ms + width_ms - 1).div_euclid(width_ms) * width_ms * MICROS_PER_MS))
}

/// A session that computes with one thread at a time: the queries of a shared scan run side by
/// side.
fn single(session: SessionContext) -> SessionContext {
    session.state_ref().write().config_mut().options_mut().execution.target_partitions = 1;
    session
}
