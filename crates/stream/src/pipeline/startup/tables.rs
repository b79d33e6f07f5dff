//! The metrics' tables: those that serve, and those that lack their history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datafusion::catalog::TableProvider;
use datafusion::execution::context::SessionContext;
use vitral_connect::with_causes;
use vitral_panes::plan::MetricPlan;
use vitral_panes::view::MetricFailure;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_store::{Archive, Layout, MetricTable, PublishedVersion, StoreError};

use super::super::context::TopicContext;
use super::super::histories::Histories;
use super::Tables;
use crate::backfill::Backfill;
use crate::error::StreamError;
use crate::topic_panes::{LiveMetric, TopicPanes, VersionState};

/// Opens the table of each metric, and finds those that lack their history: a version that an
/// earlier catalog declared serves in their place until they have it. A metric is set aside if its
/// table is of another type, or `leaves_unreadable` and its table is.
pub(super) async fn open_tables(
    context: &TopicContext,
    session: &SessionContext,
    archive: &Archive,
    panes: &mut TopicPanes,
    leaves_unreadable: bool,
) -> Result<Tables, StreamError> {
    let mut tables = Tables::new();
    let (mut broken, mut superseded) = (Vec::new(), Vec::new());
    for live in panes.metrics_mut() {
        match open_table(context, archive, live).await {
            Ok((table, overtaker)) => {
                tables.insert(live.id.clone(), table);
                superseded.extend(overtaker.and_then(|last| older_version(context, session, last)));
            }
            Err(StreamError::Store(error @ StoreError::Incompatible { .. })) => {
                broken.push((live.id.clone(), error.to_string()));
            }
            Err(StreamError::Store(error)) if leaves_unreadable && !error.is_final() => {
                broken.push((live.id.clone(), unreadable(&live.id, &error)));
            }
            Err(error) => return Err(error),
        }
    }
    for (version, reason) in broken {
        panes.set_aside(&version, reason);
    }
    let location = Layout::of(&context.config.store).metrics();
    for live in superseded {
        let (metric, version) = (live.id.metric.to_string(), live.id.version.to_string());
        match MetricTable::open(&metric, &version, Arc::clone(live.plan().rows_schema()), &location).await {
            Ok(table) => {
                tracing::info!(metric, version, "serves until its successor has its history");
                tables.insert(live.id.clone(), table);
                panes.add(live);
            }
            Err(error) => tracing::warn!(metric, %error, "its previous version cannot serve meanwhile"),
        }
    }
    Ok(tables)
}

fn unreadable(id: &MetricVersionId, error: &StoreError) -> String {
    let MetricVersionId { metric, version } = id;
    format!(
        "{}: restore metrics/{metric}/{version} in the store, or delete it: the next start then computes again what the archive still has",
        with_causes(error)
    )
}

/// The version's table and, if it lacks what a later version has, that version.
async fn open_table(
    context: &TopicContext,
    archive: &Archive,
    live: &mut LiveMetric,
) -> Result<(MetricTable, Option<PublishedVersion>), StreamError> {
    let location = Layout::of(&context.config.store).metrics();
    let plan = Arc::clone(live.plan());
    let (name, version) = (&plan.metric.name, live.id.version.to_string());
    let table = MetricTable::open(name, &version, Arc::clone(plan.rows_schema()), &location).await?;
    let failure = MetricTable::failure(name, &version, &location).await?;
    MetricTable::define(name, &version, &location, &plan.metric.definition()).await?;
    live.published_through = table.published_through_ms().map(Watermark::from_ms);
    let last = MetricTable::versions(name, &location).await?.pop();
    // A version that was left and is declared again lacks what came since.
    let overtaker = last.filter(|last| Some(Watermark::from_ms(last.published_through_ms)) > live.published_through);
    let lacks_history = live.published_through.is_none() || overtaker.is_some() || failure.is_some();
    let Some(through) = archive.watermark().filter(|_| lacks_history) else { return Ok((table, None)) };
    live.state = VersionState::Backfilling { through };
    live.failure = failure.map(|(since_ms, reason)| {
        tracing::info!(metric = name, reason, "it was set aside; trying again");
        MetricFailure { reason, since_ms, is_set_aside: true }
    });
    Ok((table, overtaker))
}

fn older_version(context: &TopicContext, session: &SessionContext, last: PublishedVersion) -> Option<LiveMetric> {
    let metric = context.catalog.older_metric(&last.definition, &context.settings)?;
    let plan = match MetricPlan::new(&metric, &context.topic, &context.settings, session) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            tracing::warn!(metric = metric.name, %error, "its previous version cannot serve meanwhile");
            return None;
        }
    };
    let memory_bytes = context.config.limits.panes_memory_bytes;
    let mut live = LiveMetric::new(plan, &last.version, VersionState::Superseded, session, memory_bytes);
    live.published_through = Some(Watermark::from_ms(last.published_through_ms));
    Some(live)
}

/// What readers see of the tables at first.
pub(super) async fn providers(
    tables: &Tables,
    panes: &TopicPanes,
) -> Result<BTreeMap<MetricVersionId, Arc<dyn TableProvider>>, StreamError> {
    let mut providers = BTreeMap::new();
    for live in panes.metrics() {
        // One that was set aside goes on showing what it had published.
        let is_shown = matches!(live.state, VersionState::Active | VersionState::Superseded) || live.failure.is_some();
        if let Some(table) = tables.get(&live.id).filter(|_| is_shown) {
            providers.insert(live.id.clone(), table.provider().await?);
        }
    }
    Ok(providers)
}

/// Computes the histories that are missing, each on a thread of its own; the tables of the others
/// come back.
pub(super) fn start_histories(
    context: &TopicContext,
    archive: &Archive,
    panes: &TopicPanes,
    mut tables: Tables,
    stop: &Arc<AtomicBool>,
) -> (Tables, Histories) {
    let mut histories = Histories::default();
    for live in panes.metrics() {
        let VersionState::Backfilling { through } = live.state else { continue };
        let Some(table) = tables.remove(&live.id) else { continue };
        let (topic, metric) = (&context.topic.name, &live.id.metric);
        tracing::info!(topic, %metric, "its history is computed from the archive");
        let backfill = Backfill {
            metric: live.plan().metric.clone(),
            topic: context.topic.clone(),
            settings: context.settings.clone(),
            archive: archive.clone(),
            table,
            through,
            memory_bytes: context.config.limits.panes_memory_bytes,
        };
        let (runtime, stop) = (context.runtime.clone(), Arc::clone(stop));
        let run = move || runtime.block_on(backfill.finish(&stop));
        histories.add(live.id.clone(), context.runtime.spawn_blocking(run));
    }
    (tables, histories)
}
