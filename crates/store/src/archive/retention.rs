//! Old rows move to the cold table, and rows that are too old are purged.
//!
//! Rows are moved in steps of one day of arrivals, so that no single write takes hours. A step is
//! planned; the hot table notes it in a commit that excludes replays and repairs that began before;
//! its rows are copied as of that commit; the copy is read back; the step is marked as done. At the
//! end the moved rows leave the hot table.

mod arrivals;
mod copy;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use vitral_schemas::event_time::EventTime;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

use self::arrivals::{arrivals, parts};
use self::copy::{copy, prove};
use super::cold::{Extent, Step, Steps, Through, rows_place, through};
use super::hot_place;
use super::kept::open_cold;
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// Streams that merge files, and compaction, cause conflicts.
const ATTEMPTS: usize = 20;
/// The application that says which step's rows the cold table has.
const MOVED: &str = "vitral/moved";
/// The application that says for which step the hot table is being read.
const MOVING: &str = "vitral/moving";
const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Rows that arrived before these times, in milliseconds since the epoch, ...
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// ... are moved.
    pub hot_ms: i64,
    /// ... are purged; none if no row may be.
    pub cold_ms: Option<i64>,
    /// The time now. A row stamped more than a day later was stamped by a wrong clock, and counts
    /// as old as its neighbours.
    pub now_ms: i64,
}

/// What one run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Rows that were moved to the cold table.
    pub moved: u64,
    /// Rows that were purged.
    pub purged: u64,
}

/// What a run would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Rows that would be moved to the cold table.
    pub moving: u64,
    /// Rows that would be purged.
    pub going: u64,
    /// All rows of the archive, hot and cold.
    pub total: u64,
}

/// What [`retain`] would do now; none if there is no archive.
pub async fn outlook(topic: &Topic, store: &Location, limits: Limits) -> Result<Option<Outlook>, StoreError> {
    let failed = StoreError::read(&topic.name);
    let Some(hot) = Table::read(&topic.name, &hot_place(store, topic)).await? else { return Ok(None) };
    let steps = Steps::open(store, topic).await?;
    let cold = open_cold(topic, store, &hot).await?;
    let current = steps.current().await?;
    let last = steps.last().await?;
    let going = match last.is_done || last.number == 0 {
        true => going(topic, &cold, &current, limits).await.map_err(&failed)?,
        // It was planned before, and agreed to.
        false => current.clone(),
    };
    let moving = moving(&hot, &current, limits).await.map_err(&failed)?.pop().unwrap_or_default();
    let count = async |table: &Table, wanted: Expr| -> Result<u64> {
        let rows = read_session(1).read_table(table.provider().await.map_err(external)?)?.filter(wanted)?;
        Ok(rows.count().await? as u64)
    };
    let run = async {
        let still_hot = || !through(&current.cold);
        let there = through(&current.cold).and(!through(&current.purged));
        Ok(Outlook {
            moving: count(&hot, still_hot().and(through(&moving))).await?,
            going: going.purged_counts.read() - current.purged_counts.read(),
            total: count(&hot, still_hot()).await? + count(&cold, there).await?,
        })
    };
    run.await.map(Some).map_err(failed)
}

/// Moves and purges rows while streams, jobs and readers run; none if there is no archive. A run
/// always takes a partition's oldest offsets.
pub async fn retain(topic: &Topic, store: &Location, limits: Limits) -> Result<Option<RetentionReport>, StoreError> {
    let failed = StoreError::read(&topic.name);
    let Some(hot) = Table::read(&topic.name, &hot_place(store, topic)).await? else { return Ok(None) };
    let mut steps = Steps::open(store, topic).await?;
    let cold = open_cold(topic, store, &hot).await?;
    let mut current = steps.current().await?;
    let began_at = current.clone();
    let mut moved = 0;
    let last = steps.last().await?;
    if last.number > 0 && !last.is_done {
        moved += carry_out(topic, store, &mut steps, &mut current, last).await?;
    } else {
        let mut extent = going(topic, &cold, &current, limits).await.map_err(&failed)?;
        let mut parts = moving(&hot, &current, limits).await.map_err(&failed)?;
        if parts.is_empty() && extent != current {
            parts.push(Through::new());
        }
        for part in parts {
            merge(&mut extent.cold, part);
            let number = steps.last().await?.number + 1;
            let step = Step { number, is_done: false, extent: extent.clone() };
            steps.write(&step).await?;
            moved += carry_out(topic, store, &mut steps, &mut current, step).await?;
        }
    }
    clean(topic, store, &current).await?;
    Ok(Some(RetentionReport { moved, purged: current.purged_counts.read() - began_at.purged_counts.read() }))
}

/// Carries a planned step out, up to where readers switch; how many rows were copied for it.
async fn carry_out(
    topic: &Topic,
    store: &Location,
    steps: &mut Steps,
    current: &mut Extent,
    mut step: Step,
) -> Result<u64, StoreError> {
    let mut moved = 0;
    if step.extent.cold != current.cold {
        let hot = note(topic, store, &step).await?;
        let wanted = through(&step.extent.cold).and(!through(&current.cold));
        let mut cold = open_cold(topic, store, &hot).await?;
        if cold.transaction(MOVED).await? >= Some(step.number) {
            // Another run copied it and was killed. What it left may be from before a replay, or
            // unreadable: then it is copied again.
            if prove(topic, &hot, &cold, wanted.clone()).await.is_err() {
                step.number += 1;
                steps.write(&step).await?;
            }
        }
        moved = copy(&hot, &mut cold, wanted.clone(), step.number).await?;
        cold.refresh().await?;
        prove(topic, &hot, &cold, wanted).await?;
    }
    steps.write(&Step { is_done: true, ..step.clone() }).await?;
    *current = step.extent;
    Ok(moved)
}

/// The hot table as of a commit that says that rows are being moved. A replay or repair that has
/// not seen this commit is refused; one that comes later finds the planned step.
async fn note(topic: &Topic, store: &Location, step: &Step) -> Result<Table, StoreError> {
    let mut attempt = 1;
    loop {
        let hot = Table::read(&topic.name, &hot_place(store, topic)).await?;
        let mut hot = hot.ok_or_else(|| StoreError::Overtaken { table: topic.name.clone() })?;
        match hot.append(Vec::new(), &[(MOVING.to_owned(), step.number), hot.rewrite()]).await {
            Ok(_) => return Ok(hot),
            Err(error) if attempt < ATTEMPTS && error.is_conflict() => {
                tracing::debug!(table = topic.name, attempt, %error, "a move is not noted yet; trying again");
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Until where each partition's rows become cold, day by day of their arrival; the last is the
/// whole of it.
async fn moving(hot: &Table, current: &Extent, limits: Limits) -> Result<Vec<Through>> {
    let rows = hot.provider().await.map_err(external)?;
    Ok(parts(&arrivals(rows, !through(&current.cold), limits.hot_ms, limits.now_ms).await?))
}

/// The extent once everything that is too old is purged; the border between hot and cold stays.
async fn going(topic: &Topic, cold: &Table, current: &Extent, limits: Limits) -> Result<Extent> {
    let mut extent = current.clone();
    let Some(cold_ms) = limits.cold_ms else { return Ok(extent) };
    let there = through(&current.cold).and(!through(&current.purged));
    let provider = || async { cold.provider().await.map_err(external) };
    let found = arrivals(provider().await?, there.clone(), cold_ms, limits.now_ms).await?;
    let going = parts(&found).pop().unwrap_or_default();
    let (counts, times) = purged(topic, provider().await?, there.and(through(&going))).await?;
    for (verdict, rows) in counts {
        extent.purged_counts.add(verdict, rows);
    }
    if !times.is_empty() {
        let newest = times.iter().map(|(_, last)| *last).max();
        extent.purged_times = Some(extent.purged_times().and(times));
        extent.newest_purged = extent.newest_purged.max(newest);
    }
    merge(&mut extent.purged, going);
    Ok(extent)
}

fn merge(into: &mut Through, more: Through) {
    for (log, partitions) in more {
        into.entry(log).or_default().extend(partitions);
    }
}

/// How many rows have each verdict, and the first and last event time of those that counted, hour
/// by hour.
async fn purged(
    topic: &Topic,
    rows: Arc<dyn TableProvider>,
    wanted: Expr,
) -> Result<(Vec<(Verdict, u64)>, Vec<(EventTime, EventTime)>)> {
    let time = || ident(&topic.columns[topic.event_time].name);
    let is_counted = || ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
    // Null where it did not count, whatever times such rows may have.
    let hour = when(is_counted(), cast(time(), DataType::Int64) / lit(HOUR_MICROS)).end()?;
    let batches: Vec<RecordBatch> = read_session(1)
        .read_table(rows)?
        .filter(wanted)?
        .aggregate(
            vec![ident(archive_columns::VERDICT), hour.alias("hour")],
            vec![count(lit(1)).alias("rows"), min(time()).alias("oldest"), max(time()).alias("newest")],
        )?
        .collect()
        .await?;
    let (mut counts, mut times) = (Vec::new(), Vec::new());
    for batch in &batches {
        let verdicts = batch.column(0).as_string::<i32>();
        let numbers = batch.column(2).as_primitive::<Int64Type>();
        let [oldest, newest] = [3, 4].map(|column| batch.column(column).as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let Some(verdict) = Verdict::from_name(verdicts.value(row)) else { continue };
            counts.push((verdict, u64::try_from(numbers.value(row)).unwrap_or_default()));
            if verdict == Verdict::Counted && oldest.is_valid(row) {
                times.push((EventTime::from_micros(oldest.value(row)), EventTime::from_micros(newest.value(row))));
            }
        }
    }
    Ok((counts, times))
}

/// Takes out of both tables what readers no longer look at there.
async fn clean(topic: &Topic, store: &Location, extent: &Extent) -> Result<(), StoreError> {
    for (place, offsets) in [(hot_place(store, topic), &extent.cold), (rows_place(store, topic), &extent.purged)] {
        if offsets.is_empty() {
            continue;
        }
        let mut attempt = 1;
        loop {
            let Some(mut table) = Table::read(&topic.name, &place).await? else { break };
            match table.delete(through(offsets)).await {
                Err(error) if attempt < ATTEMPTS && error.is_conflict() => {
                    tracing::debug!(table = topic.name, attempt, %error, "moved rows are not deleted yet; trying again");
                    attempt += 1;
                }
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
    }
    Ok(())
}

fn external(error: StoreError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
