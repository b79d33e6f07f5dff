//! One version of an archive for readers, and the replay of its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::coalesce;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};

use super::cold::{Cold, through};
use super::counts::{count_verdicts, offsets_in, skipped_ranges};
use super::{ArchiveBatch, Counts, REPLAYS, Spans, hot_place, partition_application, this_log, watermarks};
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// How far a partition of a log has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The log's identity.
    pub log: String,
    /// The partition.
    pub partition: PartitionId,
    /// The offset after its last row.
    pub next: Offset,
}

/// One version of an archive, which stays as it is while the stream goes on writing.
#[derive(Debug)]
pub struct ArchiveReader {
    kafka_topic: String,
    event_time: String,
    /// Of the archive, in their order.
    pub(super) columns: Vec<String>,
    pub(super) table: Table,
    cold: Cold,
}

impl ArchiveReader {
    pub(super) async fn open(topic: &Topic, store: &Location) -> Result<Option<Self>, StoreError> {
        let Some(table) = Table::read(&topic.name, &hot_place(store, topic)).await? else { return Ok(None) };
        let cold = Cold::read(store, topic).await?;
        let event_time = topic.columns[topic.event_time].name.clone();
        let columns = topic.archive_schema().fields().iter().map(|field| field.name().clone()).collect();
        Ok(Some(Self { kafka_topic: topic.kafka_topic.clone(), event_time, columns, table, cold }))
    }

    /// Refuses a column that has another type there than in the catalog: nothing is made of its
    /// rows.
    pub fn check_columns(&self, topic: &Topic) -> Result<(), StoreError> {
        self.table.check_types(&topic.archive_schema())
    }

    /// Every row that retention has not purged, in the archive's schema.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.cold.with(self.table.provider().await?).map_err(StoreError::read(&self.table.name))
    }

    /// How many rows at most have an event time within; none if the files do not tell, or if there
    /// are cold ones.
    pub fn rows_within(&self, times: &Range<EventTime>) -> Option<usize> {
        if self.cold.has_rows() { None } else { self.table.rows_within(&self.event_time, times) }
    }

    /// The newest event time of purged rows: what lies before it is no longer complete.
    pub fn newest_purged(&self) -> Option<EventTime> {
        self.cold.extent.newest_purged
    }

    /// The event times of purged rows: a day that none of them touches is complete, even one before
    /// the archive began.
    pub fn purged_times(&self) -> Spans {
        self.cold.extent.purged_times()
    }

    /// The last offset of a partition through which its rows are purged; none if none are.
    pub fn purged_through(&self, log: &str, partition: PartitionId) -> Option<Offset> {
        self.cold.extent.purged.get(log)?.get(&partition).copied()
    }

    /// The partitions of a log that have purged rows.
    pub fn purged_partitions(&self, log: &str) -> impl Iterator<Item = PartitionId> + use<> {
        let partitions = self.cold.extent.purged.get(log).map(|purged| purged.keys().copied().collect::<Vec<_>>());
        partitions.unwrap_or_default().into_iter()
    }

    /// How far each partition of each log has come: its next offset. Reads two columns of all rows.
    pub async fn reach(&self) -> Result<Vec<Reached>, StoreError> {
        use archive_columns::{LOG, OFFSET, OFFSET_END, PARTITION};
        let run = async {
            let provider = self.provider().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let last = coalesce(vec![ident(OFFSET_END), ident(OFFSET)]);
            let frame = read_session(1).read_table(provider)?;
            frame.aggregate(vec![ident(LOG), ident(PARTITION)], vec![max(last).alias("last")])?.collect().await
        };
        let mut reached = BTreeMap::new();
        for (log, partitions) in &self.cold.extent.purged {
            reached.extend(partitions.iter().map(|(partition, last)| ((log.clone(), *partition), *last + 1)));
        }
        for batch in run.await.map_err(StoreError::read(&self.table.name))? {
            let logs = batch.column(0).as_string::<i32>();
            let partitions = batch.column(1).as_primitive::<Int32Type>();
            let last = batch.column(2).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let place = (logs.value(row).to_owned(), PartitionId(partitions.value(row)));
                let next: &mut Offset = reached.entry(place).or_default();
                *next = Offset(last.value(row)).saturating_add(1).max(*next);
            }
        }
        let reached = reached.into_iter().map(|((log, partition), next)| Reached { log, partition, next });
        Ok(reached.collect())
    }

    /// How far the cold part goes, in which nothing is replayed any more, and of which retention
    /// purges.
    pub fn cold_reach(&self) -> Vec<Reached> {
        let all = self.cold.extent.cold.iter().flat_map(|(log, partitions)| {
            let reached = |(partition, last): (&PartitionId, &Offset)| Reached {
                log: log.clone(),
                partition: *partition,
                next: last.saturating_add(1),
            };
            partitions.iter().map(reached)
        });
        all.collect()
    }

    /// The logs that there are rows of, in the order in which their first rows came.
    pub async fn logs_in_order(&self) -> Result<Vec<String>, StoreError> {
        let run = async {
            let provider = self.provider().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let first = min(ident(archive_columns::ARRIVAL)).alias("first");
            let frame = read_session(1).read_table(provider)?;
            let order = vec![ident("first").sort(true, true), ident(archive_columns::LOG).sort(true, true)];
            frame.aggregate(vec![ident(archive_columns::LOG)], vec![first])?.sort(order)?.collect().await
        };
        let rows = run.await.map_err(StoreError::read(&self.table.name))?;
        let logs = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        Ok(logs.map(str::to_owned).collect())
    }

    /// Reads what was committed since.
    pub async fn refresh(&mut self, topic: &Topic, store: &Location) -> Result<(), StoreError> {
        self.table.refresh().await?;
        self.cold = Cold::read(store, topic).await?;
        Ok(())
    }

    /// Goes to one commit of the rows that are not cold, or to the newest; true if it was at
    /// another. A newer cold part fits an older commit.
    pub async fn move_to(&mut self, topic: &Topic, store: &Location, commit: Option<u64>) -> Result<bool, StoreError> {
        let has_moved = self.table.move_to(commit).await?;
        if has_moved {
            self.cold = Cold::read(store, topic).await?;
        }
        Ok(has_moved)
    }

    /// The logs that have purged rows.
    pub fn purged_logs(&self) -> impl Iterator<Item = &str> {
        self.cold.extent.purged.keys().map(String::as_str)
    }

    /// The rows that `wanted` names and that can be replayed, in the archive's schema: cold rows
    /// cannot, and none can while some are being moved, as the copy would keep their old verdicts.
    pub async fn replayable(&self, wanted: Expr) -> Result<Vec<RecordBatch>, StoreError> {
        if self.cold.is_moving {
            return Err(StoreError::Moving { topic: self.table.name.clone() });
        }
        self.rows(wanted.and(!through(&self.cold.extent.cold))).await
    }

    /// The same as [`Self::replayable`], a batch at a time: of this version, whatever is committed
    /// meanwhile.
    pub async fn replayable_stream(&self, wanted: Expr) -> Result<SendableRecordBatchStream, StoreError> {
        if self.cold.is_moving {
            return Err(StoreError::Moving { topic: self.table.name.clone() });
        }
        let frame = self.frame(wanted.and(!through(&self.cold.extent.cold))).await?;
        frame.execute_stream().await.map_err(StoreError::read(&self.table.name))
    }

    /// The rows that `wanted` names, in the archive's schema.
    pub async fn rows(&self, wanted: Expr) -> Result<Vec<RecordBatch>, StoreError> {
        self.frame(wanted).await?.collect().await.map_err(StoreError::read(&self.table.name))
    }

    async fn frame(&self, wanted: Expr) -> Result<DataFrame, StoreError> {
        let frame = read_session(1).read_table(self.provider().await?).map_err(StoreError::read(&self.table.name))?;
        // A column that was added later stands last in the table, wherever the catalog has it.
        let columns: Vec<Expr> = self.columns.iter().map(ident).collect();
        frame.filter(wanted).and_then(|frame| frame.select(columns)).map_err(StoreError::read(&self.table.name))
    }

    /// How many offsets have each verdict, and how many an operator has skipped.
    pub async fn counts(&self) -> Result<(Counts, u64), StoreError> {
        let failed = StoreError::read(&self.table.name);
        let frame = || async { read_session(1).read_table(self.provider().await?).map_err(&failed) };
        let counts = count_verdicts(frame().await?, self.cold.extent.purged_counts).await.map_err(&failed)?;
        let skipped = skipped_ranges(frame().await?).await.map_err(&failed)?;
        Ok((counts, offsets_in(&skipped)))
    }

    /// One commit: each row takes the place of the one with its offset. A running stream finds out
    /// at its next commit, and has to start again.
    pub async fn replay(&mut self, rows: ArchiveBatch) -> Result<(), StoreError> {
        let replays = self.table.transaction(REPLAYS).await?.unwrap_or_default() + 1;
        let wanted = offsets_of(&rows);
        let rows = self.with_kept(rows, wanted.clone()).await?;
        match self.table.replace(wanted, rows, &[(REPLAYS.to_owned(), replays)]).await {
            Err(error) if error.is_conflict() => Err(StoreError::StreamRuns { topic: self.table.name.clone() }),
            outcome => outcome,
        }
    }

    /// How often rows were replayed: each time verdicts changed.
    pub async fn replays(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(REPLAYS).await?.unwrap_or_default())
    }

    /// The topic's committed watermark, whichever log it came from.
    pub async fn watermark(&self) -> Result<Option<Watermark>, StoreError> {
        let failed = StoreError::read(&self.table.name);
        let frame = read_session(1).read_table(self.table.delta_provider().await?).map_err(&failed)?;
        let run = async { frame.aggregate(vec![ident(archive_columns::LOG)], vec![])?.collect().await };
        let hot = run.await.map_err(&failed)?;
        let hot = hot.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        let mut watermark = None;
        for log in hot.chain(self.cold.extent.cold.keys().map(String::as_str)).collect::<BTreeSet<_>>() {
            watermark = watermark.max(watermarks::stored(&self.table, log, &self.kafka_topic).await?);
        }
        Ok(watermark)
    }

    /// The next offset of a partition, as its commits have it.
    pub async fn next_offset(&self, log: &str, partition: PartitionId) -> Result<Option<Offset>, StoreError> {
        let application = partition_application(log, &self.kafka_topic, partition);
        Ok(self.table.transaction(&application).await?.map(Offset))
    }
}

/// Names the rows' offsets.
fn offsets_of(rows: &ArchiveBatch) -> Expr {
    let (partitions, offsets, logs) = (rows.partitions(), rows.offsets(), rows.logs());
    let mut known = BTreeMap::<(&str, PartitionId), Vec<Expr>>::new();
    for row in 0..rows.len() {
        known.entry((logs.value(row), PartitionId(partitions.value(row)))).or_default().push(lit(offsets.value(row)));
    }
    let each = known.into_iter().map(|((log, partition), offsets)| {
        let of_partition = this_log(log).and(ident(archive_columns::PARTITION).eq(lit(partition.0)));
        of_partition.and(ident(archive_columns::OFFSET).in_list(offsets, false))
    });
    each.reduce(Expr::or).unwrap_or(lit(false))
}
