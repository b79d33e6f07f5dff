//! Commits and publishes, one job at a time, alongside the pipeline.
//!
//! Reading never waits for a commit: the pipeline submits a job and goes on. A store that is down
//! is tried again until it answers; what waiting cannot help stops the stream.

mod maintenance;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use tokio::sync::{mpsc, watch};
use vitral_connect::retry::Attempts;
use vitral_connect::{Delivery, RetryPolicy, TopicLog, with_causes};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::health::Health;
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::{Archive, ArchiveCommit, MetricTable, StoreError};

use self::maintenance::MaintenanceTimers;
use crate::error::StreamError;
use crate::pipeline::Offsets;
use crate::telemetry::{StreamTelemetry, TopicLabel};

pub enum Job {
    /// The one commit; first the dead letters of its refused rows must be acknowledged.
    Archive {
        commit: ArchiveCommit,
        dead_letters: Vec<Delivery>,
    },
    /// Rows of windows that closed with the committed watermark.
    Publish {
        windows: Vec<(MetricVersionId, Vec<RecordBatch>)>,
        watermark: Watermark,
    },
    AddPartition(PartitionId),
    /// The table of a metric that has its whole history now.
    Adopt {
        version: MetricVersionId,
        table: Box<MetricTable>,
    },
}

pub enum CommitterEvent {
    Archived {
        archive: Arc<dyn TableProvider>,
        receipt: CommitReceipt,
    },
    Published {
        tables: Vec<(MetricVersionId, Arc<dyn TableProvider>)>,
        watermark: Watermark,
    },
    Adopted {
        version: MetricVersionId,
        table: Arc<dyn TableProvider>,
    },
    PartitionAdded {
        partition: PartitionId,
        next_offset: Option<Offset>,
        watermark: Option<Watermark>,
    },
    /// Small files were merged: these no longer read the old ones, which will be deleted. No answer
    /// to a job.
    Maintained {
        archive: Arc<dyn TableProvider>,
        tables: BTreeMap<MetricVersionId, Arc<dyn TableProvider>>,
    },
    Failed(StreamError),
}

/// What is left of a commit once it is done.
#[derive(Debug, Clone, Copy)]
pub struct CommitReceipt {
    pub watermark: Option<Watermark>,
}

pub struct Committer {
    pub archive: Archive,
    /// None of a metric whose history is computed.
    pub tables: BTreeMap<MetricVersionId, MetricTable>,
    pub identity: LogIdentity,
    pub telemetry: StreamTelemetry,
    pub health: Arc<Health>,
    pub label: TopicLabel,
    /// Given the offsets after each commit of the archive.
    pub committed: watch::Sender<Offsets>,
    /// How often tables are looked at for what others have written.
    pub maintenance_interval: Duration,
}

/// The topic's log, and who is asked whether it still is; nobody if any log will do.
pub struct LogIdentity {
    pub known: String,
    pub log: Option<Arc<dyn TopicLog>>,
}

/// A store that is away is tried for as long as it takes.
const STORE_RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_millis(200), Duration::from_secs(10));

/// Attempts at one thing that the store is asked for.
struct StoreAttempts {
    attempts: Attempts,
    health: Arc<Health>,
    topic: String,
}

impl StoreAttempts {
    fn succeeded(&self) {
        if self.attempts.have_failed() {
            self.health.topic(&self.topic, |topic| topic.recovered());
        }
    }

    /// Waits before the next attempt; an error that waiting cannot help comes back.
    async fn failed(&mut self, error: StoreError) -> Result<(), StreamError> {
        if error.is_final() {
            return Err(error.into());
        }
        let Some(wait) = self.attempts.failed() else { return Err(error.into()) };
        self.health.topic(&self.topic, |topic| topic.failed(with_causes(&error)));
        tracing::warn!(topic = self.topic, %error, source = ?error, wait_ms = wait.as_millis(), "the store failed; trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Tries until it succeeds or waiting cannot help. A macro, as an attempt borrows what it changes.
macro_rules! retry {
    ($attempts:expr, $attempt:expr) => {{
        let mut attempts = $attempts;
        loop {
            match $attempt.await {
                Ok(value) => {
                    attempts.succeeded();
                    break value;
                }
                Err(error) => attempts.failed(error).await?,
            }
        }
    }};
}

impl Committer {
    /// Serves jobs until the pipeline hangs up.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>, events: mpsc::UnboundedSender<CommitterEvent>) {
        let mut timers = MaintenanceTimers::new(self.maintenance_interval);
        loop {
            match tokio::time::timeout(self.maintenance_interval, jobs.recv()).await {
                Ok(Some(job)) => {
                    let event = self.serve(job).await.unwrap_or_else(CommitterEvent::Failed);
                    // The pipeline has ended only when the process stops.
                    if events.send(event).is_err() {
                        return;
                    }
                    if !jobs.is_empty() {
                        continue;
                    }
                }
                Ok(None) => return,
                // A topic without messages has no jobs, but others merge its files and delete the
                // old ones.
                Err(_) => {}
            }
            match self.maintain(&mut timers).await {
                Ok(None) => {}
                Ok(Some(maintained)) => {
                    if events.send(maintained).is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(topic = self.label.topic, %error, "merged tables cannot be read yet"),
            }
        }
    }

    async fn serve(&mut self, job: Job) -> Result<CommitterEvent, StreamError> {
        match job {
            Job::Archive { commit, dead_letters } => self.commit(commit, dead_letters).await,
            Job::Publish { windows, watermark } => self.publish(windows, watermark).await,
            Job::Adopt { version, table } => {
                let provider = retry!(self.attempts(), table.provider());
                self.tables.insert(version.clone(), *table);
                Ok(CommitterEvent::Adopted { version, table: provider })
            }
            Job::AddPartition(partition) => {
                let next_offset = retry!(self.attempts(), self.archive.add_partition(partition));
                let watermark = self.archive.partition_watermark(partition);
                Ok(CommitterEvent::PartitionAdded { partition, next_offset, watermark })
            }
        }
    }

    async fn commit(
        &mut self,
        commit: ArchiveCommit,
        dead_letters: Vec<Delivery>,
    ) -> Result<CommitterEvent, StreamError> {
        for delivery in dead_letters {
            delivery.await?;
        }
        self.check_log().await?;
        failpoint!("archive.before");
        let started = Instant::now();
        retry!(self.attempts(), self.archive.commit(&commit));
        self.health.topic(&self.label.topic, |topic| topic.committed = Some(Instant::now()));
        failpoint!("archive.after");
        self.committed.send_replace(self.archive.next_offsets().clone());
        self.telemetry.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.telemetry.commits.get_or_create(&self.label).inc();
        let archive = retry!(self.attempts(), self.archive.provider());
        Ok(CommitterEvent::Archived { archive, receipt: CommitReceipt { watermark: commit.watermark } })
    }

    async fn publish(
        &mut self,
        windows: Vec<(MetricVersionId, Vec<RecordBatch>)>,
        watermark: Watermark,
    ) -> Result<CommitterEvent, StreamError> {
        // Rows that were fed again since belong to these windows too.
        retry!(self.attempts(), self.archive.check_replays());
        failpoint!("publish.before");
        let mut tables = Vec::new();
        for (version, rows) in windows {
            let (first, second) = (self.attempts(), self.attempts());
            let Some(table) = self.tables.get_mut(&version) else { continue };
            retry!(first, table.publish(rows.clone(), watermark.ms()));
            tables.push((version, retry!(second, table.provider())));
            failpoint!("publish.between");
        }
        failpoint!("publish.after");
        Ok(CommitterEvent::Published { tables, watermark })
    }

    fn attempts(&self) -> StoreAttempts {
        StoreAttempts {
            attempts: STORE_RETRIES.attempts(),
            health: Arc::clone(&self.health),
            topic: self.label.topic.clone(),
        }
    }

    /// A topic that was created again has the old one's name, and its messages the old ones'
    /// offsets: what was read may be of either, so none of it is committed.
    async fn check_log(&self) -> Result<(), StreamError> {
        let Some(log) = self.identity.log.clone() else { return Ok(()) };
        let known = &self.identity.known;
        match tokio::task::spawn_blocking(move || log.identity()).await {
            Ok(Ok(found)) if found != *known => {
                Err(StreamError::NewLog { topic: self.label.topic.clone(), known: known.clone(), found })
            }
            Ok(Ok(_)) => Ok(()),
            // A broker that is away hands out nothing new either.
            Ok(Err(error)) => {
                tracing::debug!(topic = self.label.topic, %error, "the topic's identity is not known right now");
                Ok(())
            }
            Err(_) => Err(StreamError::Ended("the request for the topic's identity")),
        }
    }
}
