//! The check alongside the stream.

use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use tokio::sync::watch;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_panes::view::{Completeness, MetricView, View};
use vitral_schemas::reconciliation::ReconciliationReceiver;

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// A view in which every metric is published through a watermark.
fn view(shop: &Shop, through_ms: i64) -> Arc<View> {
    let metrics = shop.catalog.metrics.iter().map(|metric| {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let shown = MetricView {
            topic: metric.topic.clone(),
            window: metric.window,
            schema: Arc::clone(&schema),
            published: Arc::new(EmptyTable::new(schema)),
            published_through_ms: Some(through_ms),
            open: Arc::default(),
            open_at_commit: None,
            completeness: Completeness::default(),
            failure: None,
        };
        (metric.name.clone(), shown)
    });
    Arc::new(View { ready: true, metrics: metrics.collect(), ..View::default() })
}

fn check(shop: &Shop, view: watch::Receiver<Arc<View>>) -> (ContinuousReconciliation, ReconciliationReceiver) {
    let catalog = Arc::new(shop.catalog.clone());
    ContinuousReconciliation::new(catalog, shop.settings.clone(), shop.store(), view, true)
}

/// By metric, the range in hours since the first and the verdict, of the results shown.
fn shown(results: &ReconciliationReceiver) -> Vec<(String, i64, i64, String)> {
    let rows = Arc::clone(&results.borrow());
    let texts = |name: &str| rows.column_by_name(name).expect("a column").as_string::<i32>().clone();
    let hours = |name: &str| {
        let times = rows.column_by_name(name).expect("a column").as_primitive::<TimestampMicrosecondType>().clone();
        times.values().iter().map(|micros| (micros / 1_000 - FIRST_MS) / HOUR_MS).collect::<Vec<_>>()
    };
    let (metrics, verdicts, from, to) = (texts("metrica"), texts("veredito"), hours("de"), hours("ate"));
    let mut shown: Vec<_> = (0..rows.num_rows())
        .map(|row| (metrics.value(row).to_owned(), from[row], to[row], verdicts.value(row).to_owned()))
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn each_hour_is_compared_once_it_is_final() {
    let shop = Shop::new();
    let rows = shop.archive(8).await;
    shop.publish(&rows).await;
    let (sender, receiver) = watch::channel(view(&shop, LAST_MS));
    let (mut continuous, results) = check(&shop, receiver);
    continuous.poll().await.expect("compared");
    // 10:00 is empty; with an hour's lateness and windows of an hour, what starts before 14:00 is
    // final at 16:00.
    let first = shown(&results);
    assert_eq!(first.len(), 7, "{first:?}");
    assert!(first.iter().all(|(_, from, to, verdict)| (*from, *to, verdict.as_str()) == (1, 4, "igual")), "{first:?}");
    continuous.poll().await.expect("compared");
    assert_eq!(shown(&results), first, "no hour became final since");

    // A row that is not of the archive comes into the next hour.
    let metric = shop.catalog.metric("usuarios_ativos").expect("the metric");
    let session = engine_session(EngineConfig::default()).expect("a session");
    let plan = MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned");
    let wrong = reconcile_rows(&rows, &plan, shop.topic()).slice(0, 1);
    let later = |index: usize| -> arrow::array::ArrayRef {
        let times = wrong.column(index).as_primitive::<TimestampMicrosecondType>();
        let later = times.unary::<_, TimestampMicrosecondType>(|micros| micros + 3 * HOUR_MS * 1_000);
        Arc::new(later.with_timezone("UTC"))
    };
    let mut columns = wrong.columns().to_vec();
    (columns[0], columns[1]) = (later(0), later(1));
    let wrong = RecordBatch::try_new(wrong.schema(), columns).expect("a row");
    let through_ms = LAST_MS + HOUR_MS;
    for other in &shop.catalog.metrics {
        let plan = MetricPlan::new(other, shop.topic(), &shop.settings, &session).expect("planned");
        let rows = if other.name == metric.name { vec![wrong.clone()] } else { Vec::new() };
        shop.table(other, &plan).await.publish(rows, through_ms).await.expect("published");
    }
    sender.send_replace(view(&shop, through_ms));
    continuous.poll().await.expect("compared");
    let all = shown(&results);
    let new: Vec<_> = all.iter().filter(|row| row.1 == 4).collect();
    assert_eq!((all.len(), new.len()), (8, 1), "the others have no window in that hour: {all:?}");
    assert_eq!((new[0].0.as_str(), new[0].2, new[0].3.as_str()), ("usuarios_ativos", 5, "diferente"));

    // Another process goes on where this one was.
    let (mut next, results) = check(&shop, sender.subscribe());
    next.poll().await.expect("compared");
    assert_eq!(shown(&results), all);
}
