//! Logs of rows in other systems: what each commit of the archive has added is written there,
//! alongside the pipeline.
//!
//! A writer reads what is committed and nothing else; how far it has come is kept in the store. A
//! system that is away holds nothing up: its log catches up once it is back. A log without a place
//! to write to is left alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vitral_connect::{ConnectError, Epoch, RetryPolicy, Sink, with_causes};
use vitral_panes::PanesError;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::health::RowLogHealth;
use vitral_store::row_log::{LogOffsets, RowLogPlan, RowLogProgress, first_offsets};
use vitral_store::{Archive, ArchiveReader, Location, StoreError};

use super::context::TopicContext;
use super::keeper::Offsets;
use crate::error::StreamError;

/// Offsets of one partition in one write: what is in memory meanwhile, and what the other side
/// takes at once.
const OFFSETS_AT_ONCE: i64 = 10_000;
/// How long a commit waits for the next one, so that rows are written in bulk.
const GATHER: Duration = Duration::from_secs(1);
/// Rows that were fed again are looked for this often; what failed is tried again.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// A system that is away is tried again, at last once a minute, for as long as it takes.
const RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_secs(1), Duration::from_secs(60));

/// A log and where it goes.
pub(super) struct RowLogWriter {
    context: TopicContext,
    plan: RowLogPlan,
    sink: Arc<dyn Sink>,
    archive: Option<ArchiveReader>,
    progress: Option<RowLogProgress>,
    /// What the archive had when this process began, of logs that it does not read too.
    known: LogOffsets,
    /// Where the topic's own log was then: a new log of rows has what is committed from here on.
    began: Offsets,
}

/// Why a log is not written further.
#[derive(Debug, thiserror::Error)]
enum RowLogError {
    #[error("the archive's rows cannot be read, or progress cannot be kept")]
    Store(#[from] StoreError),
    #[error("the other system did not accept its rows")]
    Sink(#[from] ConnectError),
}

impl RowLogWriter {
    /// The logs of a topic that have a place to write to.
    pub(super) fn all(context: &TopicContext) -> Result<Vec<Self>, StreamError> {
        let mut writers = Vec::new();
        for log in context.catalog.row_logs_of(&context.topic.name) {
            let Some(sink) = context.row_sinks.get(&log.name) else { continue };
            let plan = RowLogPlan::new(log, &context.topic).map_err(|mut errors| {
                let first = errors.pop().unwrap_or_else(|| log.position.error("cannot be planned", String::new()));
                PanesError::Unsupported(Box::new(first))
            })?;
            writers.push(Self {
                context: context.clone(),
                plan,
                sink: Arc::clone(sink),
                archive: None,
                progress: None,
                known: LogOffsets::new(),
                began: Offsets::new(),
            });
        }
        Ok(writers)
    }

    /// Writes until the committer has ended. What is missing then, the next start writes.
    pub(super) fn start(mut self, log: &str, committed: watch::Receiver<Offsets>) {
        // Now, as the pipeline may commit before the first step.
        self.began.clone_from(&committed.borrow());
        let runtime = self.context.runtime.clone();
        runtime.spawn(self.run(log.to_owned(), committed));
    }

    async fn run(mut self, log: String, mut committed: watch::Receiver<Offsets>) {
        let mut attempts = RETRIES.attempts();
        loop {
            let offsets = committed.borrow_and_update().clone();
            match self.step(&log, &offsets).await {
                Ok(()) => {
                    attempts = RETRIES.attempts();
                    self.health(|health| health.failing = None);
                }
                Err(error) => {
                    let name = &self.plan.log.name;
                    let error = with_causes(&error);
                    self.health(|health| {
                        health.failures += 1;
                        health.failing = Some(error.clone());
                    });
                    let wait = attempts.failed().unwrap_or(RETRIES.longest);
                    tracing::warn!(
                        log = name,
                        error,
                        wait_seconds = wait.as_secs(),
                        "a log is not written; trying again"
                    );
                    // What another attempt is made of is read again.
                    self.progress = None;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => continue,
                        () = ended(&mut committed) => return,
                    }
                }
            }
            match tokio::time::timeout(POLL_EVERY, committed.changed()).await {
                // The pipeline has ended.
                Ok(Err(_)) => return,
                Ok(Ok(())) => tokio::time::sleep(GATHER).await,
                Err(_) => {}
            }
        }
    }

    /// Writes everything that is committed.
    async fn step(&mut self, log: &str, offsets: &Offsets) -> Result<(), RowLogError> {
        let (topic, store) = (self.context.topic.clone(), self.context.config.store.clone());
        match &mut self.archive {
            Some(archive) => archive.refresh(&topic, &store).await?,
            None => self.archive = Archive::read(&topic, &store).await?,
        }
        let Some(archive) = &self.archive else { return Ok(()) };
        if self.known.is_empty() {
            for reached in archive.reach().await? {
                self.known.entry(reached.log).or_default().insert(reached.partition, reached.next);
            }
        }
        let mut there = self.known.clone();
        there.entry(log.to_owned()).or_default().extend(offsets);
        let name = &self.plan.log.name;
        let replays = archive.replays().await?;
        let mut progress = match self.progress.take() {
            Some(progress) => progress,
            None => {
                let mut now = self.known.clone();
                now.insert(log.to_owned(), self.began.clone());
                let mut progress = loaded(&self.plan, &store, archive, now, replays).await?;
                // Before the other side is asked, which may be away.
                self.report(&progress, &there);
                number_after(&self.sink, &mut progress).await?;
                progress.save(&store, name).await?;
                progress
            }
        };
        if progress.pending.is_none() && progress.replays != replays {
            progress.restart(archive, replays);
        }
        loop {
            if progress.pending.is_none() {
                if !progress.begin(&there, OFFSETS_AT_ONCE) {
                    break;
                }
                progress.save(&store, name).await?;
            }
            self.report(&progress, &there);
            self.write(archive, &progress).await?;
            progress.end();
        }
        self.report(&progress, &there);
        progress.save(&store, name).await?;
        self.progress = Some(progress);
        Ok(())
    }

    /// What telemetry says of the log.
    fn health(&self, change: impl FnOnce(&mut RowLogHealth)) {
        let health = Arc::clone(&self.context.view.borrow().health);
        health.row_log(&self.plan.log.name, change);
    }

    fn report(&self, progress: &RowLogProgress, there: &LogOffsets) {
        let behind = progress.behind(there);
        self.health(|health| {
            health.behind = behind;
            health.waiting = (behind > 0).then(|| health.waiting.unwrap_or_else(Instant::now));
        });
    }

    async fn write(&self, archive: &ArchiveReader, progress: &RowLogProgress) -> Result<(), RowLogError> {
        let Some(until) = &progress.pending else { return Ok(()) };
        let missed = purged(&self.plan.log.name, archive, &progress.taken, until);
        // What has expired would be deleted at once.
        let since = self.plan.log.expires_ms.map(|ms| EventTime::from_ms(self.context.clock.now_ms() - ms));
        let began = Instant::now();
        let rows = self.plan.rows(archive, &progress.taken, until, since).await?;
        let count: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
        failpoint!("rowlog.before");
        self.sink.write(Epoch(progress.epoch), &rows).await?;
        failpoint!("rowlog.after");
        self.health(|health| health.missed += missed);
        tracing::debug!(
            log = self.plan.log.name,
            rows = count,
            seconds = began.elapsed().as_secs_f64(),
            "rows written"
        );
        Ok(())
    }
}

/// How far the log has come; where it begins, if it is new.
async fn loaded(
    plan: &RowLogPlan,
    store: &Location,
    archive: &ArchiveReader,
    now: LogOffsets,
    replays: i64,
) -> Result<RowLogProgress, RowLogError> {
    let name = &plan.log.name;
    if let Some(progress) = RowLogProgress::load(store, name).await? {
        return Ok(progress);
    }
    let begun = if plan.log.has_history { first_offsets(archive).await? } else { now };
    let progress = RowLogProgress { taken: begun.clone(), begun, replays, ..RowLogProgress::default() };
    // At once: where a log begins does not depend on whether the other side is away.
    progress.save(store, name).await?;
    Ok(progress)
}

/// The other side may be ahead where this store was recreated or restored: a write of an older
/// number would change nothing there.
async fn number_after(sink: &Arc<dyn Sink>, progress: &mut RowLogProgress) -> Result<(), RowLogError> {
    let last = sink.last_epoch().await?.map_or(0, |epoch| epoch.0);
    let is_ahead = if progress.pending.is_some() { last > progress.epoch } else { last >= progress.epoch };
    if is_ahead {
        progress.epoch = last + u64::from(progress.pending.is_some());
    }
    Ok(())
}

/// How many messages were deleted by retention before they were written.
fn purged(log: &str, archive: &ArchiveReader, taken: &LogOffsets, until: &LogOffsets) -> u64 {
    let mut missed = 0;
    for (topic_log, partitions) in taken {
        for (partition, from) in partitions {
            let Some(through) = archive.purged_through(topic_log, *partition).filter(|through| through >= from) else {
                continue;
            };
            let next = until.get(topic_log).and_then(|partitions| partitions.get(partition)).unwrap_or(from);
            missed += next.min(&through.saturating_add(1)).0.abs_diff(from.0);
            tracing::error!(
                log,
                partition = partition.0,
                from = from.0,
                through = through.0,
                "rows were deleted by retention before they were written into the log"
            );
        }
    }
    missed
}

async fn ended(committed: &mut watch::Receiver<Offsets>) {
    while committed.changed().await.is_ok() {}
}
