//! Sessions, which panes join from fragments and plain SQL finds as islands, are the same; what is
//! wrong among them is found and repaired.

use arrow::array::{ArrayRef, StringArray};
use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::replay::{finish, replay};
use vitral_schemas::verdict::Verdict;

use super::*;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Three hours before the first midnight of the shop that is among the events.
const START_MS: i64 = 1_747_267_200_000;
const METRICS: &str =
    "CREATE MATERIALIZED VIEW visitas AS SELECT session(INTERVAL '10 minutes', id_usuario) AS janela, id_usuario,
    count(*) AS n, sum(quantidade) AS unidades, max(timestamp) AS ultimo FROM eventos_clientes AS e
    WHERE e.tipo_evento IN ('compra', 'clique') GROUP BY janela, id_usuario HAVING count(*) > 1;";

/// Events of two days: user 0 never rests, user 1 comes every half hour less a second or so, others
/// now and then.
fn events() -> Vec<(String, i64, &'static str)> {
    let mut events = Vec::new();
    for minute in (0..2 * 24 * 60).step_by(7) {
        events.push(("u0".to_owned(), minute * MINUTE_MS, "clique"));
    }
    for nth in 0..90 {
        let distance_ms = [30 * MINUTE_MS - 1, 30 * MINUTE_MS, 29 * MINUTE_MS][nth as usize % 3];
        events.push(("u1".to_owned(), nth * distance_ms, ["compra", "busca"][nth as usize % 2]));
    }
    for nth in 0..400_i64 {
        // Without a pattern that a gap could fit.
        let ms = (nth * 7_919_777) % (2 * DAY_MS);
        events.push((format!("u{}", 2 + nth % 5), ms, ["clique", "compra", "visualizacao"][nth as usize % 3]));
    }
    events
}

async fn archived(shop: &Shop, through_ms: i64) -> RecordBatch {
    let values = events().into_iter().enumerate().map(|(offset, (user, ms, kind))| {
        let time = chrono::DateTime::from_timestamp_millis(START_MS + ms).expect("a time").to_rfc3339();
        format!("({offset}, '{user}', '{kind}', 'p1', NULL, '{time}', {}.50, {})", offset % 9, offset % 4 + 1)
    });
    let rows = rows_of(shop.topic(), &values.collect::<Vec<_>>().join(",")).await;
    commit(shop, &rows, through_ms).await;
    rows
}

pub(super) async fn commit(shop: &Shop, rows: &RecordBatch, through_ms: i64) {
    let mut archive = Archive::open(shop.topic(), "log", [PartitionId(0)], &shop.store()).await.expect("opened");
    let commit = ArchiveCommit {
        rows: vec![rows.clone()],
        offsets: begun(rows.num_rows() as i64),
        watermark: Some(Watermark::from_ms(through_ms)),
        token: 1,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
}

/// Publishes what closed through this watermark of the metrics of sessions, as a stream does that
/// folds the rows in parts.
async fn publish(shop: &Shop, rows: &RecordBatch, through_ms: i64) {
    let session = engine_session(EngineConfig::default()).expect("a session");
    let events = rows.project(&(8..rows.num_columns()).collect::<Vec<_>>()).expect("the topic's columns");
    for metric in of_sessions(shop) {
        let plan = Arc::new(MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned"));
        let mut panes = MetricPanes::new(Arc::clone(&plan), &session.runtime_env().memory_pool, 1 << 30);
        for (nth, first) in (0..events.num_rows()).step_by(100).enumerate() {
            let part = events.slice(first, 100.min(events.num_rows() - first));
            let times = part.column(shop.topic().event_time).as_primitive::<TimestampMicrosecondType>();
            panes.fold(PartitionId(nth as i32 % 3), &part, &pane_column(&plan.windows, times)).expect("folded");
        }
        let watermark = Watermark::from_ms(through_ms);
        let lateness_ms = shop.topic().lateness_ms;
        let closed = panes.rows_of(|bounds| watermark.closes(bounds.end_ms, lateness_ms)).expect("rows");
        shop.table(metric, &plan).await.publish(closed, through_ms).await.expect("published");
    }
}

fn of_sessions(shop: &Shop) -> impl Iterator<Item = &Metric> {
    shop.catalog.metrics.iter().filter(|metric| metric.window.session_gap_micros().is_some())
}

async fn compare(shop: &Shop) -> Vec<vitral_batch::reconcile::MetricComparison> {
    let range = WindowRange::of_ms(START_MS - DAY_MS, START_MS + 4 * DAY_MS);
    let all =
        reconcile(&shop.catalog, &shop.settings, &shop.store(), &Engine::Local, range, Selection::default()).await;
    let is_of_sessions = |name: &str| of_sessions(shop).any(|metric| metric.name == name);
    all.expect("compared").into_iter().filter(|each| is_of_sessions(&each.metric)).collect()
}

async fn table(shop: &Shop, metric: &Metric) -> String {
    let version = metric.version(&shop.settings, shop.topic().lateness_ms);
    let table = MetricTable::read(&metric.name, &version, &shop.store().join("metrics")).await.expect("read");
    let (rows, _) = table.expect("a table");
    let order = rows.schema().fields().iter().map(|field| ident(field.name()).sort(true, true)).collect();
    let sorted = SessionContext::new().read_table(rows).expect("a frame").sort(order).expect("sorted");
    pretty_format_batches(&sorted.collect().await.expect("rows")).expect("shown").to_string()
}

#[tokio::test]
async fn sessions_of_panes_are_those_of_plain_sql() {
    // In the midst of the second day, with sessions open.
    for through_ms in [START_MS + 36 * 60 * MINUTE_MS, START_MS + 3 * DAY_MS] {
        let shop = Shop::with(&[("more.sql", METRICS)]);
        let rows = archived(&shop, through_ms).await;
        publish(&shop, &rows, through_ms).await;
        let compared = compare(&shop).await;
        assert_eq!(compared.len(), 2);
        for metric in &compared {
            let (count, differences) = (metric.expected.num_rows(), metric.differences.num_rows());
            assert!(count > 50 && differences == 0 && metric.failure.is_none(), "{metric:?}");
            let published = table(&shop, shop.catalog.metric(&metric.metric).expect("a metric")).await;
            assert_eq!(published.lines().count() - 4, count, "none is left out");
        }
    }
}

#[tokio::test]
async fn a_wrong_session_is_found_and_repaired() {
    let shop = Shop::new();
    let through_ms = START_MS + 3 * DAY_MS;
    let rows = archived(&shop, through_ms).await;
    // Half an hour is missing.
    let kept: arrow::array::BooleanArray = events()
        .iter()
        .map(|(_, ms, _)| Some(!(20 * 60 * MINUTE_MS..20 * 60 * MINUTE_MS + 31 * MINUTE_MS).contains(ms)))
        .collect();
    publish(&shop, &arrow::compute::filter_record_batch(&rows, &kept).expect("rows"), through_ms).await;
    let compared = compare(&shop).await;
    assert!(compared[0].differs(), "{compared:?}");
    assert_eq!(repair(&shop.catalog, &shop.settings, &shop.store(), &compared).await.expect("repaired"), 1);
    assert!(!compare(&shop).await[0].differs());
    let whole = Shop::new();
    publish(&whole, &rows, through_ms).await;
    let metric = shop.catalog.metric("sessoes").expect("the metric");
    assert_eq!(table(&shop, metric).await, table(&whole, metric).await);
}

#[tokio::test]
async fn a_backfilled_history_has_the_sessions_of_whole_days() {
    let (shop, whole) = (Shop::new(), Shop::new());
    // Midnight of the second day is past the lateness.
    let through_ms = START_MS + 3 * 60 * MINUTE_MS + DAY_MS + 90 * MINUTE_MS;
    let rows = archived(&shop, through_ms).await;
    let metric = shop.catalog.metric("sessoes").expect("the metric");
    let done = backfill(metric, shop.topic(), &shop.settings, &shop.store(), &Engine::Local).await.expect("computed");
    let midnight_ms = START_MS + 3 * 60 * MINUTE_MS + DAY_MS;
    assert!(matches!(done, Backfilled::Until { until_ms, .. } if until_ms == midnight_ms), "{done:?}");
    // Those that ended by midnight and no later.
    publish(&whole, &rows, midnight_ms + shop.topic().lateness_ms).await;
    assert_eq!(table(&shop, metric).await, table(&whole, metric).await);
}

/// A row that came too late and is fed again stands between two sessions that are published.
#[tokio::test]
async fn a_row_that_is_fed_again_joins_sessions() {
    let shop = Shop::new();
    let values = "(0, 'u1', 'clique', 'p1', NULL, '2025-05-14T12:00:00Z', NULL, NULL),
        (1, 'u1', 'clique', 'p1', NULL, '2025-05-14T12:40:00Z', NULL, NULL),
        (2, 'u1', 'clique', 'p1', NULL, '2025-05-14T14:00:00Z', NULL, NULL),
        (3, 'u1', 'clique', 'p1', NULL, '2025-05-14T12:20:00Z', NULL, NULL)";
    let rows = rows_of(shop.topic(), values).await;
    let verdict = |row: usize| if row == 3 { Verdict::Late.name() } else { Verdict::Counted.name() };
    let mut columns = rows.columns().to_vec();
    columns[5] = Arc::new(StringArray::from_iter_values((0..4).map(verdict))) as ArrayRef;
    let rows = RecordBatch::try_new(rows.schema(), columns).expect("rows");
    let through_ms = LAST_MS;
    commit(&shop, &rows, through_ms).await;
    publish(&shop, &rows.slice(0, 3), through_ms).await;
    let metric = shop.catalog.metric("sessoes").expect("the metric");
    let before = table(&shop, metric).await;
    assert_eq!(before.lines().count() - 4, 3, "{before}");
    let store = shop.store();
    let filter = LedgerFilter::default();
    let fed =
        replay(shop.topic(), &shop.settings, &store, &Default::default(), &filter, through_ms).await.expect("fed");
    assert_eq!(fed.counted, 1);
    finish(&shop.catalog, &shop.settings, &store).await.expect("published");
    let after = table(&shop, metric).await;
    assert_eq!(after.lines().count() - 4, 2, "{after}");
    assert!(after.contains("2025-05-14T12:00:00Z | 2025-05-14T13:10:00Z | u1         | 3"), "{after}");
}

/// The check alongside the stream compares some keys at a time.
#[tokio::test]
async fn parts_of_the_keys_are_together_all_of_them() {
    const WITHOUT_KEY: &str = "CREATE MATERIALIZED VIEW longas AS SELECT session(INTERVAL '10 minutes', id_usuario) AS janela,
        upper(id_usuario) AS id_usuario, count(*) AS n FROM eventos_clientes GROUP BY janela, id_usuario;
        CREATE MATERIALIZED VIEW por_cliente AS SELECT session(INTERVAL '10 minutes', id_usuario, moeda) AS janela,
        count(*) AS n, moeda, eventos_clientes.id_usuario AS cliente FROM eventos_clientes GROUP BY janela, id_usuario, moeda;";
    let shop = Shop::with(&[("more.sql", WITHOUT_KEY)]);
    let through_ms = START_MS + 3 * DAY_MS;
    let rows = archived(&shop, through_ms).await;
    let is_kept = |(user, ms, _): &(String, i64, &str)| user != "u1" || *ms > 60 * MINUTE_MS;
    let kept: arrow::array::BooleanArray = events().iter().map(|event| Some(is_kept(event))).collect();
    publish(&shop, &arrow::compute::filter_record_batch(&rows, &kept).expect("rows"), through_ms).await;
    let range = WindowRange::of_ms(START_MS - DAY_MS, START_MS + 4 * DAY_MS);
    let compare = async |metric: &str, bucket: Option<i64>| {
        let selection = Selection { only: Some(metric), bucket, ..Selection::default() };
        let compared = reconcile(&shop.catalog, &shop.settings, &shop.store(), &Engine::Local, range, selection).await;
        compared.expect("compared").swap_remove(0)
    };
    for (metric, has_parts) in [("sessoes", true), ("por_cliente", true), ("longas", false)] {
        let whole = compare(metric, None).await;
        assert!(whole.differs() && !whole.is_of_part && whole.failure.is_none(), "{whole:?}");
        let (mut rows, mut differences, mut differing) = (0, 0, 0);
        for bucket in 0..BUCKETS {
            let part = compare(metric, Some(bucket)).await;
            assert_eq!((part.is_of_part, part.failure.is_none()), (has_parts, true), "{part:?}");
            rows += part.expected.num_rows();
            differences += part.differences.num_rows();
            differing += i64::from(part.differs());
        }
        let times = if has_parts { 1 } else { BUCKETS as usize };
        let all = (times * whole.expected.num_rows(), times * whole.differences.num_rows());
        assert_eq!((rows, differences), all, "{metric}");
        assert_eq!(differing, if has_parts { 1 } else { BUCKETS }, "one user's events are missing in {metric}");
    }
    let part = compare("sessoes", Some(0)).await;
    let parts: Vec<_> = [part, compare("sessoes", Some(1)).await].into();
    assert_eq!(
        repair(&shop.catalog, &shop.settings, &shop.store(), &parts).await.expect("done"),
        0,
        "a part repairs nothing"
    );
}
