//! Bringing a pipeline up: the topic's identity, the tables, and what is rebuilt from the archive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use datafusion::execution::context::SessionContext;
use tokio::sync::mpsc;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_panes::plan::MetricPlan;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::health::Phase;
use vitral_schemas::topic::Topic;
use vitral_schemas::view::MetricFailure;
use vitral_store::{Archive, Layout, MetricTable, PublishedVersion, Snapshots, StoreError};

use super::cycle::Cycle;
use super::ends::Ends;
use super::failures;
use super::health::HealthOfTopic;
use super::pace::ahead_max_ms;
use super::view::ViewOfTopic;
use super::waiting::{tell, wait_for_topic};
use super::{BackfillTask, Context, Pipeline, ways_on};
use crate::archive_rows::ArchiveRows;
use crate::backfill::{Backfill, stopped};
use crate::committer::Committer;
use crate::error::StreamError;
use crate::judge::Judge;
use crate::kafka::{DeadLetters, Source, TopicIdentity, create_topic};
use crate::panes_of_topic::{LiveMetric, PanesOfTopic, Role};
use crate::recovery::{Recovered, recover};
use crate::snapshot::Snapshotter;
use crate::telemetry::TopicLabel;

/// A refused message may be larger than the topic it came from allows others to be.
const DEAD_LETTER_SETTINGS: [(&str, &str); 1] = [("max.message.bytes", "104857600")];
/// How long a store may fail at the start, and how soon it is tried again. What lasts longer is rather a wrong setting than an outage.
const START_PATIENCE: Duration = Duration::from_secs(120);
const START_RETRY: Duration = Duration::from_secs(2);

/// Starts, and starts again if the store or the broker fails meanwhile in a way that may pass: nothing was written that a second start minds.
pub(super) fn start_through_outages(
    context: &Context,
    topic: &Topic,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Pipeline>, StreamError> {
    let deadline = Instant::now() + START_PATIENCE;
    let health = HealthOfTopic::new(context, topic);
    loop {
        match start(context.clone(), topic.clone(), Arc::clone(stop)) {
            Err(StreamError::Store(error)) if !error.is_final() && Instant::now() < deadline => {
                tracing::warn!(topic = topic.name, %error, source = ?error, "the store failed at the start; trying again");
                health.failed(&error);
                std::thread::sleep(START_RETRY);
            }
            Err(error) if error.is_broker_away() || (error.is_of_broker() && Instant::now() < deadline) => {
                tracing::warn!(topic = topic.name, %error, source = ?error, "kafka failed at the start; trying again");
                tell(context, topic, &format!("Kafka at {} does not answer", context.config.kafka.brokers));
                health.failed(&error);
                std::thread::sleep(START_RETRY);
            }
            Err(StreamError::Stopped) => return Ok(None),
            outcome => return outcome,
        }
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
    }
}

/// A pipeline that is ready to run, with its first view shown; none if it was stopped meanwhile.
fn start(context: Context, topic: Topic, stop: Arc<AtomicBool>) -> Result<Option<Pipeline>, StreamError> {
    let engine = EngineConfig { memory_bytes: context.config.panes_memory_bytes };
    let planned = |source| StreamError::Batch { topic: topic.name.clone(), action: "planned", source };
    let session = engine_session(engine).map_err(planned)?;
    let clock = Arc::clone(&context.clock);
    let mut panes =
        PanesOfTopic::new(&context.catalog, &topic, &context.settings, &session, engine.memory_bytes, clock)?;
    let mut judge = Judge::new(&topic, &session, context.config.known_ids_bytes)?;
    let mut source = Source::new(&context.config.kafka, &topic.kafka_topic, topic.message_bytes_max)?;
    let health = HealthOfTopic::new(&context, &topic);
    let waited = wait_for_topic(&context, &topic, &source, &health, &mut panes, &stop)?;
    let Some(partitions) = waited else { return Ok(None) };
    health.phase(Phase::Starting);
    let log = source.log_identity()?;
    let runtime = context.runtime.clone();
    let config = &context.config;
    let dead_letters =
        DeadLetters::new(&config.kafka, &topic.kafka_topic, topic.dead_letter_topic(), topic.message_bytes_max)?;
    runtime.block_on(create_topic(&config.kafka, &topic.dead_letter_topic(), 1, &DEAD_LETTER_SETTINGS))?;

    let open = Archive::open(&topic, &log, partitions.iter().copied(), &config.store);
    let mut archive = wait(&runtime, &stop, open)?;
    let asker = source.asker();
    runtime.block_on(ways_on::settle_log(&context, &topic, &mut archive, &partitions, &asker))?;
    runtime.block_on(ways_on::skip(&context, &topic, &mut archive, &partitions, &asker))?;
    let tables = wait(&runtime, &stop, open_tables(&context, &topic, &session, &archive, &mut panes))?;

    for (index, live) in panes.metrics.iter().enumerate() {
        failures::show(&context, &topic, &live.plan().metric.name, panes.failure_of(index).is_some());
    }

    let started = Instant::now();
    let mut watermarks = Watermarks::new(topic.watermark_ms, topic.idle_ms, archive.effective_ms());
    for partition in &partitions {
        watermarks.add_partition(*partition);
    }
    let snapshots = Snapshots::new(Layout::of(&config.store).snapshots(&topic));
    let recovered = recover(&stop, &topic, &archive, &snapshots, &mut panes, &mut judge, &mut watermarks);
    let Some(Recovered { counts, rows, snapshot }) = wait(&runtime, &stop, recovered)? else { return Ok(None) };
    tracing::info!(
        topic = topic.name,
        rows,
        from_snapshot = snapshot.is_some(),
        archived = counts.read(),
        open_groups = panes.group_count(),
        known_ids = judge.known_id_count(),
        seconds = started.elapsed().as_secs_f64(),
        "open panes are there again"
    );
    let label = TopicLabel { topic: topic.name.clone() };
    let recovered_rows = i64::try_from(rows).unwrap_or(i64::MAX);
    context.telemetry.recovered_rows.get_or_create(&label).set(recovered_rows);
    let skipped = wait(&runtime, &stop, archive.skipped_count())?;
    let last = wait(&runtime, &stop, snapshots.last_number())?;
    let snapshotter = Snapshotter::new(snapshots, config.snapshot, &topic, &archive, snapshot.as_ref(), last)?;

    let next_offsets: BTreeMap<i32, Option<i64>> =
        partitions.iter().map(|partition| (*partition, archive.next_offsets().get(partition).copied())).collect();
    let view = ViewOfTopic {
        topics: context.catalog.topics.len(),
        archive: wait(&runtime, &stop, archive.provider())?,
        published: wait(&runtime, &stop, providers(&tables, &panes))?,
        is_earlier: false,
    };
    let (tables, backfills) = start_backfills(&context, &topic, &archive, &panes, tables, &stop);
    let cycle = Cycle::new(next_offsets);
    source.assign(&cycle.next_offsets())?;
    let committed_ms = archive.effective_ms();
    let replays = archive.replays();
    let longest_ms = panes.metrics.iter().map(|live| live.plan().windows.longest_ms()).max().unwrap_or_default();
    let brokers = context.config.kafka.brokers.clone();
    let identity = match context.config.accept_new_log {
        true => None,
        false => Some(Arc::new(TopicIdentity::new(&context.config.kafka, &topic.kafka_topic)?)),
    };
    let committer = Committer {
        archive,
        tables,
        brokers,
        log: log.clone(),
        identity,
        telemetry: context.telemetry.clone(),
        health: health.shared(),
        label: label.clone(),
        look_every: context.config.look_every,
    };
    let (jobs, job_receiver) = mpsc::channel(1);
    let (done_sender, done) = mpsc::unbounded_channel();
    runtime.spawn(committer.run(job_receiver, done_sender));
    let mut pipeline = Pipeline {
        decoder: Decoder::new(&topic, context.settings.time_zone),
        context,
        label,
        source,
        dead_letters,
        judge,
        panes,
        watermarks,
        counts,
        archive_rows: ArchiveRows::new(&topic, &log),
        cycle,
        view,
        health,
        live: None,
        snapshotter,
        replays,
        skipped,
        backfills,
        jobs,
        done,
        job_in_flight: false,
        committed_ms,
        publishing_ms: None,
        paused: false,
        caught_up: false,
        ends: Ends::new(),
        ahead_max_ms: ahead_max_ms(longest_ms, topic.lateness_ms),
        paced: Instant::now(),
        refreshed: Instant::now(),
        refresh_took: Duration::ZERO,
        topic,
    };
    // Windows that closed with a commit after which the process died.
    pipeline.publish()?;
    while pipeline.job_in_flight && !stop.load(Ordering::SeqCst) {
        pipeline.wait_for_committer(Duration::from_secs(1))?;
    }
    pipeline.refresh(true)?;
    pipeline.health.phase(Phase::Serving);
    Ok(Some(pipeline))
}

/// Opens the table of each metric, and finds those that lack their history: a version that an earlier catalog declared serves in
/// their place until they have it.
async fn open_tables(
    context: &Context,
    topic: &Topic,
    session: &SessionContext,
    archive: &Archive,
    panes: &mut PanesOfTopic,
) -> Result<Vec<Option<MetricTable>>, StreamError> {
    let location = Layout::of(&context.config.store).metrics();
    let mut tables = Vec::new();
    let mut leaving = Vec::new();
    for index in 0..panes.metrics.len() {
        let live = &mut panes.metrics[index];
        let plan = Arc::clone(live.plan());
        let name = &plan.metric.name;
        let table = match MetricTable::open(name, &live.version, Arc::clone(plan.rows_schema()), &location).await {
            Ok(table) => table,
            Err(error @ StoreError::Incompatible { .. }) => {
                panes.set_aside(index, error.to_string());
                tables.push(None);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let failure = MetricTable::failure(name, &live.version, &location).await?;
        MetricTable::define(name, &live.version, &location, &plan.metric.definition()).await?;
        live.published_through_ms = table.published_through_ms();
        let last = MetricTable::versions(name, &location).await?.pop();
        // A version that was left and is declared again lacks what came since.
        let overtaker = last.filter(|last| Some(last.published_through_ms) > live.published_through_ms);
        let lacks_history = live.published_through_ms.is_none() || overtaker.is_some() || failure.is_some();
        if let Some(through_ms) = archive.effective_ms().filter(|_| lacks_history) {
            live.role = Role::Arriving { through_ms };
            live.failure = failure.map(|(since_ms, reason)| {
                tracing::info!(metric = name, reason, "it was set aside; trying again");
                MetricFailure { reason, since_ms, is_set_aside: true }
            });
            leaving.extend(overtaker.and_then(|last| older_version(context, topic, session, last)));
        }
        tables.push(Some(table));
    }
    for live in leaving {
        let plan = Arc::clone(live.plan());
        let name = &plan.metric.name;
        let open = MetricTable::open(name, &live.version, Arc::clone(plan.rows_schema()), &location).await;
        match open {
            Ok(table) => {
                tracing::info!(metric = name, version = live.version, "serves until its successor has its history");
                panes.metrics.push(live);
                tables.push(Some(table));
            }
            Err(error) => tracing::warn!(metric = name, %error, "its former version cannot serve meanwhile"),
        }
    }
    Ok(tables)
}

fn older_version(
    context: &Context,
    topic: &Topic,
    session: &SessionContext,
    last: PublishedVersion,
) -> Option<LiveMetric> {
    let metric = context.catalog.older_metric(&last.definition, &context.settings)?;
    let plan = match MetricPlan::new(&metric, topic, &context.settings, session) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            tracing::warn!(metric = metric.name, %error, "its former version cannot serve meanwhile");
            return None;
        }
    };
    let memory_bytes = context.config.panes_memory_bytes;
    let mut live = LiveMetric::new(plan, last.version, Role::Leaving, session, memory_bytes);
    live.published_through_ms = Some(last.published_through_ms);
    Some(live)
}

async fn providers(
    tables: &[Option<MetricTable>],
    panes: &PanesOfTopic,
) -> Result<Vec<Option<Arc<dyn TableProvider>>>, StreamError> {
    let mut providers = Vec::new();
    for (table, live) in tables.iter().zip(&panes.metrics) {
        // One that was set aside goes on showing what it had published.
        let is_shown = matches!(live.role, Role::Serving | Role::Leaving) || live.failure.is_some();
        providers.push(match table {
            Some(table) if is_shown => Some(table.provider().await?),
            _ => None,
        });
    }
    Ok(providers)
}

/// Computes the histories that are missing, each on a thread of its own.
fn start_backfills(
    context: &Context,
    topic: &Topic,
    archive: &Archive,
    panes: &PanesOfTopic,
    tables: Vec<Option<MetricTable>>,
    stop: &Arc<AtomicBool>,
) -> (Vec<Option<MetricTable>>, Vec<(usize, BackfillTask)>) {
    let mut kept = Vec::new();
    let mut backfills = Vec::new();
    for (index, (table, live)) in tables.into_iter().zip(&panes.metrics).enumerate() {
        let (through_ms, table) = match (live.role, table) {
            (Role::Arriving { through_ms }, Some(table)) => (through_ms, table),
            (_, table) => {
                kept.push(table);
                continue;
            }
        };
        tracing::info!(
            topic = topic.name,
            metric = live.plan().metric.name,
            "its history is computed from the archive"
        );
        let backfill = Backfill {
            metric: live.plan().metric.clone(),
            topic: topic.clone(),
            settings: context.settings.clone(),
            archive: archive.clone(),
            table,
            through_ms,
            memory_bytes: context.config.panes_memory_bytes,
        };
        let (runtime, stop) = (context.runtime.clone(), Arc::clone(stop));
        let run = move || runtime.block_on(backfill.finish(&stop));
        backfills.push((index, context.runtime.spawn_blocking(run)));
        kept.push(None);
    }
    (kept, backfills)
}

/// What may take as long as a store is away, unless it is to stop.
fn wait<T, E>(
    runtime: &tokio::runtime::Handle,
    stop: &AtomicBool,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StreamError>
where
    StreamError: From<E>,
{
    runtime.block_on(async {
        tokio::select! {
            outcome = work => Ok(outcome?),
            () = stopped(stop) => Err(StreamError::Stopped),
        }
    })
}
