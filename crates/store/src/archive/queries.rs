//! The questions that a stream asks its archive when it starts, and those of telemetry.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, col, ident, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::archive_columns;
use vitral_schemas::verdict::Verdict;

use super::counts::{count_verdicts, offsets_in, skipped_ranges};
use super::{Archive, Counts, Skipped, this_log};
use crate::error::StoreError;
use crate::session::read_session;

impl Archive {
    /// The logs that the archive holds rows of.
    pub async fn logs(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.collect(|frame| frame.aggregate(vec![ident(archive_columns::LOG)], vec![])).await?;
        let logs = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        Ok(logs.map(str::to_owned).collect())
    }

    /// How many offsets have each verdict.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let purged = self.with_cold(|cold| cold.extent.purged_counts).await?;
        let counted = count_verdicts(self.frame().await?, purged).await;
        counted.map_err(StoreError::read(&self.topic.name))
    }

    /// The ranges of this log that an operator has skipped.
    pub async fn skipped(&self) -> Result<Vec<Skipped>, StoreError> {
        let of_log = self.frame().await?.filter(this_log(&self.log));
        let ranges = async { skipped_ranges(of_log?).await };
        ranges.await.map_err(StoreError::read(&self.topic.name))
    }

    /// How many offsets an operator has skipped, in any log.
    pub async fn skipped_count(&self) -> Result<u64, StoreError> {
        let ranges = skipped_ranges(self.frame().await?).await;
        Ok(offsets_in(&ranges.map_err(StoreError::read(&self.topic.name))?))
    }

    /// The newest accepted event of each partition.
    pub async fn newest_events(&self) -> Result<BTreeMap<PartitionId, EventTime>, StoreError> {
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
            let times = times.values().iter().copied().map(EventTime::from_micros);
            newest.extend(partitions.values().iter().copied().map(PartitionId).zip(times));
        }
        Ok(newest)
    }

    /// The counted rows whose event time is at or after `since` and before `until` (no bound if
    /// none): the partition, then the topic's columns.
    pub async fn counted(
        &self,
        since: Option<EventTime>,
        until: Option<EventTime>,
    ) -> Result<SendableRecordBatchStream, StoreError> {
        let frame = self.frame().await?;
        let wanted = self.is_counted(since, until);
        let mut columns = vec![ident(archive_columns::PARTITION)];
        columns.extend(self.topic.columns.iter().map(|column| ident(&column.name)));
        let run = async { frame.filter(wanted)?.select(columns)?.execute_stream().await };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// The event time of the oldest counted row at or after `since`.
    pub async fn oldest_counted(&self, since: Option<EventTime>) -> Result<Option<EventTime>, StoreError> {
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let wanted = self.is_counted(since, None);
        let rows =
            self.collect(|frame| frame.filter(wanted)?.aggregate(vec![], vec![min(time).alias("oldest")])).await?;
        let oldest =
            |batch: &RecordBatch| arrow::compute::min(batch.column(0).as_primitive::<TimestampMicrosecondType>());
        Ok(rows.iter().find_map(oldest).map(EventTime::from_micros))
    }

    fn is_counted(&self, since: Option<EventTime>, until: Option<EventTime>) -> Expr {
        let time = || ident(&self.topic.columns[self.topic.event_time].name);
        let instant = |at: EventTime| lit(ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into())));
        let mut wanted = col(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        if let Some(since) = since {
            wanted = wanted.and(time().gt_eq(instant(since)));
        }
        if let Some(until) = until {
            wanted = wanted.and(time().lt(instant(until)));
        }
        wanted
    }

    /// Every row of this log at or behind these offsets, and all of other partitions: the
    /// partition, the verdict, then the topic's columns.
    pub async fn rows_behind(
        &self,
        offsets: &BTreeMap<PartitionId, Offset>,
    ) -> Result<SendableRecordBatchStream, StoreError> {
        let frame = self.frame().await?;
        let partition = || ident(archive_columns::PARTITION);
        let known = offsets.keys().map(|known| lit(known.0)).collect();
        let behind = offsets.iter().map(|(known, offset)| {
            partition().eq(lit(known.0)).and(ident(archive_columns::OFFSET).gt_eq(lit(offset.0)))
        });
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
}
