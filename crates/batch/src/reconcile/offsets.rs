//! The archive must have every offset once: rows and ranges of what was never delivered, without a
//! hole and without an overlap.

mod by_partition;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::{ident, lit};
use futures::TryStreamExt;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_store::{Archive, ArchiveReader, Location};

use self::walk::Walk;
use super::instant;
use crate::error::BatchError;

/// Partitions whose offsets are read by one scan; more would make its condition slow.
const PARTITIONS_AT_ONCE: usize = 16;
/// Partitions after the last one with rows whose commits are read too: one whose rows have all
/// expired would be overlooked.
const PARTITIONS_BEHIND: i32 = 16;
/// Rows that came later than others say so by the clock, which may have been set back by this much
/// meanwhile. If by more, a new log or partition is seen once the clock has passed the time that it
/// had.
const CLOCK_SET_BACK_MICROS: i64 = 3_600_000_000;

/// Where the offsets of a partition do not continue as they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The topic's log, by its identity.
    pub log: String,
    /// The partition's number.
    pub partition: PartitionId,
    /// The offset that should come next.
    pub expected: Offset,
    /// The offset that does: larger where rows are missing, smaller where some are there twice.
    pub found: Offset,
}

/// What the archive of a topic holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The topic's log, by its identity.
    pub log: String,
    /// The partition's number.
    pub partition: PartitionId,
    /// Its first offset.
    pub first: Offset,
    /// After the last one.
    pub next: Offset,
    /// When its newest row came, in microseconds.
    pub newest_arrival_micros: i64,
}

impl PartitionOffsets {
    fn nothing(log: &str, partition: PartitionId) -> Self {
        let (first, next, newest_arrival_micros) = (Offset(i64::MAX), Offset(i64::MIN), i64::MIN);
        Self { log: log.to_owned(), partition, first, next, newest_arrival_micros }
    }

    fn add(&mut self, offset: Offset, arrival_micros: i64) {
        self.first = self.first.min(offset);
        self.next = self.next.max(offset + 1);
        self.newest_arrival_micros = self.newest_arrival_micros.max(arrival_micros);
    }
}

/// What of a topic's archive was checked already, so that the next check costs what has come since,
/// not what there is.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<(String, PartitionId), PartitionOffsets>);

impl Seen {
    /// Nothing was checked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a check has found to be right is not checked again.
    pub fn learn(&mut self, partitions: Vec<PartitionOffsets>) {
        self.0.extend(partitions.into_iter().map(|known| ((known.log.clone(), known.partition), known)));
    }
}

/// Looks at the offsets of a topic's archive that were not seen yet: where each partition stands,
/// and what is wrong.
pub async fn check(
    topic: &Topic,
    store: &Location,
    seen: &Seen,
) -> Result<(Vec<PartitionOffsets>, Vec<Break>), BatchError> {
    let Some(archive) = Archive::read(topic, &store.bulk_scan()).await? else { return Ok(Default::default()) };
    let rows = archive.provider().await?;
    let mut breaks = Vec::new();
    let bounds = match grown(topic, &archive, &rows, seen).await? {
        Some(bounds) => bounds,
        None => bounds(topic, &rows, None).await?,
    };
    let mut walks = Vec::with_capacity(bounds.len());
    for bounds in bounds {
        let seen = seen.0.get(&(bounds.log.clone(), bounds.partition));
        let expected = seen.map_or(bounds.first, |seen| seen.next);
        walks.push(Walk { start: expected, expected, bounds });
    }
    for together in walks.chunks_mut(PARTITIONS_AT_ONCE) {
        walk::all(topic, &rows, together, &mut breaks).await?;
    }
    let partitions: Vec<_> =
        walks.into_iter().map(|walk| PartitionOffsets { next: walk.expected, ..walk.bounds }).collect();
    check_ends(&archive, &partitions, &mut breaks).await?;
    Ok((partitions, breaks))
}

/// Where the partitions that were seen stand now, by what was committed; none if there may be
/// others, or if rows that were not seen have expired: then all rows are read.
async fn grown(
    topic: &Topic,
    archive: &ArchiveReader,
    rows: &Arc<dyn TableProvider>,
    seen: &Seen,
) -> Result<Option<Vec<PartitionOffsets>>, BatchError> {
    let newest_micros = seen.0.values().map(|known| known.newest_arrival_micros).max();
    let Some(newest_micros) = newest_micros else { return Ok(None) };
    // Rows of a log or a partition that was not there before have come since.
    let recent = bounds(topic, rows, Some(newest_micros - CLOCK_SET_BACK_MICROS)).await?;
    let mut recent: BTreeMap<_, _> =
        recent.into_iter().map(|found| ((found.log, found.partition), found.newest_arrival_micros)).collect();
    let mut grown = Vec::with_capacity(seen.0.len());
    for (key, known) in &seen.0 {
        let (log, partition) = (key.0.as_str(), key.1);
        if archive.purged_through(log, partition).is_some_and(|last| last >= known.next) {
            return Ok(None);
        }
        let next = archive.next_offset(log, partition).await?.unwrap_or(known.next);
        let newest_arrival_micros = recent.remove(key).unwrap_or(known.newest_arrival_micros);
        grown.push(PartitionOffsets { next, newest_arrival_micros, ..known.clone() });
    }
    Ok(recent.is_empty().then_some(grown))
}

/// The first offset of each partition, and the one after the last row's first; of rows that came at
/// or after `since_micros` alone, if that is given.
async fn bounds(
    topic: &Topic,
    rows: &Arc<dyn TableProvider>,
    since_micros: Option<i64>,
) -> Result<Vec<PartitionOffsets>, BatchError> {
    use archive_columns::*;
    let wanted = since_micros.map(|micros| ident(ARRIVAL).gt_eq(lit(instant(micros))));
    let mut found: Vec<PartitionOffsets> = Vec::new();
    let run = async {
        let mut batches = by_partition::read(rows, wanted, [OFFSET, ARRIVAL]).await?;
        while let Some(batch) = batches.try_next().await? {
            let offsets = batch.column(2).as_primitive::<Int64Type>().values();
            let arrivals = batch.column(3).as_primitive::<TimestampMicrosecondType>().values();
            let partitions: Vec<_> = by_partition::of_rows(&batch, |log, partition| {
                let place = found.iter().position(|known| known.partition == partition && known.log == log);
                Some(place.unwrap_or_else(|| {
                    found.push(PartitionOffsets::nothing(log, partition));
                    found.len() - 1
                }))
            })
            .collect();
            for ((partition, offset), arrival) in partitions.into_iter().zip(offsets).zip(arrivals) {
                if let Some(partition) = partition {
                    found[partition].add(Offset(*offset), *arrival);
                }
            }
        }
        Ok(())
    };
    run.await.map_err(BatchError::engine(&topic.name, "looked through"))?;
    found.sort_by(|a, b| (&a.log, a.partition).cmp(&(&b.log, b.partition)));
    Ok(found)
}

/// Rows that are missing at the end leave no hole; the commits know how far they went.
async fn check_ends(
    archive: &ArchiveReader,
    partitions: &[PartitionOffsets],
    breaks: &mut Vec<Break>,
) -> Result<(), BatchError> {
    let logs = partitions.iter().map(|known| known.log.as_str()).chain(archive.purged_logs()).collect::<BTreeSet<_>>();
    for log in logs {
        let of_log = || partitions.iter().filter(|known| known.log == log);
        let last =
            of_log().map(|known| known.partition).chain(archive.purged_partitions(log)).max().unwrap_or_default();
        for partition in (0..=last.0 + PARTITIONS_BEHIND).map(PartitionId) {
            let Some(expected) = archive.next_offset(log, partition).await? else { continue };
            let found = match of_log().find(|known| known.partition == partition) {
                Some(known) => known.next,
                // All of its rows have expired, the last of which may have stood for several
                // offsets.
                None if archive.purged_through(log, partition).is_some_and(|last| last < expected) => continue,
                None => Offset::default(),
            };
            if expected != found {
                breaks.push(Break { log: log.to_owned(), partition, expected, found });
            }
        }
    }
    Ok(())
}
