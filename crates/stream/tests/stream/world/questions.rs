//! The questions that tests ask of a stream: its view, its tables, its archive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use vitral_panes::view::{Completeness, View, ViewReceiver};
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_store::{Location, read_session};

use super::PATIENCE;

pub fn completeness(view: &View) -> Completeness {
    view.topics.values().next().map(|topic| topic.completeness.clone()).unwrap_or_default()
}

/// Waits for a view; a stream that ends meanwhile is as good as one that never gets there.
pub async fn wait_until(view: &mut ViewReceiver, what: &str, done: impl Fn(&View) -> bool) -> Arc<View> {
    let began = Instant::now();
    loop {
        let seen: Arc<View> = view.borrow_and_update().clone();
        if done(&seen) {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {:?}", completeness(&seen));
        if let Ok(Err(_)) = tokio::time::timeout(Duration::from_secs(1), view.changed()).await {
            let last: Arc<View> = view.borrow().clone();
            assert!(done(&last), "{what}: the stream has ended at {:?}", completeness(&last));
            return last;
        }
    }
}

pub async fn wait_for(view: &mut ViewReceiver, what: &str, done: impl Fn(&Completeness) -> bool) -> Completeness {
    let is_done = |view: &View| !view.topics.is_empty() && done(&completeness(view));
    let seen = wait_until(view, what, is_done).await;
    completeness(&seen)
}

/// Final rows of a metric.
pub async fn published(view: &ViewReceiver, metric: &str) -> Vec<RecordBatch> {
    let table = view.borrow().metrics[metric].published.clone();
    read_session(1).read_table(table).expect("a table").collect().await.expect("its rows")
}

/// Provisional and final rows of a metric.
pub async fn rows_of(view: &ViewReceiver, metric: &str) -> Vec<RecordBatch> {
    let mut batches: Vec<RecordBatch> = view.borrow().metrics[metric].open.rows().values().cloned().collect();
    batches.extend(published(view, metric).await);
    batches
}

/// How often each product was viewed, over all windows. Once a stream has ended this is of
/// everything that it read.
pub async fn product_views(view: &ViewReceiver) -> BTreeMap<String, i64> {
    views_in(&rows_of(view, "produtos_mais_vistos").await)
}

/// The same over these rows.
pub fn views_in(batches: &[RecordBatch]) -> BTreeMap<String, i64> {
    let mut totals = BTreeMap::new();
    for batch in batches {
        let products = batch.column_by_name("id_produto").expect("the product").as_string::<i32>();
        let views = batch.column_by_name("visualizacoes").expect("its views").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            *totals.entry(products.value(row).to_owned()).or_default() += views.value(row);
        }
    }
    totals
}

pub fn views<const N: usize>(products: [(&str, i64); N]) -> BTreeMap<String, i64> {
    products.map(|(product, views)| (product.to_owned(), views)).into()
}

/// Every row of every metric as text, in one order.
pub async fn all_rows(view: &ViewReceiver) -> BTreeMap<String, Vec<String>> {
    let names: Vec<String> = view.borrow().metrics.keys().cloned().collect();
    let mut all = BTreeMap::new();
    for name in names {
        let batches = rows_of(view, &name).await;
        let mut rows: Vec<String> =
            batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| text(batch, row))).collect();
        rows.sort_unstable();
        all.insert(name, rows);
    }
    all
}

fn text(batch: &RecordBatch, row: usize) -> String {
    let values = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => array_value_to_string(column, row).expect("a text"),
    });
    values.collect::<Vec<_>>().join("|")
}

/// A row of the archive; `last` is that of a range that was never delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    pub partition: i32,
    pub offset: i64,
    pub last: i64,
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    /// Why a range was passed over.
    pub unread: Option<Unread>,
}

impl Archived {
    pub fn range(&self) -> (i64, i64, Verdict) {
        (self.offset, self.last, self.verdict)
    }
}

/// Every row of the archive, by partition and offset, each offset of which must be there exactly
/// once.
pub async fn archived(view: &ViewReceiver) -> Vec<Archived> {
    let archive = view.borrow().topics.values().next().expect("a topic").archive.clone();
    let context = read_session(1);
    context.register_table("archive", archive).expect("a table");
    let sql = "SELECT _particao, _deslocamento, _deslocamento_fim, _veredito, _motivo, _log FROM archive
        ORDER BY _log, _particao, _deslocamento";
    let batches = context.sql(sql).await.expect("planned").collect().await.expect("run");
    let (mut rows, mut logs) = (Vec::new(), Vec::new());
    for batch in &batches {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        let lasts = batch.column(2).as_primitive::<Int64Type>();
        let verdicts = batch.column(3).as_string::<i32>();
        let reasons = batch.column(4).as_string::<i32>();
        logs.extend(batch.column(5).as_string::<i32>().iter().flatten().map(str::to_owned));
        for row in 0..batch.num_rows() {
            let name = if reasons.is_valid(row) { reasons.value(row) } else { "" };
            let reason = Reason::ALL.into_iter().find(|reason| reason.name() == name);
            let unread = Unread::ALL.into_iter().find(|reason| reason.name() == name);
            assert!(name.is_empty() || reason.is_some() || unread.is_some(), "{name}");
            rows.push(Archived {
                partition: partitions.value(row),
                offset: offsets.value(row),
                last: if lasts.is_valid(row) { lasts.value(row) } else { offsets.value(row) },
                verdict: Verdict::from_name(verdicts.value(row)).expect("a verdict"),
                reason,
                unread,
            });
        }
    }
    for (index, row) in rows.iter().enumerate().skip(1) {
        let before: &Archived = &rows[index - 1];
        let goes_on = row.partition == before.partition && logs[index] == logs[index - 1];
        let expected = if goes_on { before.last + 1 } else { row.offset };
        assert_eq!(row.offset, expected, "an offset is missing or there twice: {before:?}, {row:?}");
    }
    rows
}

/// Waits until the archive holds every offset of the partition before `next`.
pub async fn wait_for_archive(view: &mut ViewReceiver, partition: i32, next: i64) {
    let began = Instant::now();
    loop {
        let is_shown = !view.borrow_and_update().topics.is_empty();
        let rows = if is_shown { archived(view).await } else { Vec::new() };
        if rows.iter().any(|row| row.partition == partition && row.last + 1 >= next) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "partition {partition} is not archived up to {next}: {rows:?}");
        // At each refresh; a stream that has ended changes nothing any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), view.changed()).await;
    }
}

/// What the audit trail of a data directory says was done.
pub async fn acts(data_dir: &Path) -> Vec<String> {
    let store = Location::folder(data_dir).expect("a folder");
    let Some(trail) = vitral_store::audit_trail(&store).await.expect("read") else { return Vec::new() };
    let rows = read_session(1).read_table(trail).expect("a table").collect().await.expect("its rows");
    let acts = rows.iter().flat_map(|batch| batch.column_by_name("acao").expect("the act").as_string::<i32>().iter());
    acts.flatten().map(str::to_owned).collect()
}

pub fn with_verdict(rows: &[Archived], verdict: Verdict) -> usize {
    rows.iter().filter(|row| row.verdict == verdict).count()
}
