//! Recomputes what was published, and compares.
//!
//! By another code path on purpose: the metric's SQL as one plain query over the archive's counted rows, every row put into each of
//! its windows by `unnest`, with DataFusion's own planner and optimiser. Nothing of panes, states or merges takes part; sums that do
//! not fit fail here as they do there.

pub mod offsets;
pub mod results;

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{min, sum};
use datafusion::logical_expr::{Expr, cast, ident, lit};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as ParserStatement;
use datafusion::sql::sqlparser::ast::Statement;
use vitral_catalog::{Catalog, DomainSettings, Metric, PANE_COLUMN, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_engine::starts_of;
use vitral_panes::stored_rows;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_schemas::window::Windows;
use vitral_store::{Archive, Location, MetricTable, read_session};

use crate::engine::{Engine, PARALLELISM};
use crate::error::{BatchError, is_outage};

/// Says on which side a row stands that the other lacks, and how often.
pub const SIDE_COLUMN: &str = "_lado";
const SIDE: &str = "_sinal";

/// Windows that start in `from_ms..to_ms`.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// What the comparison of one metric has found.
#[derive(Debug)]
pub struct Compared {
    pub metric: String,
    /// Less than what was asked for, where the events of its beginning are gone.
    pub range: Range,
    /// None while no window of this version was ever published.
    pub published_through_ms: Option<i64>,
    pub windows: usize,
    /// What the closed windows of the range must hold.
    pub expected: RecordBatch,
    /// The rows that differ: [`SIDE_COLUMN`] (above zero: published, but not recomputed; below: recomputed, but not published), then
    /// the metric's columns.
    pub differences: RecordBatch,
    /// Why nothing could be compared, if so.
    pub failure: Option<String>,
    /// Since when, in milliseconds, and why the stream has set the metric aside: what it should have published since is missing.
    pub set_aside: Option<(i64, String)>,
}

impl Compared {
    fn nothing(metric: &Metric, range: Range) -> Self {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Self {
            metric: metric.name.clone(),
            range,
            published_through_ms: None,
            windows: 0,
            expected: nothing.clone(),
            differences: nothing,
            failure: None,
            set_aside: None,
        }
    }

    pub fn differs(&self) -> bool {
        self.differences.num_rows() > 0
    }
}

/// Windows that are recomputed together: a long range is gone through in steps, so that memory stays bounded by the busiest of them.
const STEP_MS: i64 = 6 * 3_600_000;

/// Compares the published windows of every metric, or of the one named, with the archive, which `engine` recomputes them from.
pub async fn reconcile(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: Range,
    only: Option<&str>,
) -> Result<Vec<Compared>, BatchError> {
    let mut compared = Vec::new();
    for topic in &catalog.topics {
        for metric in catalog.metrics_of(&topic.name).filter(|metric| only.is_none_or(|only| metric.name == only)) {
            let version = metric.version(settings, topic.lateness_ms);
            let location = store.join("metrics");
            let set_aside = MetricTable::failure(&metric.name, &version, &location).await?;
            let outcome = in_steps(metric, topic, settings, store, engine, range).await;
            compared.push(match outcome {
                Ok(found) => Compared { set_aside, ..found },
                // One metric's failure says nothing about the others.
                Err(BatchError::Engine { what, action, source }) if !is_outage(&source) => {
                    let reason = format!("{what} cannot be {action}: {}", source.find_root().strip_backtrace());
                    Compared { set_aside, failure: Some(reason), ..Compared::nothing(metric, range) }
                }
                Err(error) => return Err(error),
            });
        }
    }
    Ok(compared)
}

async fn in_steps(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: Range,
) -> Result<Compared, BatchError> {
    let mut steps = Vec::new();
    let range =
        Range { from_ms: provable_from_ms(topic, store).await?.unwrap_or(range.from_ms).max(range.from_ms), ..range };
    let range = Range {
        to_ms: closed_until_ms(metric, topic, settings, store).await?.unwrap_or(range.to_ms).min(range.to_ms),
        ..range
    };
    let mut from_ms = range.from_ms;
    while from_ms < range.to_ms {
        let step = Range { from_ms, to_ms: range.to_ms.min(from_ms + STEP_MS) };
        let compared = compare(metric, topic, settings, store, engine, step).await?;
        let is_empty = compared.windows == 0 && !compared.differs();
        steps.push(compared);
        from_ms = step.to_ms;
        if is_empty && from_ms < range.to_ms {
            // Years without events are gone through at once.
            from_ms = next_ms(metric, topic, settings, store, from_ms).await?.unwrap_or(range.to_ms).max(from_ms);
        }
    }
    let one = |rows: fn(&Compared) -> &RecordBatch| {
        let rows: Vec<&RecordBatch> = steps.iter().map(rows).collect();
        let schema = rows.first().map_or_else(|| Arc::new(Schema::empty()), |rows| rows.schema());
        concat_batches(&schema, rows)
    };
    let failed = |source: ArrowError| BatchError::engine(&metric.name, "compared")(source.into());
    Ok(Compared {
        // A running stream goes on meanwhile: what every step saw as published is what was compared.
        published_through_ms: steps.iter().map(|step| step.published_through_ms).min().flatten(),
        windows: steps.iter().map(|step| step.windows).sum(),
        expected: one(|step| &step.expected).map_err(failed)?,
        differences: one(|step| &step.differences).map_err(failed)?,
        ..Compared::nothing(metric, range)
    })
}

/// Windows that start before this are published, and later ones need not be computed; none if none is.
async fn closed_until_ms(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
) -> Result<Option<i64>, BatchError> {
    let version = metric.version(settings, topic.lateness_ms);
    let stored = MetricTable::read(&metric.name, &version, &store.join("metrics")).await?;
    let windows = Windows::new(metric.window, settings.time_zone);
    Ok(stored.and_then(|(_, through_ms)| through_ms).map(|ms| windows.first_open_ms(ms - topic.lateness_ms)))
}

/// The first window start that no event belongs to which is gone; none if all are there.
async fn provable_from_ms(topic: &Topic, store: &Location) -> Result<Option<i64>, BatchError> {
    let archive = Archive::read(topic, store).await?;
    let gone_micros = archive.and_then(|archive| archive.gone_micros());
    Ok(gone_micros.map(|micros| micros.div_euclid(MICROS_PER_MS) + 1))
}

/// Where, at or after this time, any of the metrics may have something to compare.
pub async fn first_ms(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    from_ms: i64,
) -> Result<Option<i64>, BatchError> {
    let mut first = None;
    for metric in &catalog.metrics {
        let Some(topic) = catalog.topic(&metric.topic) else { continue };
        first = first.into_iter().chain(next_ms(metric, topic, settings, store, from_ms).await?).min();
    }
    Ok(first)
}

/// Where, at or after this time, something may be there to compare: an event's first window, or a published one.
pub(crate) async fn next_ms(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    from_ms: i64,
) -> Result<Option<i64>, BatchError> {
    let from_ms = provable_from_ms(topic, store).await?.unwrap_or(from_ms).max(from_ms);
    let from = || lit(instant(from_ms * MICROS_PER_MS));
    let oldest = async |table: Arc<dyn TableProvider>, column: &str, wanted: Expr| {
        let run = async {
            let frame = read_session(PARALLELISM).read_table(table)?.filter(wanted)?;
            frame.aggregate(vec![], vec![min(ident(column)).alias("oldest")])?.collect().await
        };
        let batches = run.await.map_err(BatchError::engine(&metric.name, "searched"))?;
        let first = |batch: &RecordBatch| {
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            arrow::compute::min(times).map(|micros| micros.div_euclid(MICROS_PER_MS))
        };
        Ok::<_, BatchError>(batches.iter().find_map(first))
    };
    let time = topic.columns[topic.event_time].name.as_str();
    let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name())).and(ident(time).gt_eq(from()));
    let event_ms = match Archive::read(topic, store).await? {
        Some(archive) => oldest(archive.provider().await?, time, counted).await?,
        None => None,
    };
    let windows = Windows::new(metric.window, settings.time_zone);
    let first_window_ms = event_ms.map(|event_ms| windows.first_open_ms(event_ms));
    let version = metric.version(settings, topic.lateness_ms);
    let published_ms = match MetricTable::read(&metric.name, &version, &store.join("metrics")).await? {
        Some((table, _)) => oldest(table, WINDOW_START_COLUMN, ident(WINDOW_START_COLUMN).gt_eq(from())).await?,
        None => None,
    };
    Ok(first_window_ms.into_iter().chain(published_ms).min())
}

async fn compare(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: Range,
) -> Result<Compared, BatchError> {
    let failed = BatchError::engine(&metric.name, "recomputed");
    let version = metric.version(settings, topic.lateness_ms);
    // The table before the archive: what it calls closed gains no row after, however far a running stream goes on.
    let stored = MetricTable::read(&metric.name, &version, &store.join("metrics")).await?;
    let recomputed = recompute(metric, topic, settings, store, engine, range).await?;
    let published_through_ms = stored.as_ref().and_then(|(_, through_ms)| *through_ms);
    let schema = recomputed.schema();
    let closed = || closed(topic, range, published_through_ms);
    let columns: Vec<Expr> = schema.fields().iter().map(|field| ident(field.name())).collect();
    let session = read_session(PARALLELISM);
    let side = |frame: DataFrame, sign: i64| -> Result<DataFrame> {
        let typed = schema.fields().iter().map(|field| cast(ident(field.name()), field.data_type().clone()));
        let mut typed: Vec<Expr> = typed.zip(schema.fields()).map(|(expr, field)| expr.alias(field.name())).collect();
        typed.push(lit(sign).alias(SIDE));
        frame.filter(closed())?.select(typed)
    };
    let run = async {
        let table = MemTable::try_new(Arc::clone(&schema), vec![vec![recomputed]])?;
        let recomputed = session.read_table(Arc::new(table))?;
        let counted = side(recomputed.clone(), -1)?;
        let expected = counted.clone().select(columns.clone())?.collect().await?;
        let expected = concat_batches(&schema, &expected)?;
        let starts = counted.clone().select(vec![ident(WINDOW_START_COLUMN)])?.distinct()?;
        let windows = starts.count().await?;
        let both = match stored {
            Some((table, _)) => side(session.read_table(table)?, 1)?.union(counted)?,
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
    let (expected, windows, differences) = run.await.map_err(failed)?;
    Ok(Compared { published_through_ms, windows, expected, differences, ..Compared::nothing(metric, range) })
}

/// Puts what must be there into the tables of the metrics that differ; how many did.
pub async fn repair(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    compared: &[Compared],
) -> Result<usize, BatchError> {
    let mut repaired = 0;
    for found in compared.iter().filter(|found| found.differs()) {
        let Some(metric) = catalog.metric(&found.metric) else { continue };
        let Some(topic) = catalog.topic(&metric.topic) else { continue };
        let wanted = closed(topic, found.range, found.published_through_ms);
        let version = metric.version(settings, topic.lateness_ms);
        let rows = found.expected.clone();
        MetricTable::replace(&metric.name, &version, &store.join("metrics"), wanted, rows).await?;
        repaired += 1;
    }
    Ok(repaired)
}

/// Which rows of a metric's table are of the range and final.
fn closed(topic: &Topic, range: Range, published_through_ms: Option<i64>) -> Expr {
    let last_end = published_through_ms.map_or(i64::MIN, |ms| (ms - topic.lateness_ms) * MICROS_PER_MS);
    ident(WINDOW_START_COLUMN)
        .between(lit(instant(range.from_ms * MICROS_PER_MS)), lit(instant(range.to_ms * MICROS_PER_MS - 1)))
        .and(ident(WINDOW_END_COLUMN).lt_eq(lit(instant(last_end))))
}

/// The metric's rows of the windows that start in the range, in the schema of its table, from the archive's counted rows.
pub(crate) async fn recompute(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: Range,
) -> Result<RecordBatch, BatchError> {
    let archive = Archive::read(topic, &engine.readable(store))
        .await?
        .ok_or_else(|| BatchError::NoArchive { topic: topic.name.clone(), folder: store.to_string() })?;
    let archive = archive.provider().await?;
    let windows = Windows::new(metric.window, settings.time_zone);
    let run = async {
        let session = engine.session()?;
        let events = events(&session, topic, archive, windows, range)?;
        session.register_table(topic.name.as_str(), events.into_view())?;
        let statement = ParserStatement::Statement(Box::new(Statement::Query(metric.query.clone())));
        let plan = session.state().statement_to_plan(statement).await?;
        let frame = DataFrame::new(session.state(), plan);
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let finished = concat_batches(&schema, &frame.collect().await?)?;
        stored_rows(metric, &windows, &finished)
    };
    run.await.map_err(BatchError::engine(&metric.name, "recomputed"))
}

/// The counted rows, each once for every window of the range that it belongs to.
fn events(
    session: &SessionContext,
    topic: &Topic,
    archive: Arc<dyn TableProvider>,
    windows: Windows,
    range: Range,
) -> Result<DataFrame> {
    let time = &topic.columns[topic.event_time].name;
    let until_ms =
        windows.bounds(windows.pane_start_ms((range.to_ms - 1) * MICROS_PER_MS)).end_ms + windows.longest_ms();
    let wanted = ident(archive_columns::VERDICT)
        .eq(lit(Verdict::Counted.name()))
        .and(ident(time).gt_eq(lit(instant(range.from_ms * MICROS_PER_MS))))
        .and(ident(time).lt(lit(instant(until_ms * MICROS_PER_MS))));
    let schema = topic.schema();
    let typed =
        schema.fields().iter().map(|field| cast(ident(field.name()), field.data_type().clone()).alias(field.name()));
    let mut columns: Vec<Expr> = typed.collect();
    columns.push(starts_of(&windows, ident(time)).alias(PANE_COLUMN));
    session.read_table(archive)?.filter(wanted)?.select(columns)?.unnest_columns(&[PANE_COLUMN])?.filter(
        ident(PANE_COLUMN)
            .between(lit(instant(range.from_ms * MICROS_PER_MS)), lit(instant(range.to_ms * MICROS_PER_MS - 1))),
    )
}

fn instant(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}
