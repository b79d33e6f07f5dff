//! What is old goes to a colder place, and what is too old goes away.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, ExprFunctionExt, ident, lit, when};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

use super::cold::{Extent, Step, Steps, Through, columns, rows_place, through};
use super::hot_place;
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// Streams that merge files, and compaction, get in the way.
const ATTEMPTS: usize = 20;
/// The application that says which step's rows the cold table has.
const MOVED: &str = "vitral/moved";

/// Rows that came before these, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// ... become cold.
    pub hot_ms: i64,
    /// ... go away; none if nothing may.
    pub cold_ms: Option<i64>,
}

/// What one run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    pub moved: u64,
    pub gone: u64,
}

/// Beside streams, jobs and readers; none if there is no archive. What is moved is always a partition's oldest offsets.
pub async fn retain(topic: &Topic, store: &Location, limits: Limits) -> Result<Option<Retained>, StoreError> {
    let Some(hot) = Table::read(&topic.name, &hot_place(store, topic)).await? else { return Ok(None) };
    let mut steps = Steps::open(store, topic).await?;
    let cold_place = rows_place(store, topic);
    let mut cold = Table::open(&topic.name, &cold_place, topic.archive_schema()).await?;
    let told = steps.told().await?;
    let mut step = steps.last().await?;
    if step.is_told || step.number == 0 {
        let extent = next(topic, &hot, &cold, &told, limits).await?;
        if extent == told {
            clean(topic, store, &told).await?;
            return Ok(Some(Retained::default()));
        }
        step = Step { number: step.number + 1, is_told: false, extent };
        steps.write(&step).await?;
    }
    let moved = move_rows(&hot, &mut cold, &told, &step).await?;
    steps.write(&Step { is_told: true, ..step.clone() }).await?;
    clean(topic, store, &step.extent).await?;
    Ok(Some(Retained { moved, gone: step.extent.gone_counts.read() - told.gone_counts.read() }))
}

/// Where the parts shall begin and end.
async fn next(topic: &Topic, hot: &Table, cold: &Table, told: &Extent, limits: Limits) -> Result<Extent, StoreError> {
    let failed = StoreError::read(&topic.name);
    let mut extent = told.clone();
    let still_hot = !through(&told.cold);
    merge(&mut extent.cold, before(hot.provider().await?, still_hot, limits.hot_ms).await.map_err(&failed)?);
    if let Some(cold_ms) = limits.cold_ms {
        let there = through(&told.cold).and(!through(&told.gone));
        let going = before(cold.provider().await?, there.clone(), cold_ms).await.map_err(&failed)?;
        let rows = there.and(through(&going));
        let (counts, newest) = gone(topic, cold.provider().await?, rows).await.map_err(&failed)?;
        for (verdict, rows) in counts {
            extent.gone_counts.add(verdict, rows);
        }
        extent.gone_micros = extent.gone_micros.max(newest);
        merge(&mut extent.gone, going);
    }
    Ok(extent)
}

fn merge(into: &mut Through, more: Through) {
    for (log, partitions) in more {
        into.entry(log).or_default().extend(partitions);
    }
}

/// Of each partition the offsets before the first row that came at or after `limit_ms`.
async fn before(rows: Arc<dyn TableProvider>, wanted: Expr, limit_ms: i64) -> Result<Through> {
    use archive_columns::*;
    let limit = lit(ScalarValue::TimestampMicrosecond(Some(limit_ms.saturating_mul(1_000)), Some("UTC".into())));
    let recent = when(ident(ARRIVAL).gt_eq(limit), ident(OFFSET)).end()?;
    let batches = read_session(1)
        .read_table(rows)?
        .filter(wanted)?
        .aggregate(
            vec![ident(LOG), ident(PARTITION)],
            vec![min(ident(OFFSET)).alias("first"), max(ident(OFFSET)).alias("last"), min(recent).alias("recent")],
        )?
        .collect()
        .await?;
    let mut found = Through::new();
    for batch in &batches {
        let logs = batch.column(0).as_string::<i32>();
        let partitions = batch.column(1).as_primitive::<Int32Type>();
        let [first, last, recent] = [2, 3, 4].map(|column| batch.column(column).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let through = if recent.is_valid(row) { recent.value(row) - 1 } else { last.value(row) };
            if through >= first.value(row) {
                found.entry(logs.value(row).to_owned()).or_default().insert(partitions.value(row), through);
            }
        }
    }
    Ok(found)
}

/// How many rows have each verdict, and the newest event that counted.
async fn gone(topic: &Topic, rows: Arc<dyn TableProvider>, wanted: Expr) -> Result<(Vec<(Verdict, u64)>, Option<i64>)> {
    let time = ident(&topic.columns[topic.event_time].name);
    let verdict = || ident(archive_columns::VERDICT);
    let counted = max(time).filter(verdict().eq(lit(Verdict::Counted.name()))).build()?;
    let batches: Vec<RecordBatch> = read_session(1)
        .read_table(rows)?
        .filter(wanted)?
        .aggregate(vec![verdict()], vec![count(lit(1)).alias("rows"), counted.alias("newest")])?
        .collect()
        .await?;
    let (mut counts, mut newest) = (Vec::new(), None);
    for batch in &batches {
        let verdicts = batch.column(0).as_string::<i32>();
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            if let Some(verdict) = Verdict::from_name(verdicts.value(row)) {
                counts.push((verdict, u64::try_from(numbers.value(row)).unwrap_or_default()));
            }
        }
        newest = newest.max(arrow::compute::max(batch.column(2).as_primitive::<TimestampMicrosecondType>()));
    }
    Ok((counts, newest))
}

/// The step's rows, which the cold table has after it whatever happens; how many.
async fn move_rows(hot: &Table, cold: &mut Table, told: &Extent, step: &Step) -> Result<u64, StoreError> {
    if cold.transaction(MOVED).await? >= Some(step.number) {
        return Ok(0);
    }
    let failed = StoreError::read(&cold.name);
    let provider = hot.provider().await?;
    let wanted = through(&step.extent.cold).and(!through(&told.cold));
    let found = columns(cold.schema(), &provider.schema());
    let rows = |frame: DataFrame| frame.filter(wanted)?.select(found);
    let rows = read_session(1).read_table(provider).and_then(rows).map_err(&failed)?;
    cold.append_by_plan(rows, &[(MOVED.to_owned(), step.number)]).await
}

/// Takes out of both tables what readers no longer look at there.
async fn clean(topic: &Topic, store: &Location, extent: &Extent) -> Result<(), StoreError> {
    for (place, offsets) in [(hot_place(store, topic), &extent.cold), (rows_place(store, topic), &extent.gone)] {
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

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
    use vitral_schemas::catalog::{Catalog, ShopSettings};

    use super::*;
    use crate::archive::Archive;

    const LIMITS: Limits = Limits { hot_ms: 60, cold_ms: None };

    fn topic() -> Topic {
        Catalog::load(&[], &ShopSettings::default()).expect("the built-in catalog").topics.remove(0)
    }

    /// A hundred offsets, one for each millisecond, all in the hot table.
    async fn archive(topic: &Topic, store: &Location) {
        let schema = topic.archive_schema();
        let arrival = TimestampMicrosecondArray::from_iter_values((0..100).map(|n| n * 1_000));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![0; 100])),
            Arc::new(Int64Array::from_iter_values(0..100)),
            Arc::new(Int64Array::from(vec![None::<i64>; 100])),
            Arc::new(arrival.with_timezone("UTC")),
            Arc::new(StringArray::from(vec!["log"; 100])),
            Arc::new(StringArray::from(vec![Verdict::Empty.name(); 100])),
        ];
        columns.extend(schema.fields().iter().skip(6).map(|field| new_null_array(field.data_type(), 100)));
        let rows = RecordBatch::try_new(schema.clone(), columns).expect("the archive's schema");
        let mut table = Table::open(&topic.name, &hot_place(store, topic), schema).await.expect("opened");
        table.append(vec![rows], &[]).await.expect("appended");
    }

    async fn count(provider: Arc<dyn TableProvider>) -> usize {
        read_session(1).read_table(provider).expect("a frame").count().await.expect("a count")
    }

    /// How many rows a reader finds, and how many lie in each table.
    async fn found(topic: &Topic, store: &Location) -> [usize; 3] {
        let reader = Archive::read(topic, store).await.expect("read").expect("an archive");
        let mut counts = vec![count(reader.provider().await.expect("rows")).await];
        for place in [hot_place(store, topic), rows_place(store, topic)] {
            let rows = match Table::read(&topic.name, &place).await.expect("read") {
                Some(table) => count(table.provider().await.expect("rows")).await,
                None => 0,
            };
            counts.push(rows);
        }
        [counts[0], counts[1], counts[2]]
    }

    /// Killed after each part of a step: readers find every row once, and the next run ends what was begun.
    #[tokio::test]
    async fn a_step_that_was_cut_short_is_ended() {
        let topic = topic();
        for parts in 1..=3 {
            let dir = tempfile::tempdir().expect("a folder");
            let store = Location::folder(dir.path()).expect("a place");
            archive(&topic, &store).await;
            let hot = Table::read(&topic.name, &hot_place(&store, &topic)).await.expect("read").expect("a table");
            let mut steps = Steps::open(&store, &topic).await.expect("opened");
            let mut cold =
                Table::open(&topic.name, &rows_place(&store, &topic), topic.archive_schema()).await.expect("opened");
            let told = Extent::default();
            let extent = next(&topic, &hot, &cold, &told, LIMITS).await.expect("planned");
            let step = Step { number: 1, is_told: false, extent };
            steps.write(&step).await.expect("planned");
            let mut expected = [100, 100, 0];
            if parts > 1 {
                assert_eq!(move_rows(&hot, &mut cold, &told, &step).await.expect("moved"), 60);
                expected[2] = 60;
            }
            if parts > 2 {
                steps.write(&Step { is_told: true, ..step.clone() }).await.expect("told");
            }
            assert_eq!(found(&topic, &store).await, expected, "after {parts} parts");
            let later = Limits { hot_ms: 80, ..LIMITS };
            retain(&topic, &store, later).await.expect("ended");
            let ended = if parts > 2 { [100, 20, 80] } else { [100, 40, 60] };
            assert_eq!(found(&topic, &store).await, ended, "after {parts} parts");
        }
    }

    #[tokio::test]
    async fn of_two_runs_at_once_one_comes_through() {
        let topic = topic();
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        archive(&topic, &store).await;
        let runs = futures::future::join_all((0..4).map(|_| retain(&topic, &store, LIMITS))).await;
        assert!(runs.iter().any(Result::is_ok), "{runs:?}");
        retain(&topic, &store, LIMITS).await.expect("and again");
        assert_eq!(found(&topic, &store).await, [100, 40, 60]);
    }
}
