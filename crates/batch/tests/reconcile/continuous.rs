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

/// The range of the results of a metric in hours since the first, the verdict and who asked, oldest
/// first.
fn shown_of(results: &ReconciliationReceiver, metric: &str) -> Vec<(i64, i64, String, String)> {
    let rows = Arc::clone(&results.borrow());
    let texts = |name: &str| rows.column_by_name(name).expect("a column").as_string::<i32>().clone();
    let (metrics, origins) = (texts("metrica"), texts("origem"));
    let of_metric = (0..rows.num_rows()).rev().filter(|row| metrics.value(*row) == metric);
    let origins = of_metric.map(|row| origins.value(row).to_owned());
    let all = shown(results).into_iter().filter(|row| row.0 == metric);
    all.zip(origins).map(|((_, from, to, verdict), origin)| (from, to, verdict, origin)).collect()
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
    assert_eq!(first.len(), 6, "of sessions a part of the users, which has none: {first:?}");
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
    assert_eq!((all.len(), new.len()), (7, 1), "the others have no window in that hour: {all:?}");
    assert_eq!((new[0].0.as_str(), new[0].2, new[0].3.as_str()), ("usuarios_ativos", 5, "diferente"));

    // Another process goes on where this one was.
    let (mut next, results) = check(&shop, sender.subscribe());
    next.poll().await.expect("compared");
    assert_eq!(shown(&results), all);
}

/// To look for sessions costs more than an hour's windows do.
#[tokio::test]
async fn a_part_of_the_sessions_is_compared_every_six_hours() {
    let shop = Shop::new();
    let later = "(8, 'u5', 'clique', 'p2', NULL, '2025-05-14T16:10:00Z', NULL, NULL)";
    let rows = rows_of(shop.topic(), &format!("{EVENTS}, {later}")).await;
    sessions::commit(&shop, &rows, LAST_MS + 12 * HOUR_MS).await;
    shop.publish(&rows).await;
    // Sessions of many users, which the archive does not have.
    let metric = shop.catalog.metric("sessoes").expect("the metric");
    let session = engine_session(EngineConfig::default()).expect("a session");
    let plan = MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned");
    let one = reconcile_rows(&rows, &plan, shop.topic()).slice(0, 1);
    let wrong = |hour: i64| -> Vec<RecordBatch> {
        let row = |nth: i64| {
            let mut columns = one.columns().to_vec();
            columns[2] = Arc::new(arrow::array::StringArray::from_iter_values([format!("nobody {nth}")]));
            for (index, minutes) in [(0, 20), (1, 55)] {
                let micros = (FIRST_MS + hour * HOUR_MS + minutes * 60_000) * 1_000;
                let at = arrow::array::TimestampMicrosecondArray::from_value(micros, 1);
                columns[index] = Arc::new(at.with_timezone("UTC"));
            }
            RecordBatch::try_new(one.schema(), columns).expect("a row")
        };
        (0..200).map(row).collect()
    };
    let (sender, receiver) = watch::channel(view(&shop, LAST_MS));
    let (mut continuous, results) = check(&shop, receiver);
    let mut through_ms = LAST_MS;
    for (hours, wrong_hour, compared) in [(1, Some(3), 1), (2, Some(6), 1), (5, None, 2), (3, None, 2)] {
        through_ms += hours * HOUR_MS;
        for other in &shop.catalog.metrics {
            let plan = MetricPlan::new(other, shop.topic(), &shop.settings, &session).expect("planned");
            let rows = wrong_hour.filter(|_| other.name == metric.name).map_or_else(Vec::new, wrong);
            shop.table(other, &plan).await.publish(rows, through_ms).await.expect("published");
        }
        sender.send_replace(view(&shop, through_ms));
        continuous.poll().await.expect("compared");
        let all = shown_of(&results, "sessoes");
        assert_eq!(all.len(), compared, "after {hours} more: {all:?}");
    }
    let ranges = [(1, 5), (5, 12)].map(|(from, to)| (from, to, "diferente".to_owned(), "chaves".to_owned()));
    assert_eq!(shown_of(&results, "sessoes"), ranges);
    assert!(shown_of(&results, "ticket_medio").iter().all(|row| row.3 == "continua"));
}
