//! The archive of a topic: one row for every Kafka offset, and the one commit that everything else
//! is derived from.
//!
//! A commit appends the rows of a commit interval and carries, for every partition, the next offset
//! and the watermark, and the topic's watermark. It is made only on top of the offsets that this
//! process committed or read last: a process that finds others has been replaced and stops. So each
//! offset is committed exactly once, however many processes run. A commit also carries how many
//! replays its process knows of: a replay and a commit that are under way together exclude each
//! other, even on different hosts.

mod caution;
mod cold;
mod commit;
mod counts;
mod kept;
mod queries;
mod reader;
mod retention;
mod rows;
mod spans;
mod watermarks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::{Expr, col, lit};
use tokio::sync::Mutex;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};

pub use self::caution::{LastRetention, Reason as RetentionConcern};
use self::cold::Cold;
pub use self::counts::{Counts, Skipped};
pub use self::reader::{ArchiveReader, Reached};
pub use self::retention::{Limits, Outlook, RetentionReport, outlook, retain};
pub use self::rows::ArchiveBatch;
pub use self::spans::Spans;
use self::watermarks::Watermarks;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::table::{Table, Undeclared};

/// How far a commit moves one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The offset that the archive must be at; none before the partition's first row.
    pub from: Option<Offset>,
    /// The offset after the last row.
    pub to: Offset,
}

/// What one commit adds.
#[derive(Debug, Clone, Default)]
pub struct ArchiveCommit {
    /// In the archive's schema.
    pub rows: Vec<RecordBatch>,
    /// Partitions with rows, and how far they move.
    pub offsets: BTreeMap<PartitionId, Advance>,
    /// What the topic has come to.
    pub watermark: Option<Watermark>,
    /// What partitions have come to; those that are not named stay where they are.
    pub watermarks: BTreeMap<PartitionId, Watermark>,
    /// Drawn at random for each commit: after an error it shows whether this commit succeeded.
    pub token: i64,
}

/// A clone reads what was committed when it was made.
#[derive(Debug, Clone)]
pub struct Archive {
    topic: Topic,
    store: Location,
    /// Identity of the topic's log: a topic that was recreated has another.
    log: String,
    table: Table,
    /// Shared by clones: a newer cold part fits an older version of the table.
    cold: Arc<Mutex<Cold>>,
    /// Another process has written to the table since the cold part was read.
    cold_part_stale: Arc<AtomicBool>,
    /// The next offset of each partition, as of the table's snapshot.
    next_offsets: BTreeMap<PartitionId, Offset>,
    watermarks: Watermarks,
    /// How many replays the rows that this process has folded had seen.
    replays: i64,
    /// The version of the table that was last seen at these offsets and this watermark.
    checked_version: Option<u64>,
}

impl Archive {
    /// Opens the archive in `store` for the topic's log, whose partitions are `partitions`.
    pub async fn open(
        topic: &Topic,
        log: &str,
        partitions: impl IntoIterator<Item = PartitionId>,
        store: &Location,
    ) -> Result<Self, StoreError> {
        let unique = topic.event_id.map(|index| topic.columns[index].name.as_str());
        let place = hot_place(store, topic);
        let table = Table::open_with(&topic.name, &place, topic.archive_schema(), Undeclared::Kept).await?;
        let mut archive = Self {
            topic: topic.clone(),
            store: store.clone(),
            log: log.to_owned(),
            table: table.with_unique(unique),
            cold: Arc::default(),
            cold_part_stale: Arc::new(AtomicBool::new(true)),
            next_offsets: BTreeMap::new(),
            watermarks: Watermarks::default(),
            replays: 0,
            checked_version: None,
        };
        archive.replays = archive.stored_replays().await?;
        let known = archive.logs().await?;
        let logs = known.iter().map(String::as_str).chain([log]);
        archive.watermarks = Watermarks::of_topic(&archive.table, logs, &topic.kafka_topic).await?;
        for partition in partitions {
            archive.add_partition(partition).await?;
        }
        Ok(archive)
    }

    /// The archive in `store` as it is now, for reading; none if there is none.
    pub async fn read(topic: &Topic, store: &Location) -> Result<Option<ArchiveReader>, StoreError> {
        ArchiveReader::open(topic, store).await
    }

    /// Reads what has been committed since; true if anything was.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.cold_part_stale.store(true, Ordering::SeqCst);
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// Fails if rows were replayed since the archive was opened: what this process has folded would
    /// lack them.
    pub async fn check_replays(&mut self) -> Result<(), StoreError> {
        self.refresh().await?;
        self.refuse_replays().await
    }

    async fn refuse_replays(&self) -> Result<(), StoreError> {
        if self.stored_replays().await? == self.replays {
            return Ok(());
        }
        Err(StoreError::Replayed { topic: self.topic.name.clone() })
    }

    async fn stored_replays(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(REPLAYS).await?.unwrap_or_default())
    }

    /// Learns where a partition of the log stands.
    pub async fn add_partition(&mut self, partition: PartitionId) -> Result<Option<Offset>, StoreError> {
        let next = self.stored_next_offset(partition).await?;
        if let Some(next) = next {
            self.next_offsets.insert(partition, next);
        }
        self.watermarks.learn(&self.table, &self.log, &self.topic.kafka_topic, partition).await?;
        Ok(next)
    }

    /// The next offset of each partition that has rows.
    pub fn next_offsets(&self) -> &BTreeMap<PartitionId, Offset> {
        &self.next_offsets
    }

    /// The identity of the log that is read.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The identity of the table: one that was deleted and recreated has another.
    pub fn id(&self) -> Result<&str, StoreError> {
        self.table.id()
    }

    /// How often rows had been replayed when the archive was opened: each time verdicts of the
    /// archive changed.
    pub fn replays(&self) -> i64 {
        self.replays
    }

    /// The topic's committed watermark.
    pub fn watermark(&self) -> Option<Watermark> {
        self.watermarks.topic()
    }

    /// A partition's committed watermark, which is never behind the topic's.
    pub fn partition_watermark(&self, partition: PartitionId) -> Option<Watermark> {
        self.watermarks.partition(partition)
    }

    /// Every committed row that retention has not purged, in the archive's schema.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        let hot = self.table.provider().await?;
        self.with_cold(|cold| cold.with(hot)).await?.map_err(StoreError::read(&self.topic.name))
    }

    /// The newest event time of purged rows: what lies before it is no longer complete.
    pub async fn newest_purged(&self) -> Result<Option<EventTime>, StoreError> {
        self.with_cold(|cold| cold.extent.newest_purged).await
    }

    /// Reads the cold part again if it may be older than the table.
    async fn with_cold<T>(&self, use_it: impl FnOnce(&Cold) -> T) -> Result<T, StoreError> {
        let mut cold = self.cold.lock().await;
        if self.cold_part_stale.load(Ordering::SeqCst) {
            *cold = Cold::read(&self.store, &self.topic).await?;
            self.cold_part_stale.store(false, Ordering::SeqCst);
        }
        Ok(use_it(&cold))
    }

    /// Merges small files if there are many; true if it did.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        let compacted = self.table.compact().await;
        if !matches!(compacted, Ok(false)) {
            self.cold_part_stale.store(true, Ordering::SeqCst);
        }
        compacted
    }

    /// Deletes files that merges have replaced.
    pub async fn vacuum(&mut self) -> Result<(), StoreError> {
        self.table.vacuum().await.map(|_| ())
    }

    /// As the table's snapshot has it.
    async fn stored_next_offset(&self, partition: PartitionId) -> Result<Option<Offset>, StoreError> {
        Ok(self.table.transaction(&self.partition_application(partition)).await?.map(Offset))
    }

    fn partition_application(&self, partition: PartitionId) -> String {
        partition_application(&self.log, &self.topic.kafka_topic, partition)
    }

    fn commit_application(&self) -> String {
        format!("{}/{}/commit", self.log, self.topic.kafka_topic)
    }
}

/// The tables that an archive may consist of.
pub(crate) fn places(store: &Location, topic: &Topic) -> [Location; 2] {
    [hot_place(store, topic), cold::rows_place(store, topic)]
}

fn hot_place(store: &Location, topic: &Topic) -> Location {
    Layout::of(store).archive(topic)
}

/// The application whose version counts replays.
pub(crate) const REPLAYS: &str = "replays";

fn partition_application(log: &str, kafka_topic: &str, partition: PartitionId) -> String {
    format!("{log}/{kafka_topic}/{partition}")
}

pub(crate) fn this_log(log: &str) -> Expr {
    col(archive_columns::LOG).eq(lit(log))
}
