//! A topic's pipeline: poll, decode, judge, fold, and hand cycles to the committer.
//!
//! Exactly once: a cycle's rows and the offsets after them are one commit, and reading goes on at the committed offsets.
//! Windows close on the committed watermark only, and are published after the commit that moved it. A restart rebuilds
//! everything else from the archive.

mod cycle;
mod ends;
mod failures;
mod health;
mod pace;
mod startup;
mod view;
mod waiting;
mod ways_on;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_messages::decode::Decoder;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::time::{Clock, MICROS_PER_MS};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_schemas::view::{Completeness, ViewSender};
use vitral_store::{Counts, MetricTable};

use self::cycle::Cycle;
use self::ends::Ends;
use self::health::HealthOfTopic;
pub(crate) use self::health::words;
use self::view::ViewOfTopic;
use crate::archive_rows::{ArchiveRows, Gap};
use crate::committer::{Done, Job};
use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::judge::{Judge, Moment, counted};
use crate::kafka::{DeadLetters, End, Message, Polled, Source};
use crate::panes_of_topic::PanesOfTopic;
use crate::snapshot::Snapshotter;
use crate::telemetry::{StreamTelemetry, TopicLabel, VerdictLabels};

/// How often partitions are compared with the slowest.
const PACE_EVERY: Duration = Duration::from_millis(250);
/// Payloads decoded together, whatever their number: Arrow counts a column's bytes in 32 bits, and a batch of the largest messages
/// must not multiply in memory.
const BATCH_BYTES: usize = 128 << 20;
/// While there is more to read than is read at once, live results are renewed this seldom, and take one part in so many of the
/// pipeline's time.
const REFRESH_BEHIND: Duration = Duration::from_secs(2);
const REFRESH_SHARE_BEHIND: u32 = 20;

/// What all pipelines of a process share.
#[derive(Clone)]
pub struct Context {
    pub config: StreamConfig,
    pub catalog: Arc<Catalog>,
    pub settings: DomainSettings,
    pub clock: Arc<dyn Clock>,
    pub view: ViewSender,
    pub telemetry: StreamTelemetry,
    pub runtime: tokio::runtime::Handle,
}

/// A running pipeline.
pub struct StreamHandle {
    stop: Arc<AtomicBool>,
    /// None once the outcome was handed over.
    finished: Option<oneshot::Receiver<Result<(), StreamError>>>,
}

/// Whoever lets go of a pipeline wants it to end, whatever else has failed.
impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl StreamHandle {
    /// Asks the pipeline to commit what it has read and to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Resolves when the pipeline has ended, by [`Self::stop`] or by an error, which is told once.
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        let Some(finished) = &mut self.finished else { return Ok(()) };
        let outcome = finished.await.unwrap_or(Err(StreamError::Gone("the pipeline")));
        self.finished = None;
        outcome
    }
}

/// Starts the pipeline of a topic on a thread of its own.
pub fn start(context: Context, topic: Topic) -> Result<StreamHandle, StreamError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, finished) = oneshot::channel();
    let stopped = Arc::clone(&stop);
    let name = format!("stream {}", topic.name);
    let run = move || {
        let result = startup::start_through_outages(&context, &topic, &stopped).and_then(|pipeline| match pipeline {
            Some(mut pipeline) => pipeline.run(&stopped),
            None => Ok(()),
        });
        // Nobody listens any more only when the process is on its way out.
        let _ = sender.send(result);
    };
    std::thread::Builder::new().name(name).spawn(run).map_err(|_| StreamError::Gone("the pipeline's thread"))?;
    Ok(StreamHandle { stop, finished: Some(finished) })
}

type BackfillTask = tokio::task::JoinHandle<Result<Option<MetricTable>, StreamError>>;

struct Pipeline {
    context: Context,
    topic: Topic,
    label: TopicLabel,
    source: Source,
    dead_letters: DeadLetters,
    decoder: Decoder,
    judge: Judge,
    panes: PanesOfTopic,
    watermarks: Watermarks,
    counts: Counts,
    archive_rows: ArchiveRows,
    cycle: Cycle,
    view: ViewOfTopic,
    health: HealthOfTopic,
    /// What the open windows shown now were made of; none before the first are made.
    live: Option<Completeness>,
    jobs: mpsc::Sender<Job>,
    done: mpsc::UnboundedReceiver<Done>,
    /// A job that the committer has not answered yet.
    job_in_flight: bool,
    committed_ms: Option<i64>,
    /// Windows through here are published or being published.
    publishing_ms: Option<i64>,
    paused: bool,
    /// The last poll brought everything that was there.
    caught_up: bool,
    snapshotter: Snapshotter,
    /// As of the start: whoever replays must be the only one that writes.
    replays: i64,
    /// Offsets that were skipped on somebody's word; it happens at the start alone.
    skipped: u64,
    /// Metrics whose history is computed, by their index.
    backfills: Vec<(usize, BackfillTask)>,
    ends: Ends,
    /// How far a partition may be ahead of the slowest, and when that was last looked at.
    ahead_max_ms: i64,
    paced: Instant,
    refreshed: Instant,
    refresh_took: Duration,
}

impl Pipeline {
    fn run(&mut self, stop: &AtomicBool) -> Result<(), StreamError> {
        while !stop.load(Ordering::SeqCst) {
            self.step()?;
        }
        self.drain()
    }

    fn step(&mut self) -> Result<(), StreamError> {
        if self.has_room() {
            let config = &self.context.config;
            let mut polled = self.source.poll(config.batch_wait, config.batch_rows)?;
            self.caught_up = polled.messages.len() < config.batch_rows;
            let trouble = polled.trouble.take();
            self.take(polled)?;
            if let Some(trouble) = trouble {
                return Err(self.stop_at(trouble));
            }
        } else {
            self.wait_for_committer(self.context.config.batch_wait)?;
        }
        self.settle()?;
        self.settle_backfills()?;
        self.tell_failures();
        self.ask_for_partitions()?;
        self.check_ends()?;
        self.keep_pace();
        let clock = &self.context.clock;
        if self.watermarks.advance(clock.now_ms(), clock.steady_ms())
            && let Some(effective_ms) = self.watermarks.effective_ms()
        {
            self.judge.sweep(effective_ms);
        }
        self.hand_over(false)?;
        self.tell_health();
        self.refresh(false)
    }

    /// Whether more may be read. Not to poll is the pause: the client library reads ahead within its bound and then waits too.
    ///
    /// Its own pause must not be used: a resumed partition is read from one offset too far on when the batch before the pause
    /// held the mark of the partition's end (`rd_kafka_q_serve_rkmessages` counts the mark as a message).
    fn has_room(&mut self) -> bool {
        let limit = self.context.config.uncommitted_bytes;
        // Going on only at half lets the next cycle become a large one.
        let full = self.cycle.bytes() >= if self.paused { limit.div_ceil(2) } else { limit };
        if full && !self.paused {
            self.context.telemetry.pauses.get_or_create(&self.label).inc();
        }
        self.paused = full;
        if full {
            self.watermarks.observe_pause();
            // An answer of before the pause says nothing about what came in it.
            self.ends.question = None;
        }
        !full
    }

    fn take(&mut self, polled: Polled) -> Result<(), StreamError> {
        let Polled { mut messages, ends, .. } = polled;
        if !messages.is_empty() {
            self.ends.is_unanswered = false;
        }
        // Never seen with this client library; twice in the archive would be worse than a warning.
        if runs(&messages).any(|run| self.cycle.is_past(run[0].partition(), run[0].offset())) {
            messages.retain(|message| {
                let again = self.cycle.is_past(message.partition(), message.offset());
                if again {
                    tracing::warn!(
                        partition = message.partition(),
                        offset = message.offset(),
                        "delivered again; left out"
                    );
                }
                !again
            });
        }
        let now_ms = self.context.clock.now_ms();
        let mut gaps = Vec::new();
        for run in runs(&messages) {
            gaps.extend(self.cycle.advance(run[0].partition(), run[0].offset(), run.len() as i64));
        }
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rows_within(rest, BATCH_BYTES));
            self.take_messages(batch, now_ms)?;
            rest = later;
        }
        for End { partition, next_offset, is_high_watermark } in ends {
            // Messages that came after the end was reached are in this poll too.
            if self.cycle.is_past(partition, next_offset) {
                continue;
            }
            gaps.extend(self.cycle.advance(partition, next_offset, 0));
            self.ends.marked.insert(partition, next_offset);
            if is_high_watermark {
                self.watermarks.observe_end(partition, self.context.clock.steady_ms());
            }
        }
        if !gaps.is_empty() {
            self.take_gaps(&gaps, now_ms)?;
        }
        Ok(())
    }

    /// Judge, fold, advance M, in this order.
    fn take_messages(&mut self, messages: &[Message], now_ms: i64) -> Result<(), StreamError> {
        let decoded = self.decoder.decode(messages.iter().map(Message::payload));
        let partitions: Vec<i32> = messages.iter().map(Message::partition).collect();
        let moment = Moment { now_ms, effective_ms: self.watermarks.effective_ms() };
        let is_empty = |row: usize| messages[row].payload().is_none();
        let judged = self.judge.judge(decoded, &partitions, is_empty, moment)?;
        for refusal in &judged.refused {
            let delivery = self.dead_letters.send(&messages[refusal.row], refusal.reason, &refusal.detail)?;
            self.cycle.dead_letters.push(delivery);
            self.count(Verdict::Refused, refusal.reason.name(), 1);
        }
        let times = judged.rows.column(self.topic.event_time);
        let times = arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampMicrosecondType>(times);
        let mut row = 0;
        for partition in partitions.chunk_by(|a, b| a == b) {
            let rows = row..row + partition.len();
            row = rows.end;
            let partition = partition[0];
            let newest =
                rows.clone().filter(|row| arrow::array::Array::is_valid(times, *row)).map(|row| times.value(row));
            self.watermarks.observe_delivery(partition);
            if let Some(newest) = newest.max() {
                self.watermarks.observe_event(partition, newest.div_euclid(MICROS_PER_MS));
            }
            let verdicts = &judged.verdicts[rows.clone()];
            let part = counted(&judged.rows.slice(rows.start, rows.len()), verdicts);
            let part = part.map_err(|source| self.failed("filtered", source))?;
            self.panes.fold(partition, &part);
            if part.num_rows() > 0 {
                self.cycle.counted.push(part);
            }
        }
        for verdict in Verdict::ALL {
            let rows = judged.verdicts.iter().filter(|each| **each == verdict).count() as u64;
            self.counts.add(verdict, rows);
            if rows > 0 && verdict != Verdict::Refused {
                self.count(verdict, "", rows);
            }
        }
        let rows = self.archive_rows.delivered(messages, &judged, now_ms);
        let rows = rows.map_err(|source| self.failed("archived", source.into()))?;
        self.cycle.push(rows);
        step!("cycle.judged");
        Ok(())
    }

    fn take_gaps(&mut self, gaps: &[Gap], now_ms: i64) -> Result<(), StreamError> {
        let rows = self.archive_rows.undelivered(gaps, None, now_ms);
        let rows = rows.map_err(|source| self.failed("archived", source.into()))?;
        self.cycle.push(rows);
        Ok(())
    }

    /// Hands the cycle over when it is due and the committer is free.
    fn hand_over(&mut self, now: bool) -> Result<(), StreamError> {
        if self.job_in_flight {
            return Ok(());
        }
        let effective_ms = self.watermarks.effective_ms();
        let config = &self.context.config;
        let due = now || self.cycle.age() >= config.cycle || self.cycle.bytes() >= config.uncommitted_bytes / 2;
        if !due || (self.cycle.is_empty() && effective_ms == self.committed_ms) {
            return Ok(());
        }
        let (commit, dead_letters) = self.cycle.cut(effective_ms);
        self.snapshotter.settle(&self.context.runtime);
        if self.snapshotter.is_due(&self.judge) {
            self.cut_snapshot()?;
        }
        self.submit(Job::Archive { commit, dead_letters })?;
        step!("cycle.cut");
        Ok(())
    }

    fn submit(&mut self, job: Job) -> Result<(), StreamError> {
        self.jobs.try_send(job).map_err(|_| StreamError::Gone("the committer"))?;
        self.job_in_flight = true;
        Ok(())
    }

    /// Takes in the committer's answers that are there.
    fn settle(&mut self) -> Result<(), StreamError> {
        loop {
            match self.done.try_recv() {
                Ok(done) => self.settle_one(done)?,
                Err(mpsc::error::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(StreamError::Gone("the committer")),
            }
        }
    }

    fn settle_one(&mut self, done: Done) -> Result<(), StreamError> {
        if let Done::Tidied { archive, tables } = done {
            self.view.archive = archive;
            // Those of metrics whose history is computed are not the committer's.
            for (shown, table) in self.view.published.iter_mut().zip(tables) {
                if table.is_some() {
                    *shown = table;
                }
            }
            self.show();
            return Ok(());
        }
        self.job_in_flight = false;
        match done {
            Done::Archived { archive, commit } => {
                self.committed_ms = commit.effective_ms;
                self.cycle.committed();
                self.snapshotter.committed(&self.context.runtime);
                self.view.archive = archive;
                self.publish()?;
                self.show();
            }
            Done::Published { tables, through_ms } => {
                for (index, table) in tables {
                    self.panes.published(index, through_ms);
                    self.view.published[index] = Some(table);
                }
                self.show();
            }
            Done::Adopted { index, table } => {
                self.view.published[index] = Some(table);
                if self.panes.arrived(index) {
                    let name = &self.panes.metrics[index].plan().metric.name;
                    tracing::info!(topic = self.topic.name, metric = name, "its history is complete");
                }
                // Windows that have closed since the process started.
                self.publishing_ms = None;
                self.publish()?;
                self.show();
            }
            Done::PartitionAdded { partition, next_offset } => {
                self.watermarks.add_partition(partition);
                self.cycle.add_partition(partition, next_offset);
                self.source.assign(&self.cycle.next_offsets())?;
            }
            Done::Failed(error) => return Err(error),
            Done::Tidied { .. } => {}
        }
        Ok(())
    }

    /// Publishes the windows that the committed watermark has closed.
    fn publish(&mut self) -> Result<(), StreamError> {
        let Some(committed_ms) = self.committed_ms.filter(|_| self.publishing_ms != self.committed_ms) else {
            return Ok(());
        };
        self.publishing_ms = Some(committed_ms);
        let windows = self.panes.closed(committed_ms);
        if windows.is_empty() {
            return Ok(());
        }
        self.submit(Job::Publish { windows, through_ms: committed_ms })
    }

    /// Holds back partitions that are far ahead of the slowest, and lets them go on when it has come nearer.
    fn keep_pace(&mut self) {
        if self.paced.elapsed() < PACE_EVERY {
            return;
        }
        self.paced = Instant::now();
        let newest_ms: BTreeMap<i32, i64> = self.watermarks.newest_events().collect();
        if newest_ms.len() < 2 {
            return;
        }
        // One whose broker has not said what it has keeps nobody waiting.
        let has_more = |partition: i32| {
            self.source.is_held(partition)
                || self.source.known_end(partition).is_some_and(|end| self.read_to(partition) < end)
        };
        let held = pace::held(&newest_ms, has_more, self.ahead_max_ms);
        for partition in &held {
            if !self.source.is_held(*partition) {
                tracing::info!(topic = self.topic.name, partition, "far ahead of the slowest partition: it waits");
            }
        }
        self.source.hold(&held);
        let count = i64::try_from(held.len()).unwrap_or(i64::MAX);
        self.context.telemetry.held_partitions.get_or_create(&self.label).set(count);
    }

    /// Takes in histories that are complete.
    fn settle_backfills(&mut self) -> Result<(), StreamError> {
        let Some(ended) = self.backfills.iter().position(|(_, task)| task.is_finished()) else { return Ok(()) };
        if self.job_in_flight {
            return Ok(());
        }
        let (index, task) = self.backfills.swap_remove(ended);
        match self.context.runtime.block_on(task) {
            Ok(Ok(Some(table))) => self.submit(Job::Adopt { index, table: Box::new(table) }),
            // Stopped with the pipeline.
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) if !error.is_of_one_metric() => Err(error),
            Ok(Err(error)) => {
                self.panes.set_aside(index, format!("its history cannot be computed: {}", error.reason()));
                Ok(())
            }
            Err(error) => {
                self.panes.set_aside(index, format!("its history cannot be computed: {error}"));
                Ok(())
            }
        }
    }

    /// Says which metrics have begun to fail, or do no more: to the log, to telemetry, and to later processes.
    fn tell_failures(&mut self) {
        for index in self.panes.take_news() {
            failures::tell(&self.context, &self.topic, &self.panes.metrics[index]);
        }
    }

    /// Renews live results and the view, now and then; seldom while there is much to read.
    fn refresh(&mut self, now: bool) -> Result<(), StreamError> {
        let pause = if self.caught_up {
            self.context.config.refresh.max(self.refresh_took)
        } else {
            REFRESH_BEHIND.max(self.refresh_took * REFRESH_SHARE_BEHIND)
        };
        if !now && self.refreshed.elapsed() < pause {
            return Ok(());
        }
        let started = Instant::now();
        self.panes.refresh();
        self.tell_failures();
        self.live = Some(self.completeness());
        self.show();
        self.refreshed = Instant::now();
        self.refresh_took = started.elapsed();
        let telemetry = &self.context.telemetry;
        telemetry.refresh_seconds.observe(self.refresh_took.as_secs_f64());
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        telemetry.pane_bytes.get_or_create(&self.label).set(gauge(self.panes.memory_bytes()));
        telemetry.pane_groups.get_or_create(&self.label).set(gauge(self.panes.group_count()));
        telemetry.known_ids.get_or_create(&self.label).set(gauge(self.judge.known_id_count()));
        telemetry.uncommitted_bytes.get_or_create(&self.label).set(gauge(self.cycle.bytes()));
        telemetry.watermark_ms.get_or_create(&self.label).set(self.watermarks.effective_ms().unwrap_or_default());
        Ok(())
    }

    /// Shows what is there; nothing before the first windows are made.
    fn show(&self) {
        let Some(live) = &self.live else { return };
        let tail = self.cycle.tail();
        self.view.show(&self.context.view, &self.topic, &self.panes, tail, self.completeness(), live);
    }

    fn completeness(&self) -> Completeness {
        let Counts { counted, duplicate, late, refused, .. } = self.counts;
        Completeness {
            watermark_ms: self.watermarks.effective_ms(),
            read: self.counts.read(),
            counted,
            duplicate,
            late,
            refused,
            skipped: self.skipped,
            idle_partitions: self.watermarks.idle_partitions(self.context.clock.steady_ms()).collect(),
        }
    }

    /// Ordered end: commit what was read, publish what that closed.
    fn drain(&mut self) -> Result<(), StreamError> {
        let deadline = Instant::now() + self.context.config.shutdown;
        loop {
            self.settle()?;
            self.hand_over(true)?;
            if !self.job_in_flight {
                self.refresh(true)?;
                return self.last_snapshot(deadline);
            }
            if Instant::now() >= deadline {
                return Err(StreamError::ShutdownTimeout(self.context.config.shutdown));
            }
            self.wait_for_committer(Duration::from_millis(50))?;
        }
    }

    /// What is read is committed: the next start shall have nothing to rebuild. Without it, it rebuilds.
    fn last_snapshot(&mut self, deadline: Instant) -> Result<(), StreamError> {
        let runtime = self.context.runtime.clone();
        let is_free = self.snapshotter.finish(&runtime, deadline);
        if is_free && self.context.config.snapshot.is_some() {
            self.cut_snapshot()?;
            self.snapshotter.committed(&runtime);
            self.snapshotter.finish(&runtime, deadline);
        }
        Ok(())
    }

    /// Takes the state as of the last cut of the cycle.
    fn cut_snapshot(&mut self) -> Result<(), StreamError> {
        let offsets = self.cycle.next_offsets();
        let offsets = offsets.into_iter().filter_map(|(partition, next)| Some((partition, next?))).collect();
        let Self { snapshotter, counts, replays, panes, judge, watermarks, .. } = self;
        snapshotter.cut(offsets, *counts, Some(*replays), panes, judge, watermarks)
    }

    /// Blocks until the committer answers, at most for `wait`.
    fn wait_for_committer(&mut self, wait: Duration) -> Result<(), StreamError> {
        let done = &mut self.done;
        let answer = self.context.runtime.block_on(async { tokio::time::timeout(wait, done.recv()).await });
        match answer {
            Ok(Some(done)) => self.settle_one(done),
            Ok(None) => Err(StreamError::Gone("the committer")),
            Err(_) => Ok(()),
        }
    }

    fn count(&self, verdict: Verdict, reason: &'static str, rows: u64) {
        let labels = VerdictLabels { topic: self.label.topic.clone(), verdict: verdict.name(), reason };
        self.context.telemetry.messages.get_or_create(&labels).inc_by(rows);
    }

    fn failed(&self, action: &'static str, source: datafusion::error::DataFusionError) -> StreamError {
        StreamError::Batch { topic: self.topic.name.clone(), action, source }
    }
}

/// Messages of one partition whose offsets follow each other.
fn runs(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    messages.chunk_by(|a, b| a.partition() == b.partition() && a.offset() + 1 == b.offset())
}

/// How many of the messages have no more than `bytes` together; at least one.
fn rows_within(messages: &[Message], bytes: usize) -> usize {
    let mut sum = 0;
    let fitting = messages.iter().take_while(|message| {
        sum += message.payload().map_or(0, <[u8]>::len);
        sum <= bytes
    });
    fitting.count().max(1)
}
