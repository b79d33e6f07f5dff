//! Compares tables with one row for each key with what their topic's whole history says.
//!
//! What must be there is one plain aggregate over the opening balances, all rows of the archive
//! behind them that the table says it has, and all imports; what is there was put together from the
//! states of many commits, merged and compacted in between. The check alongside the stream keeps a
//! part of the states from one comparison to the next, and reads the rows since.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, ident, lit};
use futures::TryStreamExt;
use vitral_catalog::{Catalog, Diagnostics, DomainSettings, KeyedView};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::topic::Topic;
use vitral_store::archive::Reached;
use vitral_store::keyed::{Freshness, Sides};
use vitral_store::{Archive, ArchiveReader, History, KeyedPlan, KeyedTable, Layout, Location, StoreError};

use super::{BUCKETS, MetricComparison, SIDE_COLUMN, Selection, WindowRange};
use crate::error::{BatchError, is_outage};

/// Rows that differ and are kept, to be shown; more are not counted.
const DIFFERENCES_MAX: usize = 100_000;
/// A running stream takes in what was archived or imported within seconds.
const ATTEMPTS: usize = 20;
const WAIT: Duration = Duration::from_millis(500);

/// Compares tables with what they were made of.
pub async fn reconcile_keyed(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    selection: Selection<'_>,
) -> std::result::Result<Vec<MetricComparison>, BatchError> {
    let mut compared = Vec::new();
    for view in catalog.keyed.iter().filter(|view| selection.has(&view.name)) {
        let Some(topic) = catalog.topic(&view.topic) else { continue };
        compared.push(compare(view, topic, settings, store, selection.bucket).await?);
    }
    Ok(compared)
}

/// Recomputes a table from what it was compared with.
pub(super) async fn repair(
    view: &KeyedView,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
) -> std::result::Result<(), BatchError> {
    let plan = plan(view, topic, settings)?;
    if let Some(archive) = Archive::read(topic, store).await? {
        archive.check_columns(topic)?;
        KeyedTable::open(&plan, store).await?.repair(&archive).await?;
    }
    Ok(())
}

/// Adds to a table what the archive and the imports have; what a running stream does meanwhile is
/// not done twice.
pub async fn bring_up_to_date(
    view: &KeyedView,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
) -> std::result::Result<(), BatchError> {
    let plan = plan(view, topic, settings)?;
    let archive = Archive::read(topic, store).await?;
    if let Some(archive) = &archive {
        archive.check_columns(topic)?;
    }
    let mut table = KeyedTable::open(&plan, store).await?;
    if let Some(archive) = &archive {
        table.catch_up(archive, None).await?;
    }
    if let Some(history) = History::read(topic, &Layout::of(store).history(topic)).await? {
        table.take_imports(&history).await?;
    }
    table.set_failure(None).await?;
    Ok(())
}

/// The plans of the tables of a topic.
pub fn keyed_plans(
    catalog: &Catalog,
    topic: &Topic,
    settings: &DomainSettings,
) -> std::result::Result<Vec<Arc<KeyedPlan>>, BatchError> {
    catalog.keyed_of(&topic.name).map(|view| plan(view, topic, settings)).collect()
}

fn plan(view: &KeyedView, topic: &Topic, settings: &DomainSettings) -> std::result::Result<Arc<KeyedPlan>, BatchError> {
    let plan = KeyedPlan::new(view, topic, settings);
    plan.map(Arc::new).map_err(|errors| BatchError::Unplanned(Diagnostics(errors)))
}

async fn compare(
    view: &KeyedView,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    bucket: Option<i64>,
) -> std::result::Result<MetricComparison, BatchError> {
    let plan = plan(view, topic, settings)?;
    let is_of_part = bucket.is_some();
    let nothing = |failure: Option<String>| MetricComparison { is_of_part, ..nothing(&view.name, failure) };
    let bucket = bucket.map(|bucket| (bucket, BUCKETS));
    let mut began: Option<(Vec<Reached>, Option<Watermark>)> = None;
    for attempt in 1.. {
        // The table before the archive: rows that it says it has are there.
        let Some(mut table) = KeyedTable::read(&plan, store).await? else { return Ok(nothing(None)) };
        let set_aside = table.failure().await?;
        if set_aside.is_some() {
            let failure = Some("its rows are not complete while it is set aside".to_owned());
            return Ok(MetricComparison { set_aside, ..nothing(failure) });
        }
        let Some(archive) = Archive::read(topic, store).await? else { return Ok(nothing(None)) };
        let history = History::read(topic, &Layout::of(store).history(topic)).await?;
        // What was there when this began must be in by now, however far a running stream gets
        // meanwhile.
        let (reach, watermark) = match began.take() {
            Some(began) => began,
            None => (archive.reach().await?, archive.watermark().await?),
        };
        let behind = behind(&table, &archive, history.as_ref(), &reach).await?;
        if let Some(behind) = behind {
            if attempt < ATTEMPTS {
                began = Some((reach, watermark));
                tokio::time::sleep(WAIT).await;
                continue;
            }
            let remedy = "a running stream adds that within seconds, vitral backfill does so without one";
            return Ok(nothing(Some(format!("{behind}: {remedy}"))));
        }
        let outcome = match bucket {
            Some(next) => by_part(&mut table, &archive, history.as_ref(), next).await,
            None => whole(&mut table, &archive, history.as_ref(), None).await,
        };
        return match outcome {
            Ok((rows, differences)) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let expected = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
                Ok(MetricComparison {
                    published_through_ms: watermark.map(Watermark::ms),
                    windows: usize::from(rows + differences.num_rows() > 0),
                    expected: expected.map_err(|error| StoreError::read(&view.name)(error.into()))?,
                    differences,
                    ..nothing(None)
                })
            }
            // One table's failure says nothing about the others.
            Err(StoreError::Read { source, .. }) if !is_outage(&source) => {
                Ok(nothing(Some(format!("it cannot be recomputed: {}", vitral_engine::words(&source)))))
            }
            Err(error) => Err(error.into()),
        };
    }
    Ok(nothing(None))
}

fn nothing(table: &str, failure: Option<String>) -> MetricComparison {
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    MetricComparison {
        metric: table.to_owned(),
        range: WindowRange::of_ms(i64::MIN, i64::MAX),
        published_through_ms: None,
        windows: 0,
        expected: empty.clone(),
        differences: empty,
        failure,
        set_aside: None,
        is_of_part: false,
    }
}

/// How many rows there must be, and those that differ.
type Differences = (usize, RecordBatch);

/// Compares with opening balances, all archived rows behind them and all imports.
async fn whole(
    table: &mut KeyedTable,
    archive: &ArchiveReader,
    history: Option<&History>,
    bucket: Option<(i64, i64)>,
) -> std::result::Result<Differences, StoreError> {
    let Sides { published, expected } = table.sides(archive, history, bucket).await?;
    differences(published, expected).await.map_err(StoreError::read(&table.plan().view.name))
}

/// Compares the bucket that was kept at the last comparison with the rows since, and keeps the next
/// one. Where that differs, or nothing was kept, the whole archive decides.
async fn by_part(
    table: &mut KeyedTable,
    archive: &ArchiveReader,
    history: Option<&History>,
    next: (i64, i64),
) -> std::result::Result<Differences, StoreError> {
    let kept = table.kept_bucket(archive, next.1).await?;
    let mut found = None;
    if let Some(bucket) = kept {
        let Sides { published, expected } = table.sides_since(archive, history, bucket).await?;
        let since = differences(published, expected).await.map_err(StoreError::read(&table.plan().view.name))?;
        found = (since.1.num_rows() == 0).then_some(since);
    }
    let found = match found {
        Some(found) => found,
        None => whole(table, archive, history, Some(kept.unwrap_or(next))).await?,
    };
    table.keep_bucket(archive, next).await?;
    Ok(found)
}

/// What a table does not have yet of what there is; of the archive, up to `reach`.
async fn behind(
    table: &KeyedTable,
    archive: &ArchiveReader,
    history: Option<&History>,
    reach: &[Reached],
) -> std::result::Result<Option<String>, StoreError> {
    Ok(match table.freshness(archive, history).await? {
        Freshness::Current => {
            table.lack(reach).await?.map(|lacking| format!("{lacking} are archived and not in it yet"))
        }
        Freshness::BehindHistory => Some("what was imported or taken back since is not in it yet".to_owned()),
        Freshness::BehindReplay => Some("rows that were fed again since are not in it yet".to_owned()),
    })
}

/// How many rows there must be, and those in which both sides differ.
async fn differences(published: DataFrame, expected: DataFrame) -> Result<Differences> {
    const SIDE: &str = "_sign";
    let names: Vec<String> = expected.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns = || names.iter().map(ident).collect::<Vec<Expr>>();
    let side = |frame: DataFrame, sign: i64| {
        let mut typed = columns();
        typed.push(lit(sign).alias(SIDE));
        frame.select(typed)
    };
    let both = side(published, 1)?.union(side(expected, -1)?)?;
    let mut shown = vec![ident(SIDE_COLUMN)];
    shown.extend(columns());
    let both = both.aggregate(columns(), vec![sum(ident(SIDE)).alias(SIDE_COLUMN)])?.select(shown)?;
    let schema = Arc::new(both.schema().as_arrow().clone());
    let (mut rows, mut found, mut differing) = (0, Vec::new(), 0);
    let mut batches = both.execute_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        let sides = batch.column(0).as_primitive::<Int64Type>();
        rows += sides.values().iter().filter(|side| **side <= 0).count();
        if differing < DIFFERENCES_MAX {
            let differ = sides.iter().map(|side| Some(side != Some(0))).collect();
            let batch = filter_record_batch(&batch, &differ)?;
            differing += batch.num_rows();
            found.push(batch);
        }
    }
    Ok((rows, concat_batches(&schema, &found)?))
}
