//! Bringing a pipeline up: the topic's log, the tables, and what is rebuilt from the archive.

mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::execution::context::SessionContext;
use tokio::sync::{mpsc, watch};
use vitral_connect::{RetryHint, RetryPolicy, Source, TopicLog, TopicLookups};
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::health::Phase;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::Topic;
use vitral_store::{Archive, Counts, Layout, MetricTable, Snapshots};

use self::tables::{open_tables, providers, start_histories};
use super::commit_buffer::CommitBuffer;
use super::commits::CommitterLink;
use super::committed_windows::CommittedWindows;
use super::context::TopicContext;
use super::discovery::PartitionDiscovery;
use super::failures;
use super::health::HealthReporter;
use super::keeper::Keeper;
use super::looking_up::LookUpQueue;
use super::pace::ahead_max_ms;
use super::process::Processor;
use super::publisher::Publisher;
use super::reader::TopicReader;
use super::refresh::RefreshSchedule;
use super::row_logs::RowLogWriter;
use super::view_builder::TopicViewBuilder;
use super::waiting::{show_reason, wait_for_topic};
use super::ways_on::WaysOn;
use super::{Context, Pipeline, Timing};
use crate::archive_rows::ArchiveRows;
use crate::backfill::stopped;
use crate::classify::Classifier;
use crate::committer::{Committer, LogIdentity};
use crate::config::AcceptedLogs;
use crate::error::StreamError;
use crate::lookups::LookedUpColumns;
use crate::recovery::{Recovered, recover};
use crate::snapshot::Snapshotter;
use crate::topic_panes::TopicPanes;
use crate::topic_state::TopicState;

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// A broker that is away is waited for.
const OUTAGES: RetryPolicy = RetryPolicy::endless(RETRY_FIRST, RETRY_LONGEST);

type Tables = BTreeMap<MetricVersionId, MetricTable>;

/// Starts, and starts again if the store or the broker fails meanwhile in a way that may pass:
/// nothing was written that a second start minds.
pub(super) fn start_through_outages(
    context: &Context,
    topic: &Topic,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Pipeline>, StreamError> {
    let context = TopicContext::new(context.clone(), topic.clone());
    let health = HealthReporter::new(&context);
    let passing = RetryPolicy::within(context.config.patience.start, RETRY_FIRST, RETRY_LONGEST);
    let (mut passing, mut outages) = (passing.attempts(), OUTAGES.attempts());
    let mut leaves_unreadable = false;
    loop {
        let error = match (Startup { context: &context, leaves_unreadable, stop }).run() {
            Err(StreamError::Stopped) => return Ok(None),
            Err(error) => error,
            started => return started,
        };
        let wait = match error.retry_hint() {
            RetryHint::Outage => outages.failed(),
            RetryHint::Passing => passing.failed(),
            RetryHint::Permanent => None,
        };
        let Some(wait) = wait else {
            // What lasts may be the table of one metric, without which the others can be served.
            if leaves_unreadable || error.retry_hint() == RetryHint::Permanent {
                return Err(error);
            }
            leaves_unreadable = true;
            continue;
        };
        let is_of_broker = matches!(error, StreamError::Connect(_));
        let what = if is_of_broker { "the broker" } else { "the store" };
        tracing::warn!(topic = topic.name, %error, source = ?error, "{what} failed at the start; trying again");
        if is_of_broker {
            show_reason(&context, &context.does_not_answer());
        }
        health.failed(&error);
        std::thread::sleep(wait);
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
    }
}

/// One attempt.
struct Startup<'a> {
    context: &'a TopicContext,
    /// Whether metrics are set aside whose tables cannot be read.
    leaves_unreadable: bool,
    stop: &'a Arc<AtomicBool>,
}

/// What reads each commit: tables that are kept up to date, and logs in other systems.
type Alongside = (Keeper, Vec<RowLogWriter>);

/// A topic's log that can be read.
struct OpenLog {
    source: Box<dyn Source>,
    log: Arc<dyn TopicLog>,
    identity: String,
    partitions: Vec<PartitionId>,
}

impl Startup<'_> {
    /// A pipeline that is ready to run, with its first view shown; none if it was stopped
    /// meanwhile.
    fn run(&self) -> Result<Option<Pipeline>, StreamError> {
        let context = self.context;
        let (session, mut panes, classifier) = self.plan()?;
        let alongside = (self.wait(Keeper::open(context))?, RowLogWriter::all(context)?);
        let health = HealthReporter::new(context);
        let Some(open) = self.open_log(&health, &mut panes)? else { return Ok(None) };
        health.phase(Phase::Starting);
        let dead_letters = context.runtime.block_on(context.connector.dead_letters(&context.topic))?;
        let archive = self.open_archive(&open)?;
        let has_rows = !archive.next_offsets().is_empty();
        let looking_up = LookUpQueue::new(TopicLookups::new(&context.topic, &context.lookups)?);
        let tables = self.wait(open_tables(context, &session, &archive, &mut panes, self.leaves_unreadable))?;
        for live in panes.metrics() {
            failures::show(context, &live.id.metric, panes.failure_of(live).is_some());
        }
        let topic = &context.topic;
        let mut watermarks = Watermarks::new(topic.watermark_ms, topic.idle_ms, archive.watermark());
        for partition in &open.partitions {
            watermarks.add_partition(*partition, archive.partition_watermark(*partition));
        }
        let skipped = self.wait(archive.skipped_count())?;
        let looked_up = LookedUpColumns::open(topic, &context.config.store, has_rows, context.clock.now_ms());
        let lookups = self.wait(looked_up)?;
        let mut state = TopicState { panes, classifier, watermarks, counts: Counts::default(), skipped, lookups };
        let Some(snapshotter) = self.recover(&archive, &mut state)? else { return Ok(None) };
        let processor = Processor {
            decoder: Decoder::new(topic, context.settings.time_zone),
            archive_rows: ArchiveRows::new(topic, &open.identity),
            dead_letters,
            looking_up,
        };
        let mut pipeline = self.assemble(open, (archive, tables, alongside), state, processor, snapshotter)?;
        // Windows that closed with a commit after which the process died.
        pipeline.publish_closed()?;
        while pipeline.committer.is_busy() && !self.stop.load(Ordering::SeqCst) {
            pipeline.wait_for_committer(Duration::from_secs(1))?;
        }
        pipeline.begin_with_committed_windows();
        pipeline.refresh(Timing::Now);
        pipeline.health.phase(Phase::Serving);
        Ok(Some(pipeline))
    }

    fn plan(&self) -> Result<(SessionContext, TopicPanes, Classifier), StreamError> {
        let context = self.context;
        let limits = context.config.limits;
        let engine = EngineConfig { memory_bytes: limits.panes_memory_bytes };
        let session = engine_session(engine).map_err(|source| context.failed("planned", source))?;
        let clock = Arc::clone(&context.clock);
        let (catalog, topic, settings) = (&context.catalog, &context.topic, &context.settings);
        let panes = TopicPanes::new(catalog, topic, settings, &session, limits.panes_memory_bytes, clock)?;
        let classifier = Classifier::new(topic, &session, limits.deduplication_bytes_max)?;
        Ok((session, panes, classifier))
    }

    /// Waits for the topic; none if it was stopped meanwhile.
    fn open_log(&self, health: &HealthReporter, panes: &mut TopicPanes) -> Result<Option<OpenLog>, StreamError> {
        let context = self.context;
        let source = context.connector.source(&context.topic)?;
        let waited = wait_for_topic(context, &*source, health, panes, self.stop)?;
        let Some(partitions) = waited else { return Ok(None) };
        let log = source.log();
        let identity = log.identity()?;
        Ok(Some(OpenLog { source, log, identity, partitions }))
    }

    fn open_archive(&self, open: &OpenLog) -> Result<Archive, StreamError> {
        let context = self.context;
        let partitions = open.partitions.iter().copied();
        let mut archive =
            self.wait(Archive::open(&context.topic, &open.identity, partitions, &context.config.store))?;
        let mut ways_on = WaysOn { context, archive: &mut archive, partitions: &open.partitions, log: &open.log };
        context.runtime.block_on(ways_on.accept_log())?;
        context.runtime.block_on(ways_on.skip())?;
        Ok(archive)
    }

    /// Brings the state to where the archive stands; none if it was stopped meanwhile.
    fn recover(&self, archive: &Archive, state: &mut TopicState) -> Result<Option<Snapshotter>, StreamError> {
        let context = self.context;
        let started = Instant::now();
        let snapshots = Snapshots::new(Layout::of(&context.config.store).snapshots(&context.topic));
        let recovered = self.wait(recover(self.stop, &context.topic, archive, &snapshots, state))?;
        let Some(Recovered { rows, snapshot }) = recovered else { return Ok(None) };
        // Of a first start there is nothing to recover.
        if state.counts.read() > 0 {
            tracing::info!(
                topic = context.topic.name,
                rows,
                from_snapshot = snapshot.is_some(),
                archived = state.counts.read(),
                open_groups = state.panes.group_count(),
                known_ids = state.classifier.known_id_count(),
                seconds = started.elapsed().as_secs_f64(),
                "open panes restored"
            );
        }
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        context.telemetry.gauges.recovered_rows.get_or_create(&context.label).set(rows);
        let last = self.wait(snapshots.last_number())?;
        let every = context.config.snapshot;
        Ok(Some(Snapshotter::new(snapshots, every, &context.topic, archive, snapshot.as_ref(), last)?))
    }

    fn assemble(
        &self,
        open: OpenLog,
        (archive, tables, alongside): (Archive, Tables, Alongside),
        state: TopicState,
        processor: Processor,
        snapshotter: Snapshotter,
    ) -> Result<Pipeline, StreamError> {
        let context = self.context;
        let OpenLog { mut source, log, identity, partitions } = open;
        let next_offset = |partition: &PartitionId| archive.next_offsets().get(partition).copied();
        let next_offsets = partitions.iter().map(|partition| (*partition, next_offset(partition)));
        let buffer = CommitBuffer::new(next_offsets.collect());
        let view = TopicViewBuilder {
            topics: context.catalog.topics.len(),
            archive: self.wait(archive.provider())?,
            published: self.wait(providers(&tables, &state.panes))?,
            watermark: archive.watermark(),
            committed: CommittedWindows::wanted_of(&context.catalog, &context.topic.name),
            is_earlier: false,
        };
        let (tables, histories) = start_histories(context, &archive, &state.panes, tables, self.stop);
        source.assign(buffer.next_offsets())?;
        let spread_ms = state.panes.metrics().iter().map(|live| live.plan().windows.spread_ms()).max();
        let ahead_max_ms = ahead_max_ms(spread_ms.unwrap_or_default(), context.topic.lateness_ms);
        let is_any_log = context.config.accepted_logs == AcceptedLogs::All;
        let identity = LogIdentity { known: identity, log: (!is_any_log).then_some(log) };
        let health = HealthReporter::new(context);
        Ok(Pipeline {
            committer: self.spawn_committer((archive, tables, alongside), identity, &health),
            context: context.clone(),
            reader: TopicReader::new(source, ahead_max_ms),
            discovery: PartitionDiscovery::new(),
            processor,
            state,
            buffer,
            snapshotter,
            histories,
            publisher: Publisher::new(view),
            refresh: RefreshSchedule::new(),
            health,
        })
    }

    fn spawn_committer(
        &self,
        (archive, tables, alongside): (Archive, Tables, Alongside),
        identity: LogIdentity,
        health: &HealthReporter,
    ) -> CommitterLink {
        let context = self.context;
        let committed_watermark = archive.watermark();
        let (committed, receiver) = watch::channel(archive.next_offsets().clone());
        let (keeper, row_logs) = alongside;
        for writer in row_logs {
            writer.start(archive.log(), receiver.clone());
        }
        let keeper = keeper.start(archive.log(), receiver);
        let committer = Committer {
            archive,
            tables,
            identity,
            telemetry: context.telemetry.clone(),
            health: health.shared(),
            label: context.label.clone(),
            committed,
            maintenance_interval: context.config.maintenance_interval,
        };
        let (jobs, job_receiver) = mpsc::channel(1);
        let (event_sender, events) = mpsc::unbounded_channel();
        context.runtime.spawn(committer.run(job_receiver, event_sender));
        CommitterLink::new(jobs, events, committed_watermark, keeper)
    }

    /// What may take as long as a store is away, unless it is to stop.
    fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, StreamError>
    where
        StreamError: From<E>,
    {
        self.context.runtime.block_on(async {
            tokio::select! {
                outcome = work => Ok(outcome?),
                () = stopped(self.stop) => Err(StreamError::Stopped),
            }
        })
    }
}
