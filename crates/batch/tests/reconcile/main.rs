//! What panes published must equal the plain query over the archive, and whatever is tampered with
//! must be found.

mod continuous;
mod kinds;
mod offsets_seen;
mod replay;
mod sessions;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit};
use datafusion::prelude::SessionContext;
use vitral_batch::Engine;
use vitral_batch::backfill::{Backfilled, backfill};
use vitral_batch::reconcile::offsets::{self, Break, Seen};
use vitral_batch::reconcile::{BUCKETS, SIDE_COLUMN, Selection, WindowRange, reconcile, repair, results};
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, Metric, SourceFile, builtin_files};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::window::Windows;
use vitral_store::{Advance, Archive, ArchiveCommit, Location, MetricTable};

/// Sales, views, a refund and a funnel around noon, in no order.
const EVENTS: &str = "
    (0, 'u1', 'compra', 'p1', 'o1', '2025-05-14T12:00:10Z', '10.00', 1),
    (1, 'u2', 'compra', 'p1', NULL, '2025-05-14T12:04:59.999Z', '0.01', 3),
    (2, 'u1', 'clique', 'p2', NULL, '2025-05-14T12:00:00Z', NULL, NULL),
    (3, 'u3', 'visualizacao', 'p2', NULL, '2025-05-14T11:59:59.999Z', NULL, NULL),
    (4, 'u2', 'reembolso', 'p1', 'o1', '2025-05-14T12:30:00Z', '3.33', 1),
    (5, 'u4', 'inicio_checkout', NULL, NULL, '2025-05-14T12:10:00Z', NULL, NULL),
    (6, 'u4', 'compra', 'p3', 'o2', '2025-05-14T12:10:30Z', '7.77', 2),
    (7, 'u1', 'clique', 'p2', NULL, '2025-05-14T12:00:30Z', NULL, NULL)";
const FIRST_MS: i64 = 1_747_216_800_000; // 10:00
const LAST_MS: i64 = FIRST_MS + 6 * 3_600_000;
const RANGE: WindowRange = WindowRange::of_ms(FIRST_MS, LAST_MS);

struct Shop {
    catalog: Catalog,
    settings: DomainSettings,
    dir: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        Self::with(&[])
    }

    /// The built-in catalog and these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let settings = DomainSettings::default();
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
        let more = files.iter().map(file).collect();
        let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN]), more], &settings).expect("a catalog");
        Self { catalog, settings, dir: tempfile::tempdir().expect("a folder") }
    }

    fn topic(&self) -> &Topic {
        &self.catalog.topics[0]
    }

    fn store(&self) -> Location {
        Location::folder(self.dir.path()).expect("a location")
    }

    /// Archives the events as counted rows, and says that reading goes on at `next`.
    async fn archive(&self, next: i64) -> RecordBatch {
        let rows = rows(self.topic()).await;
        let mut archive = Archive::open(self.topic(), "log", [PartitionId(0)], &self.store()).await.expect("opened");
        let offsets = begun(next);
        let commit = ArchiveCommit {
            rows: vec![rows.clone()],
            offsets,
            watermark: Some(Watermark::from_ms(LAST_MS)),
            token: 1,
            ..ArchiveCommit::default()
        };
        archive.commit(&commit).await.expect("committed");
        rows
    }

    /// Publishes every metric as the stream does.
    async fn publish(&self, rows: &RecordBatch) {
        let session = engine_session(EngineConfig::default()).expect("a session");
        let events = rows.project(&(8..rows.num_columns()).collect::<Vec<_>>()).expect("the topic's columns");
        let times = events.column(self.topic().event_time).as_primitive::<TimestampMicrosecondType>();
        for metric in &self.catalog.metrics {
            let plan = MetricPlan::new(metric, self.topic(), &self.settings, &session).expect("planned");
            let plan = Arc::new(plan);
            let mut panes = MetricPanes::new(Arc::clone(&plan), &session.runtime_env().memory_pool, 1 << 30);
            panes.fold(PartitionId(0), &events, &pane_column(&plan.windows, times)).expect("folded");
            let rows = panes.rows_of(|_| true).expect("rows");
            self.table(metric, &plan).await.publish(rows, LAST_MS).await.expect("published");
        }
    }

    async fn table(&self, metric: &Metric, plan: &MetricPlan) -> MetricTable {
        let version = metric.version(&self.settings, self.topic().lateness_ms);
        let location = self.store().join("metrics");
        MetricTable::open(&metric.name, &version, Arc::clone(plan.rows_schema()), &location).await.expect("opened")
    }
}

/// The events in the archive's schema.
async fn rows(topic: &Topic) -> RecordBatch {
    rows_of(topic, EVENTS).await
}

async fn rows_of(topic: &Topic, events: &str) -> RecordBatch {
    use archive_columns::*;
    const NAMES: [&str; 8] =
        ["_o", "id_usuario", "tipo_evento", "id_produto", "id_pedido", "timestamp", "valor_total", "quantidade"];
    let schema = topic.archive_schema();
    let columns = schema.fields().iter().map(|field| {
        let value: Expr = match field.name().as_str() {
            PARTITION => lit(0),
            OFFSET => ident("_o"),
            ARRIVAL => lit("2025-05-14T12:00:00Z"),
            LOG => lit("log"),
            VERDICT => lit("contada"),
            "moeda" => lit("BRL"),
            name if NAMES.contains(&name) => ident(name),
            _ => lit(ScalarValue::Null),
        };
        cast(value, field.data_type().clone()).alias(field.name())
    });
    let events =
        format!("SELECT * FROM (VALUES {events}) AS eventos({})", NAMES.map(|name| format!("\"{name}\"")).join(","));
    let frame = SessionContext::new().sql(&events).await.expect("events").select(columns).expect("columns");
    let batches = frame.collect().await.expect("rows");
    let columns = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch").columns().to_vec();
    RecordBatch::try_new(schema, columns).expect("the archive's schema")
}

#[tokio::test]
async fn what_panes_publish_equals_the_plain_query() {
    let shop = Shop::new();
    let rows = shop.archive(8).await;
    shop.publish(&rows).await;
    let compared = reconcile(&shop.catalog, &shop.settings, &shop.store(), &Engine::Local, RANGE, Selection::default())
        .await
        .expect("compared");
    assert_eq!(compared.len(), 7);
    for metric in &compared {
        assert!(metric.windows > 0 && metric.expected.num_rows() >= metric.windows, "{metric:?}");
        assert_eq!(metric.differences.num_rows(), 0, "{metric:?}");
    }
    // Every event is in five sliding windows: 11:55 to 12:34 without those that hold none.
    let active = compared.iter().find(|metric| metric.metric == "usuarios_ativos").expect("compared");
    assert_eq!(active.windows, 6 + 4 + 5 + 5);
    assert_eq!(offsets::check(shop.topic(), &shop.store(), &Seen::new()).await.expect("checked").1, []);
    // The same from the plain files, which other processes would read.
    let files = shop.store().plain_parquet();
    let by_files = reconcile(&shop.catalog, &shop.settings, &files, &Engine::Local, RANGE, Selection::default())
        .await
        .expect("compared");
    for (metric, by_files) in compared.iter().zip(&by_files) {
        assert_eq!((by_files.windows, by_files.differences.num_rows()), (metric.windows, 0), "{by_files:?}");
    }
}

#[tokio::test]
async fn a_backfilled_history_is_what_panes_publish() {
    let shop = Shop::new();
    let rows = shop.archive(8).await;
    let backfill = async |metric: &Metric| {
        let done = backfill(metric, shop.topic(), &shop.settings, &shop.store(), &Engine::Local).await;
        done.expect("backfilled")
    };
    let windows = Windows::new(shop.catalog.metrics[0].window, shop.settings.time_zone);
    let closed_ms = windows.first_open_ms(LAST_MS - shop.topic().lateness_ms);
    // Sessions are computed by whole days, and this one is not over: see `sessions`.
    let windowed = |metric: &&Metric| metric.window.session_gap_micros().is_none();
    for metric in shop.catalog.metrics.iter().filter(windowed) {
        let Backfilled::Until { until_ms, rows } = backfill(metric).await else { panic!("{}", metric.name) };
        assert!(rows > 0 && until_ms <= closed_ms, "{}: {rows} until {until_ms}", metric.name);
        assert_eq!(backfill(metric).await, Backfilled::Until { until_ms, rows: 0 }, "it is there already");
    }
    // The stream adds nothing but that it is published.
    let session = engine_session(EngineConfig::default()).expect("a session");
    for metric in &shop.catalog.metrics {
        let plan = MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned");
        shop.table(metric, &plan).await.publish(Vec::new(), LAST_MS).await.expect("published");
        let version = metric.version(&shop.settings, shop.topic().lateness_ms);
        let location = shop.store().join("metrics");
        MetricTable::define(&metric.name, &version, &location, &metric.definition()).await.expect("defined");
        assert_eq!(backfill(metric).await, Backfilled::LeftToItsStream);
    }
    let of = async |shop: &Shop| {
        let mut tables = Vec::new();
        for metric in shop.catalog.metrics.iter().filter(windowed) {
            let version = metric.version(&shop.settings, shop.topic().lateness_ms);
            let table = MetricTable::read(&metric.name, &version, &shop.store().join("metrics")).await.expect("read");
            let order = |name: &String| ident(name).sort(true, true);
            let (rows, _) = table.expect("a table");
            let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
            let frame = SessionContext::new().read_table(rows).expect("a frame");
            let sorted = frame.sort(names.iter().map(order).collect()).expect("sorted").collect().await.expect("rows");
            tables.push(pretty_format_batches(&sorted).expect("shown").to_string());
        }
        tables
    };
    let published = Shop::new();
    published.archive(8).await;
    published.publish(&rows).await;
    assert_eq!(of(&shop).await, of(&published).await);
}

#[tokio::test]
async fn a_row_too_many_is_named_and_repaired() {
    let shop = Shop::new();
    let rows = shop.archive(8).await;
    let metric = shop.catalog.metric("vendas_por_minuto").expect("the metric");
    let only = Some("vendas_por_minuto");
    let store = shop.store();
    let compare = || {
        reconcile(
            &shop.catalog,
            &shop.settings,
            &store,
            &Engine::Local,
            RANGE,
            Selection { only, ..Selection::default() },
        )
    };
    // Nothing is published yet, so nothing is closed.
    let compared = compare().await.expect("compared");
    assert_eq!((compared[0].published_through_ms, compared[0].windows), (None, 0));
    shop.publish(&rows).await;
    let session = engine_session(EngineConfig::default()).expect("a session");
    let plan = MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned");
    let mut table = shop.table(metric, &plan).await;
    let first = reconcile_rows(&rows, &plan, shop.topic());
    table.publish(vec![first.slice(0, 1)], LAST_MS + 1).await.expect("published");
    let compared = compare().await.expect("compared");
    let differences = &compared[0].differences;
    let sides = differences.column_by_name(SIDE_COLUMN).expect("the side").as_primitive::<Int64Type>();
    assert_eq!(sides.values().to_vec(), [1], "one row occurs twice");
    let repaired = repair(&shop.catalog, &shop.settings, &store, &compared).await.expect("repaired");
    assert_eq!(repaired, 1);
    let compared = compare().await.expect("compared");
    assert_eq!((compared[0].differences.num_rows(), compared[0].windows), (0, 3));
    assert_eq!(compared[0].published_through_ms, Some(LAST_MS + 1), "a repair publishes nothing more");
}

/// A metric whose SQL fails on the archive's rows, or that the stream has set aside, says so, and
/// the others are compared.
#[tokio::test]
async fn a_metric_that_fails_is_alone() {
    let failing = "CREATE MATERIALIZED VIEW razao AS SELECT tumble(INTERVAL '1 minute') AS janela,
        count(*) / count(*) FILTER (WHERE tipo_evento = 'compra') AS x FROM eventos_clientes GROUP BY janela;
        CREATE MATERIALIZED VIEW grande AS SELECT tumble(INTERVAL '1 hour') AS janela,
        sum(quantidade * 9000000000000000000) AS x FROM eventos_clientes GROUP BY janela;";
    let file = SourceFile { path: "above.sql".to_owned(), text: failing.to_owned() };
    let whole = Shop::new();
    let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN]), vec![file]], &whole.settings).expect("a catalog");
    let rows = whole.archive(8).await;
    whole.publish(&rows).await;
    let version = catalog.metric("razao").expect("the metric").version(&whole.settings, whole.topic().lateness_ms);
    let location = whole.store().join("metrics");
    MetricTable::set_failure("razao", &version, &location, Some((7, "it divides by zero"))).await.expect("noted");
    let store = whole.store();
    let compared = reconcile(&catalog, &whole.settings, &store, &Engine::Local, RANGE, Selection::default())
        .await
        .expect("compared");
    assert_eq!(compared.len(), 9);
    for metric in &compared {
        let expected = match metric.metric.as_str() {
            "razao" => Some("division by zero"),
            "grande" => Some("does not fit its type"),
            _ => None,
        };
        match (expected, &metric.failure) {
            (Some(words), Some(reason)) => assert!(reason.contains(words), "{reason}"),
            (None, None) => assert!(metric.windows > 0 && !metric.differs(), "{metric:?}"),
            _ => panic!("{metric:?}"),
        }
        assert_eq!(metric.set_aside.as_ref().map(|(since, _)| *since), (metric.metric == "razao").then_some(7));
    }
    let run =
        results::Run { origin: "comando", range: RANGE, ended_ms: 0, took_ms: 0, breaks: 0, is_after_repair: false };
    let rows = results::rows(&run, &compared).expect("rows");
    let verdicts = rows.column_by_name("veredito").expect("a column").as_string::<i32>();
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == Some("falha")).count(), 2);
    MetricTable::set_failure("razao", &version, &location, None).await.expect("forgotten");
    assert_eq!(MetricTable::failure("razao", &version, &location).await.expect("read"), None);
}

fn reconcile_rows(rows: &RecordBatch, plan: &MetricPlan, topic: &Topic) -> RecordBatch {
    let events = rows.project(&(8..rows.num_columns()).collect::<Vec<_>>()).expect("the topic's columns");
    let times = events.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let state = plan.fold(&events, &pane_column(&plan.windows, times)).expect("folded");
    let finished = plan.finish(vec![state]).expect("finished");
    let rows = vitral_panes::stored_rows(&plan.metric, &plan.windows, &finished).expect("rows");
    vitral_panes::in_order(&plan.metric, &rows).expect("ordered")
}

/// The first rows of partition 0, behind which reading goes on at `next`.
fn begun(next: i64) -> BTreeMap<PartitionId, Advance> {
    BTreeMap::from([(PartitionId(0), Advance { from: None, to: Offset(next) })])
}

/// Of partition 0.
fn broken(log: &str, expected: i64, found: i64) -> Break {
    Break { log: log.into(), partition: PartitionId(0), expected: Offset(expected), found: Offset(found) }
}

#[tokio::test]
async fn rows_missing_at_the_end_are_found_by_what_was_committed() {
    let shop = Shop::new();
    shop.archive(9).await;
    let (partitions, breaks) = offsets::check(shop.topic(), &shop.store(), &Seen::new()).await.expect("checked");
    assert_eq!((partitions.len(), partitions[0].first, partitions[0].next), (1, Offset(0), Offset(8)));
    assert_eq!(breaks, [broken("log", 9, 8)]);
}
