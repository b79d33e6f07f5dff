//! Commits and publishes, one job at a time, beside the pipeline.
//!
//! Judging never waits for a commit: the pipeline hands over a job and goes on. A store that is down is tried again
//! until it answers; what cannot be mended by waiting stops the stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use tokio::sync::mpsc;
use vitral_schemas::health::Health;
use vitral_store::{Archive, ArchiveCommit, MetricTable, StoreError};

use crate::error::StreamError;
use crate::kafka::{Delivery, TopicIdentity};
use crate::pipeline::words;
use crate::telemetry::{StreamTelemetry, TopicLabel};

pub enum Job {
    /// The one commit; first the dead letters of its refused rows must be acknowledged.
    Archive {
        commit: ArchiveCommit,
        dead_letters: Vec<Delivery>,
    },
    /// Rows of windows that closed with the committed watermark, by the metric's index.
    Publish {
        windows: Vec<(usize, Vec<RecordBatch>)>,
        through_ms: i64,
    },
    AddPartition(i32),
    /// The table of a metric that has its whole history now.
    Adopt {
        index: usize,
        table: Box<MetricTable>,
    },
}

pub enum Done {
    Archived {
        archive: Arc<dyn TableProvider>,
        commit: ArchiveCommit,
    },
    Published {
        tables: Vec<(usize, Arc<dyn TableProvider>)>,
        through_ms: i64,
    },
    Adopted {
        index: usize,
        table: Arc<dyn TableProvider>,
    },
    PartitionAdded {
        partition: i32,
        next_offset: Option<i64>,
    },
    /// Small files were merged: these no longer read the old ones, which will be deleted. No answer to a job.
    Tidied {
        archive: Arc<dyn TableProvider>,
        tables: Vec<Option<Arc<dyn TableProvider>>>,
    },
    Failed(StreamError),
}

pub struct Committer {
    pub archive: Archive,
    /// In the order of the topic's metrics; none while a metric's history is computed.
    pub tables: Vec<Option<MetricTable>>,
    pub brokers: String,
    /// The topic's log, and who is asked whether it still is; nobody if any log will do.
    pub log: String,
    pub identity: Option<Arc<TopicIdentity>>,
    pub telemetry: StreamTelemetry,
    pub health: Arc<Health>,
    pub label: TopicLabel,
    /// How often tables are looked at for what others have written.
    pub look_every: Duration,
}

/// How long to wait before a store is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// How often the files that merges have replaced are deleted.
const VACUUM_EVERY: Duration = Duration::from_secs(1800);

/// Tries until it succeeds or waiting cannot help.
macro_rules! retry {
    ($topic:expr, $health:expr, $attempt:expr) => {{
        let mut wait = RETRY_FIRST;
        loop {
            match $attempt.await {
                Ok(value) => {
                    if wait > RETRY_FIRST {
                        $health.topic($topic, |topic| topic.recovered());
                    }
                    break value;
                }
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => {
                    $health.topic($topic, |topic| topic.failed(words(&error)));
                    tracing::warn!(topic = $topic, %error, source = ?error, wait_ms = wait.as_millis(), "the store failed; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_LONGEST);
                }
            }
        }
    }};
}

impl Committer {
    /// Serves jobs until the pipeline hangs up.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>, done: mpsc::UnboundedSender<Done>) {
        let mut upkeep = Upkeep { looked: Instant::now(), vacuumed: Instant::now() };
        loop {
            match tokio::time::timeout(self.look_every, jobs.recv()).await {
                Ok(Some(job)) => {
                    let answer = self.serve(job).await.unwrap_or_else(Done::Failed);
                    // The pipeline is gone only when the process stops.
                    if done.send(answer).is_err() {
                        return;
                    }
                    if !jobs.is_empty() {
                        continue;
                    }
                }
                Ok(None) => return,
                // A topic without messages has no jobs, but others merge its files and delete the old ones.
                Err(_) => {}
            }
            match self.tidy(&mut upkeep).await {
                Ok(None) => {}
                Ok(Some(tidied)) => {
                    if done.send(tidied).is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(topic = self.label.topic, %error, "merged tables cannot be read yet"),
            }
        }
    }

    async fn serve(&mut self, job: Job) -> Result<Done, StreamError> {
        match job {
            Job::Archive { commit, dead_letters } => {
                for delivery in dead_letters {
                    delivery.await.map_err(|source| StreamError::Kafka {
                        brokers: self.brokers.clone(),
                        action: "sending a dead letter",
                        source,
                    })?;
                }
                self.check_log().await?;
                step!("archive.before");
                let started = Instant::now();
                let archive = &mut self.archive;
                retry!(&self.label.topic, self.health, archive.commit(&commit));
                self.health.topic(&self.label.topic, |topic| topic.committed = Some(Instant::now()));
                step!("archive.after");
                self.telemetry.commit_seconds.observe(started.elapsed().as_secs_f64());
                self.telemetry.commits.get_or_create(&self.label).inc();
                let provider = retry!(&self.label.topic, self.health, archive.provider());
                Ok(Done::Archived { archive: provider, commit })
            }
            Job::Publish { windows, through_ms } => {
                // Rows that were fed again since belong to these windows too.
                let archive = &mut self.archive;
                retry!(&self.label.topic, self.health, archive.check_replays());
                step!("publish.before");
                let mut tables = Vec::new();
                for (index, rows) in windows {
                    let Some(table) = &mut self.tables[index] else { continue };
                    retry!(&self.label.topic, self.health, table.publish(rows.clone(), through_ms));
                    tables.push((index, retry!(&self.label.topic, self.health, table.provider())));
                    step!("publish.between");
                }
                step!("publish.after");
                Ok(Done::Published { tables, through_ms })
            }
            Job::Adopt { index, table } => {
                let provider = retry!(&self.label.topic, self.health, table.provider());
                self.tables[index] = Some(*table);
                Ok(Done::Adopted { index, table: provider })
            }
            Job::AddPartition(partition) => {
                let archive = &mut self.archive;
                let next_offset = retry!(&self.label.topic, self.health, archive.add_partition(partition));
                Ok(Done::PartitionAdded { partition, next_offset })
            }
        }
    }

    /// A topic that was made anew has the old one's name, and its messages the old ones' offsets: what was read may be of either, so
    /// none of it is committed.
    async fn check_log(&self) -> Result<(), StreamError> {
        let Some(identity) = self.identity.clone() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || identity.ask()).await {
            Ok(Ok(found)) if found != self.log => {
                Err(StreamError::NewLog { topic: self.label.topic.clone(), known: self.log.clone(), found })
            }
            Ok(Ok(_)) => Ok(()),
            // A broker that is away hands out nothing new either.
            Ok(Err(error)) => {
                tracing::debug!(topic = self.label.topic, %error, "the topic's identity is not known right now");
                Ok(())
            }
            Err(_) => Err(StreamError::Gone("the question for the topic's identity")),
        }
    }

    /// Merges small files between jobs, and sees what another process, such as a repair, has written. What fails is tried again later.
    async fn tidy(&mut self, upkeep: &mut Upkeep) -> Result<Option<Done>, StoreError> {
        let look = due(&mut upkeep.looked, self.look_every);
        let vacuum = due(&mut upkeep.vacuumed, VACUUM_EVERY);
        let topic = &self.label.topic;
        let mut changed = look && told(topic, self.archive.refresh().await);
        changed |= told(topic, self.archive.compact().await);
        for table in self.tables.iter_mut().flatten() {
            changed |= look && told(topic, table.refresh().await);
            changed |= told(topic, table.compact().await);
        }
        if vacuum {
            told(topic, self.archive.vacuum().await.map(|()| false));
            for table in self.tables.iter_mut().flatten() {
                told(topic, table.vacuum().await.map(|()| false));
            }
        }
        if !changed {
            return Ok(None);
        }
        step!("compact.after");
        let mut tables = Vec::new();
        for table in &self.tables {
            tables.push(match table {
                Some(table) => Some(table.provider().await?),
                None => None,
            });
        }
        Ok(Some(Done::Tidied { archive: self.archive.provider().await?, tables }))
    }
}

/// When each was done last.
struct Upkeep {
    looked: Instant,
    vacuumed: Instant,
}

fn due(last: &mut Instant, every: Duration) -> bool {
    let due = last.elapsed() >= every;
    if due {
        *last = Instant::now();
    }
    due
}

/// Whether a table was changed; an error is told and left for the next time.
fn told(topic: &str, outcome: Result<bool, StoreError>) -> bool {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(topic, %error, source = ?error, "a table was not tidied; trying again later");
        false
    })
}
