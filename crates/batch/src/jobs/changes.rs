//! What came since a job's last run, and how much there is of a span.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use chrono::NaiveDate;
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::logical_expr::{Expr, cast, ident, lit};
use serde::{Deserialize, Serialize};
use vitral_catalog::{JobTable, Period, WINDOW_START_COLUMN};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::time::civil_day;
use vitral_schemas::topic::{Topic, archive_columns, history_columns};
use vitral_schemas::verdict::Verdict;

use crate::engine::Engine;
use crate::error::BatchError;
use crate::tables::{Changed, KeptRows, Progress, Span, Tables, instant};

const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// How far everything that is stored had come, by topic, and what else a table reads, by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment(BTreeMap<String, Reached>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reached {
    /// The last offset of each partition, by the log's identity.
    offsets: BTreeMap<String, BTreeMap<PartitionId, Offset>>,
    /// How often verdicts were changed: then all days count as changed.
    replays: i64,
    /// The last commit of the history.
    sequence: i64,
    /// Of a metric, or of a table that is kept up to date: how far that had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Progress>,
}

/// Rows of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By the events' time.
    pub counted: u64,
    /// By their arrival, as few of them have a time.
    pub refused: u64,
}

pub(super) async fn moment(tables: &Tables<'_>, kept: &BTreeMap<String, KeptRows>) -> Result<Moment, BatchError> {
    let mut moment = BTreeMap::new();
    for (topic, stored) in tables.topics() {
        let mut reached = Reached { sequence: stored.sequence, replays: stored.replays, ..Reached::default() };
        if let Some(archive) = &stored.archive {
            let groups =
                vec![cast(ident(archive_columns::LOG), DataType::Utf8).alias("log"), ident(archive_columns::PARTITION)];
            let last = vec![max(ident(archive_columns::OFFSET)).alias("last")];
            for batch in collect(tables.engine(), &topic.name, archive, |frame| frame.aggregate(groups, last)).await? {
                let (logs, partitions) =
                    (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int32Type>());
                let last = batch.column(2).as_primitive::<Int64Type>();
                for row in 0..batch.num_rows() {
                    let of_log = reached.offsets.entry(logs.value(row).to_owned()).or_default();
                    of_log.insert(PartitionId(partitions.value(row)), Offset(last.value(row)));
                }
            }
        }
        moment.insert(topic.name.clone(), reached);
    }
    for (name, rows) in kept {
        moment.insert(name.clone(), Reached { kept: rows.progress.clone(), ..Reached::default() });
    }
    Ok(Moment(moment))
}

/// The days of the domain's zone with counted rows that came, or were taken back, or whose windows
/// became final after `before`, in what a table of the warehouse is computed from; all of them
/// without it.
pub(super) async fn days_since(
    job: &JobTable,
    (tables, kept): (&Tables<'_>, &BTreeMap<String, KeptRows>),
    before: Option<&Moment>,
    zone: Tz,
) -> Result<Vec<NaiveDate>, BatchError> {
    let mut days = BTreeSet::new();
    let mut topics: Vec<_> = tables.read_by(&job.query, &job.position).collect();
    if topics.is_empty() && kept.is_empty() {
        // What reads no events has the days of all of them.
        topics = tables.topics().collect();
    }
    for (topic, stored) in topics {
        let reached =
            before.and_then(|before| before.0.get(&topic.name)).filter(|before| before.replays == stored.replays);
        let counted = || ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        let new_messages = reached.map_or(lit(true), |before| behind(&before.offsets));
        let new_files = reached.map_or(lit(true), |before| ident(history_columns::SEQUENCE).gt(lit(before.sequence)));
        // Rows of files that were taken back leave the times that they had.
        let counted_or_undone = || counted().or(ident(archive_columns::VERDICT).eq(lit(history_columns::UNDONE)));
        let new_messages = counted().and(new_messages);
        let new_files = counted_or_undone().and(new_files);
        for (table, new) in [(&stored.archive, new_messages), (&stored.history, new_files)] {
            let Some(table) = table else { continue };
            days.extend(days_of(tables, (topic.name.as_str(), time_of(topic)), table, new, zone).await?);
        }
    }
    for (name, rows) in kept {
        let earlier = before.and_then(|before| before.0.get(name)).and_then(|reached| reached.kept.as_ref());
        match rows.changed_since(earlier) {
            Changed::Nothing => {}
            Changed::Windows(wanted) => {
                days.extend(days_of(tables, (name.as_str(), WINDOW_START_COLUMN), &rows.rows, wanted, zone).await?);
            }
            Changed::AllWindows => {
                days.extend(days_of(tables, (name.as_str(), WINDOW_START_COLUMN), &rows.rows, lit(true), zone).await?);
                // Windows that were taken out were of such days.
                for (topic, stored) in tables.topics().filter(|(topic, _)| topic.name == rows.topic) {
                    let Some(archive) = &stored.archive else { continue };
                    let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
                    days.extend(days_of(tables, (topic.name.as_str(), time_of(topic)), archive, counted, zone).await?);
                }
            }
            // No row of these tables is of a day: one that is recomputed as a whole is, whichever
            // day has changed.
            Changed::Rows if job.per == Period::All => days.extend([NaiveDate::default()]),
            Changed::Rows => {}
        }
    }
    Ok(days.into_iter().collect())
}

fn time_of(topic: &Topic) -> &str {
    &topic.columns[topic.event_time].name
}

/// The days of the zone with counted rows in the span, in what a table of the warehouse is computed
/// from.
pub(super) async fn days_with_rows(
    job: &JobTable,
    (tables, kept): (&Tables<'_>, &BTreeMap<String, KeptRows>),
    span: Span,
    zone: Tz,
) -> Result<Vec<NaiveDate>, BatchError> {
    let mut days = BTreeSet::new();
    for (topic, stored) in tables.read_by(&job.query, &job.position) {
        for table in [&stored.archive, &stored.history].into_iter().flatten() {
            let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
            let wanted = counted.and(within(time_of(topic), span));
            days.extend(days_of(tables, (topic.name.as_str(), time_of(topic)), table, wanted, zone).await?);
        }
    }
    for (name, rows) in kept.iter().filter(|(_, rows)| rows.window.is_some()) {
        let wanted = within(WINDOW_START_COLUMN, span);
        days.extend(days_of(tables, (name.as_str(), WINDOW_START_COLUMN), &rows.rows, wanted, zone).await?);
    }
    Ok(days.into_iter().collect())
}

fn within(time: &str, span: Span) -> Expr {
    ident(time).gt_eq(instant(span.from_ms)).and(ident(time).lt(instant(span.to_ms)))
}

/// The days that the wanted rows of a topic or metric are of, by their column of time.
async fn days_of(
    tables: &Tables<'_>,
    (name, time): (&str, &str),
    table: &Arc<dyn TableProvider>,
    wanted: Expr,
    zone: Tz,
) -> Result<BTreeSet<NaiveDate>, BatchError> {
    // Quarters of hours: the days of zones begin at them, at other ones than UTC's.
    // In integers: functions of time go by nanoseconds, which no year before 1677 has.
    let micros = || cast(ident(time), DataType::Int64);
    let since_quarter = (micros() % lit(QUARTER_MICROS) + lit(QUARTER_MICROS)) % lit(QUARTER_MICROS);
    let quarter = micros() - since_quarter;
    let rows = collect(tables.engine(), name, table, |frame| {
        frame.filter(wanted)?.aggregate(vec![quarter.alias("quarter")], vec![])
    });
    let mut days = BTreeSet::new();
    for batch in rows.await? {
        let quarters = batch.column(0).as_primitive::<Int64Type>();
        days.extend(quarters.iter().flatten().filter_map(|micros| civil_day(zone, micros)));
    }
    Ok(days)
}

pub(super) async fn counts(tables: &Tables<'_>, span: Span) -> Result<Counts, BatchError> {
    let mut counts = Counts::default();
    for (topic, stored) in tables.topics() {
        let is = |verdict: Verdict| ident(archive_columns::VERDICT).eq(lit(verdict.name()));
        for table in [&stored.archive, &stored.history].into_iter().flatten() {
            let number = async |engine: &Engine, wanted: Expr| {
                let rows = collect(engine, &topic.name, table, |frame| {
                    frame.filter(wanted)?.aggregate(vec![], vec![count(lit(1)).alias("n")])
                });
                let numbers = rows.await?;
                let sum =
                    numbers.iter().filter_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter().next()?);
                Ok::<_, BatchError>(u64::try_from(sum.sum::<i64>()).unwrap_or_default())
            };
            counts.counted += number(tables.engine(), is(Verdict::Counted).and(within(time_of(topic), span))).await?;
            counts.refused +=
                number(tables.engine(), is(Verdict::Refused).and(within(archive_columns::ARRIVAL, span))).await?;
        }
    }
    Ok(counts)
}

/// Rows behind these offsets, and all of other logs and partitions.
fn behind(offsets: &BTreeMap<String, BTreeMap<PartitionId, Offset>>) -> Expr {
    let known = offsets.iter().flat_map(|(log, partitions)| {
        partitions.iter().map(move |(partition, last)| {
            ident(archive_columns::LOG)
                .eq(lit(log.as_str()))
                .and(ident(archive_columns::PARTITION).eq(lit(partition.0)))
                .and(ident(archive_columns::OFFSET).lt_eq(lit(last.0)))
        })
    });
    known.reduce(Expr::or).map_or(lit(true), |known| !known)
}

async fn collect(
    engine: &Engine,
    name: &str,
    table: &Arc<dyn TableProvider>,
    query: impl FnOnce(DataFrame) -> datafusion::error::Result<DataFrame>,
) -> Result<Vec<RecordBatch>, BatchError> {
    let run = async { query(engine.session()?.read_table(Arc::clone(table))?)?.collect().await };
    run.await.map_err(BatchError::engine(name, "searched for new rows"))
}
