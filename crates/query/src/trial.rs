//! What is declared, tried on stored events: the first rows that it gives, and what each event
//! costs.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident, lit};
use futures::StreamExt;
use vitral_catalog::{Catalog, DomainSettings, Endpoint, Metric};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_panes::split_by_window;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::Topic;

use crate::error::QueryError;
use crate::placeholders::placeholder_values;
use crate::plan::frame;
use crate::read_point::ReadPoint;
use crate::reader::Reader;
use crate::tables::{self, utc};
use crate::time_range::TimeRange;

/// Events that are folded at once, as a stream does.
const BATCH_ROWS: usize = 64 << 10;

/// What a metric has made of the events.
#[derive(Debug)]
pub struct MetricTrial {
    /// Its name.
    pub metric: String,
    /// How many were read.
    pub events: usize,
    /// What it made of them; its error says nothing about the other metrics.
    pub outcome: Result<TriedWindows, QueryError>,
    /// To fold the events, without reading them.
    pub folding: Duration,
}

/// A metric's windows of the events.
#[derive(Debug)]
pub struct TriedWindows {
    /// How many there are.
    pub count: usize,
    /// The rows of the newest.
    pub rows: RecordBatch,
}

/// A metric on its way through the events.
struct Trying<'a> {
    metric: &'a Metric,
    panes: MetricPanes,
    failure: Option<QueryError>,
    folding: Duration,
}

/// What an endpoint has answered.
#[derive(Debug)]
pub struct EndpointTrial {
    /// The first rows.
    pub rows: RecordBatch,
    /// Planning included.
    pub took: Duration,
}

/// The rows of the newest windows, at most `count_max`; the newest window first, each in its own
/// order.
fn newest_windows(panes: &MetricPanes, count_max: usize) -> Result<TriedWindows, QueryError> {
    let rows = concat_batches(panes.plan().rows_schema(), &panes.rows_of(|_| true)?)?;
    if panes.plan().windows.window.session_gap_micros().is_some() {
        // Each is a window of its own.
        let count = rows.num_rows();
        let newest = UInt64Array::from_iter_values((0..count as u64).rev().take(count_max));
        return Ok(TriedWindows { count, rows: take_record_batch(&rows, &newest)? });
    }
    let windows = split_by_window(&rows)?;
    let newest: Vec<RecordBatch> = windows.values().rev().take(count_max).cloned().collect();
    let rows = concat_batches(panes.plan().rows_schema(), &newest)?;
    Ok(TriedWindows { count: windows.len(), rows: rows.slice(0, rows.num_rows().min(count_max)) })
}

impl Reader {
    /// The last `span` of a topic's stored events; none if there are no events.
    pub async fn last_events(
        &self,
        point: &ReadPoint,
        topic: &Topic,
        span: Duration,
    ) -> Result<Option<TimeRange>, QueryError> {
        let time = &topic.columns[topic.event_time].name;
        let Some(events) = events_of(point, topic)? else { return Ok(None) };
        let plan = LogicalPlanBuilder::from(events)
            .aggregate(Vec::<datafusion::logical_expr::Expr>::new(), [max(ident(time))])?;
        let newest = frame(self.state(), plan.build()?).collect().await?;
        let newest = newest.first().and_then(|rows| {
            let times = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
            times.iter().flatten().next()
        });
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Ok(newest.map(|newest| TimeRange { from: Some(newest.saturating_sub(span)), until: Some(newest + 1) }))
    }

    /// Folds the events of a range into every metric of a topic. `cpu` tells how much time the
    /// calling thread has computed.
    pub async fn try_metrics(
        &self,
        point: &ReadPoint,
        (catalog, topic): (&Catalog, &Topic),
        settings: &DomainSettings,
        range: TimeRange,
        count: usize,
        cpu: impl Fn() -> Duration,
    ) -> Result<Vec<MetricTrial>, QueryError> {
        let Some(events) = events_of(point, topic)? else { return Ok(Vec::new()) };
        let memory_bytes = EngineConfig::default().memory_bytes;
        let session = engine_session(EngineConfig::default())?;
        let plans = catalog.metrics_of(&topic.name).map(|metric| {
            let plan = Arc::new(MetricPlan::new(metric, topic, settings, &session)?);
            let panes = MetricPanes::new(plan, &session.runtime_env().memory_pool, memory_bytes);
            Ok(Trying { metric, panes, failure: None, folding: Duration::ZERO })
        });
        let mut tried = plans.collect::<Result<Vec<Trying<'_>>, QueryError>>()?;
        let mut count_events = 0;
        let mut batches = self.batches(events, topic, range).await?;
        while let Some(batch) = batches.next().await.transpose()? {
            count_events += batch.num_rows();
            let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
            for trying in tried.iter_mut().filter(|trying| trying.failure.is_none()) {
                let began = cpu();
                let windows = trying.panes.plan().windows;
                let folded = trying.panes.fold(PartitionId(0), &batch, &pane_column(&windows, times));
                trying.failure = folded.err().map(QueryError::from);
                trying.folding += cpu().saturating_sub(began);
            }
        }
        let tried = tried.into_iter().map(|Trying { metric, panes, failure, folding }| {
            let outcome = failure.map_or_else(|| newest_windows(&panes, count), Err);
            MetricTrial { metric: metric.name.clone(), events: count_events, outcome, folding }
        });
        Ok(tried.collect())
    }

    /// Runs an endpoint for a range, if it takes one, and at most `count` rows.
    pub async fn try_endpoint(
        &self,
        point: &ReadPoint,
        endpoint: &Endpoint,
        range: TimeRange,
        count: usize,
    ) -> Result<EndpointTrial, QueryError> {
        let began = std::time::Instant::now();
        let needs = self.needs(&endpoint.query, &endpoint.position)?;
        let planned = self.plan(point, &endpoint.query, &needs).await?;
        let values = placeholder_values(endpoint, point.now_ms, range, count, |_| None);
        let plan = planned.plan.clone().with_param_values(values)?;
        let frame = planned.frame(plan).limit(0, Some(count))?;
        let schema = Arc::clone(frame.schema().inner());
        let rows = concat_batches(&schema, &frame.collect().await?)?;
        Ok(EndpointTrial { rows, took: began.elapsed() })
    }

    /// Batches as large as a stream decodes them.
    async fn batches(
        &self,
        events: LogicalPlan,
        topic: &Topic,
        range: TimeRange,
    ) -> Result<datafusion::execution::SendableRecordBatchStream, QueryError> {
        let time = || ident(&topic.columns[topic.event_time].name);
        let from = range.from.map(|from| time().gt_eq(lit(utc(Some(from)))));
        let until = range.until.map(|until| time().lt(lit(utc(Some(until)))));
        let mut plan = LogicalPlanBuilder::from(events);
        for condition in from.into_iter().chain(until) {
            plan = plan.filter(condition)?;
        }
        let mut state: SessionState = self.state().clone();
        let config = state.config_mut();
        *config = config.clone().with_batch_size(BATCH_ROWS).with_target_partitions(1);
        Ok(frame(&state, plan.build()?).execute_stream().await?)
    }
}

/// The counted events of a topic.
fn events_of(point: &ReadPoint, topic: &Topic) -> Result<Option<LogicalPlan>, QueryError> {
    let Some(view) = point.view.topics.get(&topic.name) else { return Ok(None) };
    Ok(Some(tables::topic_plan(topic, view, tables::imported(&point.histories, &topic.name)?)?))
}
