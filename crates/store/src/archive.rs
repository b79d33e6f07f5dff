//! The archive of a topic: one row for every Kafka offset, and the one commit that everything else is derived from.
//!
//! A commit appends a cycle's rows and carries, for every partition, the next offset, and the effective watermark M. It
//! is made only on top of the offsets that this process committed or read last: whoever finds others has been replaced
//! by another process and stops. So each offset is committed exactly once, by whatever processes run. A commit also carries how many
//! replays its process knows of: a replay and a commit that were under way together exclude each other, on whatever hosts they run.

mod caution;
mod cold;
mod counts;
mod retention;
mod rows;
mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, col, ident, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use tokio::sync::Mutex;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

pub use self::caution::{LastRetention, Reason as RetentionConcern};
use self::cold::Cold;
pub use self::counts::Counts;
use self::counts::{count_verdicts, offsets_in, skipped_ranges};
pub use self::retention::{Limits, Outlook, Retained, outlook, retain};
pub use self::rows::ArchiveBatch;
pub use self::spans::Spans;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// What one cycle adds.
#[derive(Debug, Clone, Default)]
pub struct ArchiveCommit {
    /// In the archive's schema.
    pub rows: Vec<RecordBatch>,
    /// For each partition with rows: the offset that the archive must be at, and the one after the last row.
    pub offsets: BTreeMap<i32, (Option<i64>, i64)>,
    /// M in milliseconds.
    pub effective_ms: Option<i64>,
    /// Drawn at random for each commit: after an error it tells whether it was this one that came through.
    pub token: i64,
}

/// A clone reads what was committed when it was made.
#[derive(Debug, Clone)]
pub struct Archive {
    topic: Topic,
    store: Location,
    /// Identity of the topic's log: a topic that was made anew has another.
    log: String,
    table: Table,
    /// Shared by clones: to an older version of the table a newer cold part fits.
    cold: Arc<Mutex<Cold>>,
    /// Another process has written to the table since the cold part was looked at.
    cold_is_old: Arc<AtomicBool>,
    /// The next offset of each partition, as of the table's snapshot.
    next_offsets: BTreeMap<i32, i64>,
    effective_ms: Option<i64>,
    /// How many replays the rows that this process has folded had seen.
    replays: i64,
    /// The version of the table that was last seen to be at these offsets and this M.
    checked_version: Option<u64>,
}

impl Archive {
    /// Opens the archive in `store` for the topic's log, whose partitions are `partitions`.
    pub async fn open(
        topic: &Topic,
        log: &str,
        partitions: impl IntoIterator<Item = i32>,
        store: &Location,
    ) -> Result<Self, StoreError> {
        let unique = topic.event_id.map(|index| topic.columns[index].name.as_str());
        let table = Table::open(&topic.name, &hot_place(store, topic), topic.archive_schema()).await?;
        let mut archive = Self {
            topic: topic.clone(),
            store: store.clone(),
            log: log.to_owned(),
            table: table.with_unique(unique),
            cold: Arc::default(),
            cold_is_old: Arc::new(AtomicBool::new(true)),
            next_offsets: BTreeMap::new(),
            effective_ms: None,
            replays: 0,
            checked_version: None,
        };
        archive.replays = archive.stored_replays().await?;
        // M is the topic's: it survives a log made anew.
        for log in archive.logs().await?.iter().map(String::as_str).chain([log]) {
            let application = watermark_application(log, &topic.kafka_topic);
            archive.effective_ms = archive.effective_ms.max(archive.table.transaction(&application).await?);
        }
        for partition in partitions {
            archive.add_partition(partition).await?;
        }
        Ok(archive)
    }

    /// The archive in `store` as it is now, for reading; none if there is none.
    pub async fn read(topic: &Topic, store: &Location) -> Result<Option<ArchiveReader>, StoreError> {
        let Some(table) = Table::read(&topic.name, &hot_place(store, topic)).await? else { return Ok(None) };
        let cold = Cold::read(store, topic).await?;
        Ok(Some(ArchiveReader { kafka_topic: topic.kafka_topic.clone(), table, cold }))
    }

    /// Sees what has been committed since; true if something was.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.cold_is_old.store(true, Ordering::SeqCst);
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// Sees that no rows were replayed since the archive was opened: what this process has folded would lack them.
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
    pub async fn add_partition(&mut self, partition: i32) -> Result<Option<i64>, StoreError> {
        let next = self.table.transaction(&self.partition_application(partition)).await?;
        if let Some(next) = next {
            self.next_offsets.insert(partition, next);
        }
        Ok(next)
    }

    /// The next offset of each partition that has rows.
    pub fn next_offsets(&self) -> &BTreeMap<i32, i64> {
        &self.next_offsets
    }

    /// The identity of the log that is read.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The identity of the table: one that was deleted and read anew is another.
    pub fn id(&self) -> Result<&str, StoreError> {
        self.table.id()
    }

    /// How often rows had been replayed when the archive was opened: each time verdicts of the archive changed.
    pub fn replays(&self) -> i64 {
        self.replays
    }

    /// The committed effective watermark, in milliseconds.
    pub fn effective_ms(&self) -> Option<i64> {
        self.effective_ms
    }

    /// Every committed row that is not gone, in the archive's schema.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        let hot = self.table.provider().await?;
        self.with_cold(|cold| cold.with(hot)).await?.map_err(StoreError::read(&self.topic.name))
    }

    /// The newest event time of rows that are gone, in microseconds: what lies before it is not whole any more.
    pub async fn gone_micros(&self) -> Result<Option<i64>, StoreError> {
        self.with_cold(|cold| cold.extent.gone_micros).await
    }

    /// Looks at the cold part again if it may be older than the table.
    async fn with_cold<T>(&self, use_it: impl FnOnce(&Cold) -> T) -> Result<T, StoreError> {
        let mut cold = self.cold.lock().await;
        if self.cold_is_old.load(Ordering::SeqCst) {
            *cold = Cold::read(&self.store, &self.topic).await?;
            self.cold_is_old.store(false, Ordering::SeqCst);
        }
        Ok(use_it(&cold))
    }

    /// The one commit. After an error whose outcome is unknown, what the table says decides.
    pub async fn commit(&mut self, commit: &ArchiveCommit) -> Result<(), StoreError> {
        for (partition, (from, _)) in &commit.offsets {
            self.check_continuity(*partition, *from, self.next_offsets.get(partition).copied())?;
        }
        let mut transactions: Vec<(String, i64)> =
            commit.offsets.iter().map(|(partition, (_, to))| (self.partition_application(*partition), *to)).collect();
        transactions.extend(commit.effective_ms.map(|effective_ms| (self.watermark_application(), effective_ms)));
        transactions.push((self.commit_application(), commit.token));
        // An attempt before this one may have come through though its outcome could not be asked for: nobody else has its token.
        if self.table.version() != self.checked_version && self.is_stored(&transactions).await? {
            self.committed(commit);
            return Ok(());
        }
        self.check_owner(commit).await?;
        let carried = [transactions.as_slice(), &[(REPLAYS.to_owned(), self.replays)]].concat();
        match self.table.append(commit.rows.clone(), &carried).await {
            Ok(true) => self.checked_version = self.table.version(),
            // Another process wrote between, such as a compaction: see that it was not for our partitions.
            Ok(false) => {
                self.cold_is_old.store(true, Ordering::SeqCst);
                self.check_offsets(commit, |(_, to)| Some(to)).await?;
            }
            Err(error) => {
                self.cold_is_old.store(true, Ordering::SeqCst);
                self.table.refresh().await?;
                if !self.is_stored(&transactions).await? {
                    self.check_offsets(commit, |(from, _)| from).await?;
                    return Err(error);
                }
                tracing::warn!(topic = self.topic.name, %error, "a commit that reported an error had succeeded");
            }
        }
        self.committed(commit);
        Ok(())
    }

    fn committed(&mut self, commit: &ArchiveCommit) {
        self.next_offsets.extend(commit.offsets.iter().map(|(partition, (_, to))| (*partition, *to)));
        self.effective_ms = commit.effective_ms.or(self.effective_ms);
    }

    /// Merges small files if there are many; true if it did.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        let compacted = self.table.compact().await;
        if !matches!(compacted, Ok(false)) {
            self.cold_is_old.store(true, Ordering::SeqCst);
        }
        compacted
    }

    /// Deletes files that merges have replaced.
    pub async fn vacuum(&mut self) -> Result<(), StoreError> {
        self.table.vacuum().await.map(|_| ())
    }

    /// The logs that the archive holds rows of.
    pub async fn logs(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.collect(|frame| frame.aggregate(vec![ident(archive_columns::LOG)], vec![])).await?;
        let logs = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        Ok(logs.map(str::to_owned).collect())
    }

    /// How many offsets have each verdict.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let gone = self.with_cold(|cold| cold.extent.gone_counts).await?;
        let counted = count_verdicts(self.frame().await?, gone).await;
        counted.map_err(StoreError::read(&self.topic.name))
    }

    /// The ranges of this log that were skipped on somebody's word: partition, first and last offset.
    pub async fn skipped(&self) -> Result<Vec<(i32, i64, i64)>, StoreError> {
        let of_log = self.frame().await?.filter(this_log(&self.log));
        let ranges = async { skipped_ranges(of_log?).await };
        ranges.await.map_err(StoreError::read(&self.topic.name))
    }

    /// How many offsets were skipped on somebody's word, in whatever log.
    pub async fn skipped_count(&self) -> Result<u64, StoreError> {
        let ranges = skipped_ranges(self.frame().await?).await;
        Ok(offsets_in(&ranges.map_err(StoreError::read(&self.topic.name))?))
    }

    /// The newest accepted event of each partition, in microseconds.
    pub async fn newest_events(&self) -> Result<BTreeMap<i32, i64>, StoreError> {
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let rows = self
            .collect(|frame| {
                frame
                    .filter(this_log(&self.log).and(time.clone().is_not_null()))?
                    .aggregate(vec![ident(archive_columns::PARTITION)], vec![max(time).alias("newest")])
            })
            .await?;
        let mut newest = BTreeMap::new();
        for batch in &rows {
            let partitions = batch.column(0).as_primitive::<Int32Type>();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            newest.extend(partitions.values().iter().copied().zip(times.values().iter().copied()));
        }
        Ok(newest)
    }

    /// The counted rows whose event time is at or after `since_micros` and before `until_micros` (no bound if none): the partition, then
    /// the topic's columns.
    pub async fn counted(
        &self,
        since_micros: Option<i64>,
        until_micros: Option<i64>,
    ) -> Result<SendableRecordBatchStream, StoreError> {
        let frame = self.frame().await?;
        let wanted = self.is_counted(since_micros, until_micros);
        let mut columns = vec![ident(archive_columns::PARTITION)];
        columns.extend(self.topic.columns.iter().map(|column| ident(&column.name)));
        let run = async { frame.filter(wanted)?.select(columns)?.execute_stream().await };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// The event time, in microseconds, of the oldest counted row at or after `since_micros`.
    pub async fn oldest_counted(&self, since_micros: Option<i64>) -> Result<Option<i64>, StoreError> {
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let wanted = self.is_counted(since_micros, None);
        let rows =
            self.collect(|frame| frame.filter(wanted)?.aggregate(vec![], vec![min(time).alias("oldest")])).await?;
        let oldest =
            |batch: &RecordBatch| arrow::compute::min(batch.column(0).as_primitive::<TimestampMicrosecondType>());
        Ok(rows.iter().find_map(oldest))
    }

    fn is_counted(&self, since_micros: Option<i64>, until_micros: Option<i64>) -> Expr {
        let time = || ident(&self.topic.columns[self.topic.event_time].name);
        let instant = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let mut wanted = col(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        if let Some(since) = since_micros {
            wanted = wanted.and(time().gt_eq(instant(since)));
        }
        if let Some(until) = until_micros {
            wanted = wanted.and(time().lt(instant(until)));
        }
        wanted
    }

    /// Every row of this log at or behind these offsets, and all of other partitions: the partition, the verdict, then the topic's
    /// columns.
    pub async fn rows_behind(&self, offsets: &BTreeMap<i32, i64>) -> Result<SendableRecordBatchStream, StoreError> {
        let frame = self.frame().await?;
        let partition = || ident(archive_columns::PARTITION);
        let known = offsets.keys().map(|known| lit(*known)).collect();
        let behind = offsets
            .iter()
            .map(|(known, offset)| partition().eq(lit(*known)).and(ident(archive_columns::OFFSET).gt_eq(lit(*offset))));
        let wanted = behind.fold(partition().in_list(known, true), Expr::or).and(this_log(&self.log));
        let mut columns = vec![partition(), ident(archive_columns::VERDICT)];
        columns.extend(self.topic.columns.iter().map(|column| ident(&column.name)));
        let run = async { frame.filter(wanted)?.select(columns)?.execute_stream().await };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    async fn collect(
        &self,
        query: impl FnOnce(DataFrame) -> Result<DataFrame, DataFusionError>,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let frame = self.frame().await?;
        let run = async { query(frame)?.collect().await };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    async fn frame(&self) -> Result<DataFrame, StoreError> {
        read_session(1).read_table(self.provider().await?).map_err(StoreError::read(&self.topic.name))
    }

    /// Sees that the snapshot on which the next commit is built is where this process left it: tidying, and looking again after an
    /// error, bring in what others have committed.
    async fn check_owner(&mut self, commit: &ArchiveCommit) -> Result<(), StoreError> {
        if self.table.version() == self.checked_version {
            return Ok(());
        }
        let partitions: BTreeSet<i32> = self.next_offsets.keys().chain(commit.offsets.keys()).copied().collect();
        for partition in partitions {
            let found = self.table.transaction(&self.partition_application(partition)).await?;
            self.check_continuity(partition, self.next_offsets.get(&partition).copied(), found)?;
        }
        let found_ms = self.table.transaction(&self.watermark_application()).await?;
        if found_ms > self.effective_ms {
            return Err(StoreError::Overtaken { table: self.topic.name.clone() });
        }
        self.refuse_replays().await?;
        self.checked_version = self.table.version();
        Ok(())
    }

    async fn is_stored(&self, transactions: &[(String, i64)]) -> Result<bool, StoreError> {
        for (application, version) in transactions {
            if self.table.transaction(application).await? != Some(*version) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn check_offsets(
        &self,
        commit: &ArchiveCommit,
        expected: impl Fn((Option<i64>, i64)) -> Option<i64>,
    ) -> Result<(), StoreError> {
        for (partition, range) in &commit.offsets {
            let found = self.table.transaction(&self.partition_application(*partition)).await?;
            self.check_continuity(*partition, expected(*range), found)?;
        }
        Ok(())
    }

    fn check_continuity(&self, partition: i32, expected: Option<i64>, found: Option<i64>) -> Result<(), StoreError> {
        if expected == found {
            return Ok(());
        }
        Err(StoreError::Fenced { topic: self.topic.name.clone(), partition, expected, found })
    }

    fn partition_application(&self, partition: i32) -> String {
        partition_application(&self.log, &self.topic.kafka_topic, partition)
    }

    fn commit_application(&self) -> String {
        format!("{}/{}/commit", self.log, self.topic.kafka_topic)
    }

    fn watermark_application(&self) -> String {
        watermark_application(&self.log, &self.topic.kafka_topic)
    }
}

/// One version of an archive, whatever the stream goes on to write.
#[derive(Debug)]
pub struct ArchiveReader {
    kafka_topic: String,
    table: Table,
    cold: Cold,
}

impl ArchiveReader {
    /// Every row that is not gone, in the archive's schema.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.cold.with(self.table.provider().await?).map_err(StoreError::read(&self.table.name))
    }

    /// The newest event time of rows that are gone, in microseconds: what lies before it is not whole any more.
    pub fn gone_micros(&self) -> Option<i64> {
        self.cold.extent.gone_micros
    }

    /// The event times of rows that are gone: a day that none of them touches is whole, also one before the archive began.
    pub fn gone_times(&self) -> Spans {
        self.cold.extent.gone_times()
    }

    /// The last offset of a partition of which all rows are gone through it; none if none are.
    pub fn gone_through(&self, log: &str, partition: i32) -> Option<i64> {
        self.cold.extent.gone.get(log)?.get(&partition).copied()
    }

    /// The partitions of a log of which rows are gone.
    pub fn gone_partitions(&self, log: &str) -> impl Iterator<Item = i32> + use<> {
        let partitions = self.cold.extent.gone.get(log).map(|gone| gone.keys().copied().collect::<Vec<_>>());
        partitions.unwrap_or_default().into_iter()
    }

    /// The logs of which rows are gone.
    pub fn gone_logs(&self) -> impl Iterator<Item = &str> {
        self.cold.extent.gone.keys().map(String::as_str)
    }

    /// The rows that `wanted` names and that can be replayed, in the archive's schema: cold ones cannot, and none while some are moved: the
    /// copy would keep their old verdicts.
    pub async fn replayable(&self, wanted: Expr) -> Result<Vec<RecordBatch>, StoreError> {
        if self.cold.is_moving {
            return Err(StoreError::Moving { topic: self.table.name.clone() });
        }
        self.rows(wanted.and(!cold::through(&self.cold.extent.cold))).await
    }

    /// The rows that `wanted` names, in the archive's schema.
    pub async fn rows(&self, wanted: Expr) -> Result<Vec<RecordBatch>, StoreError> {
        let frame = read_session(1).read_table(self.provider().await?).map_err(StoreError::read(&self.table.name))?;
        let run = async { frame.filter(wanted)?.collect().await };
        run.await.map_err(StoreError::read(&self.table.name))
    }

    /// How many offsets have each verdict, and how many were skipped on somebody's word.
    pub async fn counts(&self) -> Result<(Counts, u64), StoreError> {
        let failed = StoreError::read(&self.table.name);
        let frame = || async { read_session(1).read_table(self.provider().await?).map_err(&failed) };
        let counts = count_verdicts(frame().await?, self.cold.extent.gone_counts).await.map_err(&failed)?;
        let skipped = skipped_ranges(frame().await?).await.map_err(&failed)?;
        Ok((counts, offsets_in(&skipped)))
    }

    /// One commit: each row takes the place of the one with its offset. A stream that goes on after it finds that it must start again.
    pub async fn replay(&mut self, rows: ArchiveBatch) -> Result<(), StoreError> {
        let replays = self.table.transaction(REPLAYS).await?.unwrap_or_default() + 1;
        let wanted = offsets_of(&rows);
        match self.table.replace(wanted, rows.into_rows(), &[(REPLAYS.to_owned(), replays)]).await {
            Err(error) if error.is_conflict() => Err(StoreError::StreamRuns { topic: self.table.name.clone() }),
            outcome => outcome,
        }
    }

    /// How often rows were replayed: each time verdicts changed.
    pub async fn replays(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(REPLAYS).await?.unwrap_or_default())
    }

    /// The committed effective watermark, in milliseconds: the topic's, whichever log it came from.
    pub async fn effective_ms(&self) -> Result<Option<i64>, StoreError> {
        let failed = StoreError::read(&self.table.name);
        let frame = read_session(1).read_table(self.table.delta_provider().await?).map_err(&failed)?;
        let run = async { frame.aggregate(vec![ident(archive_columns::LOG)], vec![])?.collect().await };
        let hot = run.await.map_err(&failed)?;
        let hot = hot.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        let mut effective_ms = None;
        for log in hot.chain(self.cold.extent.cold.keys().map(String::as_str)).collect::<BTreeSet<_>>() {
            let application = watermark_application(log, &self.kafka_topic);
            effective_ms = effective_ms.max(self.table.transaction(&application).await?);
        }
        Ok(effective_ms)
    }

    /// The next offset of a partition, as its commits have it.
    pub async fn next_offset(&self, log: &str, partition: i32) -> Result<Option<i64>, StoreError> {
        self.table.transaction(&partition_application(log, &self.kafka_topic, partition)).await
    }
}

fn hot_place(store: &Location, topic: &Topic) -> Location {
    Layout::of(store).archive(topic)
}

/// The application whose version counts replays.
pub(crate) const REPLAYS: &str = "replays";

fn partition_application(log: &str, kafka_topic: &str, partition: i32) -> String {
    format!("{log}/{kafka_topic}/{partition}")
}

fn watermark_application(log: &str, kafka_topic: &str) -> String {
    format!("{log}/{kafka_topic}/M")
}

/// Names the rows' offsets.
fn offsets_of(rows: &ArchiveBatch) -> Expr {
    let (partitions, offsets, logs) = (rows.partitions(), rows.offsets(), rows.logs());
    let mut known = BTreeMap::<(&str, i32), Vec<Expr>>::new();
    for row in 0..rows.len() {
        known.entry((logs.value(row), partitions.value(row))).or_default().push(lit(offsets.value(row)));
    }
    let each = known.into_iter().map(|((log, partition), offsets)| {
        let of_partition = this_log(log).and(ident(archive_columns::PARTITION).eq(lit(partition)));
        of_partition.and(ident(archive_columns::OFFSET).in_list(offsets, false))
    });
    each.reduce(Expr::or).unwrap_or(lit(false))
}

fn this_log(log: &str) -> Expr {
    col(archive_columns::LOG).eq(lit(log))
}
