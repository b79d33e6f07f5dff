//! What stays when the events have expired: published windows, and the proof of offsets.

use std::sync::Arc;

use vitral_batch::backfill::{Backfilled, backfill};
use vitral_batch::reconcile::offsets::{self, Seen};
use vitral_batch::{Engine, jobs::Wanted};
use vitral_catalog::{Catalog, DomainSettings, Metric};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::window::Windows;
use vitral_store::PublishedWindows;
use vitral_store::archive::{Limits, retain};
use vitral_store::{MetricTable, read_session};

use crate::world::{World, day, show};

const METRIC: &str = "
CREATE MATERIALIZED VIEW por_categoria AS
SELECT tumble(INTERVAL '1 hour') AS janela, categoria, count(*) AS vendas
FROM eventos_clientes GROUP BY janela, categoria ORDER BY ";

fn metric(world: &World, order: &str) -> Metric {
    let text = format!("{METRIC}{order};\n");
    world.write("catalogo/por_categoria.sql", &text);
    let catalog = Catalog::load(&[world.dir.path().join("catalogo")], &DomainSettings::default()).expect("the catalog");
    catalog.metric("por_categoria").expect("the metric").clone()
}

async fn table(world: &World, metric: &Metric) -> MetricTable {
    let topic = world.catalog.topic(&metric.topic).expect("a topic");
    let settings = DomainSettings::default();
    let session = engine_session(EngineConfig::default()).expect("a session");
    let plan = MetricPlan::new(metric, topic, &settings, &session).expect("planned");
    let version = metric.version(&settings, topic.lateness_ms);
    let schema = Arc::clone(plan.rows_schema());
    MetricTable::open(&metric.name, &version, schema, &world.store.join("metrics")).await.expect("opened")
}

/// Computes the metric's history and publishes through it, as a stream that declares it does.
async fn publish(world: &World, metric: &Metric, through: &str) -> Backfilled {
    let topic = world.catalog.topic(&metric.topic).expect("a topic");
    let settings = DomainSettings::default();
    let done = backfill(metric, topic, &settings, &world.store, &Engine::Local).await.expect("computed");
    let version = metric.version(&settings, topic.lateness_ms);
    let through = through.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis();
    table(world, metric).await.publish(Vec::new(), through).await.expect("published");
    let definition = metric.definition();
    MetricTable::define(&metric.name, &version, &world.store.join("metrics"), &definition).await.expect("defined");
    done
}

async fn everything_goes(world: &World) {
    let topic = world.catalog.topic("eventos_clientes").expect("a topic");
    let now_ms = 4_000_000_000_000;
    let limits = Limits { hot_ms: now_ms, cold_ms: Some(now_ms), now_ms };
    for _ in 0..2 {
        retain(topic, &world.store, limits).await.expect("done");
    }
}

async fn windows(world: &World, metric: &Metric) -> String {
    let provider = table(world, metric).await.provider().await.expect("rows");
    let frame = read_session(1).read_table(provider).expect("a frame");
    let order = vec![datafusion::logical_expr::ident("janela_inicio").sort(true, true)];
    show(&frame.sort(order).expect("sorted").collect().await.expect("rows"))
}

#[tokio::test(flavor = "multi_thread")]
async fn published_windows_outlive_their_events_and_their_version() {
    let world = World::new();
    world.streamed(&["2025-05-14T15:10:00Z", "2025-05-14T16:10:00Z"], "2025-05-14T20:00:00Z").await;
    let first = metric(&world, "vendas DESC, categoria");
    publish(&world, &first, "2025-05-14T20:00:00Z").await;
    let before = windows(&world, &first).await;
    assert_eq!(before.matches("casa").count(), 2, "{before}");
    everything_goes(&world).await;
    world.streamed(&["2025-05-15T10:10:00Z"], "2025-05-15T14:00:00Z").await;

    // Only the order is another.
    let second = metric(&world, "categoria, vendas DESC");
    publish(&world, &second, "2025-05-15T14:00:00Z").await;
    let after = windows(&world, &second).await;
    for window in ["2025-05-14T15:00:00Z", "2025-05-14T16:00:00Z", "2025-05-15T10:00:00Z"] {
        assert!(after.contains(&format!("| {window} ")), "{window} is lost: {after}");
    }
    assert_eq!(after.matches("casa").count(), 3, "{after}");
    let provider = table(&world, &second).await.provider().await.expect("rows");
    let known = PublishedWindows::of(&provider).expect("they are of two versions");
    assert!(known.earlier_until_ms.is_some() && known.since_ms.is_none(), "{known:?}");

    // And once more: from version to version.
    everything_goes(&world).await;
    world.streamed(&["2025-05-16T10:10:00Z"], "2025-05-16T14:00:00Z").await;
    let third = metric(&world, "categoria DESC, vendas");
    publish(&world, &third, "2025-05-16T14:00:00Z").await;
    let all = windows(&world, &third).await;
    assert_eq!(all.matches("casa").count(), 4, "{all}");
    // The first is declared again: what came while it was left is the others'.
    let again = metric(&world, "vendas DESC, categoria");
    let ms = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis();
    let hours = Windows::new(again.window, DomainSettings::default().time_zone);
    let (newest_purged, done_ms) = (EventTime::from_ms(ms("2025-05-16T23:10:00Z")), ms("2025-05-14T17:00:00Z"));
    // Cut short before anything was computed, it begins a second time.
    for _ in 0..2 {
        let mut left = table(&world, &again).await;
        let from_ms = left.begin_where_whole(&hours, Some(newest_purged), Some(done_ms)).await.expect("begun");
        assert_eq!(from_ms, Some(ms("2025-05-17T00:00:00Z")));
    }
    let all = windows(&world, &again).await;
    assert_eq!(all.matches("casa").count(), 4, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_without_their_columns_are_said_to_be_missing() {
    let world = World::new();
    world.streamed(&["2025-05-14T15:10:00Z"], "2025-05-14T20:00:00Z").await;
    publish(&world, &metric(&world, "vendas"), "2025-05-14T20:00:00Z").await;
    everything_goes(&world).await;
    world.streamed(&["2025-05-15T10:10:00Z"], "2025-05-15T14:00:00Z").await;
    let other = "CREATE MATERIALIZED VIEW por_categoria AS SELECT tumble(INTERVAL '1 hour') AS janela, moeda, count(*) AS vendas \
                 FROM eventos_clientes GROUP BY janela, moeda;\n";
    world.write("catalogo/por_categoria.sql", other);
    let catalog = Catalog::load(&[world.dir.path().join("catalogo")], &DomainSettings::default()).expect("the catalog");
    let other = catalog.metric("por_categoria").expect("the metric");
    publish(&world, other, "2025-05-15T14:00:00Z").await;
    let provider = table(&world, other).await.provider().await.expect("rows");
    let known = PublishedWindows::of(&provider).expect("something is missing");
    assert!(known.since_ms.is_some() && known.earlier_until_ms.is_none(), "{known:?}");
    assert_eq!(windows(&world, other).await.matches("BRL").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_rows_are_all_gone_is_no_break() {
    let world = World::new();
    let sale = ("2025-05-14T15:10:00Z", "casa");
    world.streamed_to(3, &[sale, sale], "2025-05-14T20:00:00Z").await;
    everything_goes(&world).await;
    let topic = world.catalog.topic("eventos_clientes").expect("a topic");
    let breaks = async || offsets::check(topic, &world.store, &Seen::new()).await.expect("checked").1;
    assert_eq!(breaks().await, [], "all of them have expired");
    world.streamed_to(0, &[sale], "2025-05-14T21:00:00Z").await;
    assert_eq!(breaks().await, [], "those of one partition have expired");
    world.streamed_to(3, &[sale], "2025-05-14T22:00:00Z").await;
    assert_eq!(breaks().await, [], "it continues after what has expired");
    // Days whose events have expired are left as they are.
    assert_eq!(world.job("limpeza", Wanted::Changed).await[0].left, 1);
}

/// The stream began later than the shop: what a file has of the days before was never deleted, nor
/// what lies between.
#[tokio::test(flavor = "multi_thread")]
async fn only_days_of_which_rows_were_deleted_are_left_as_they_are() {
    let world = World::new();
    world.streamed(&["2025-05-14T15:10:00Z", "2025-06-20T15:10:00Z"], "2025-06-20T20:00:00Z").await;
    everything_goes(&world).await;
    let sales = ["2025-03-02", "2025-05-13", "2025-05-14", "2025-05-15", "2025-06-20"];
    let lines: String = sales.iter().map(|date| format!("{date},7.00\n")).collect();
    let file = world.write("mais.csv", &format!("data,valor\n{lines}"));
    assert_eq!(world.import(&file, "vendas").await.expect("imported").accepted, 5);

    let by_change = world.job("limpeza", Wanted::Changed).await;
    assert_eq!((by_change[0].written, by_change[0].left), (3, 2), "{by_change:?}");
    let rows = world.warehouse("vendas", "SELECT data FROM vendas ORDER BY data").await;
    for (date, is_in) in sales.iter().zip([true, true, false, true, false]) {
        assert_eq!(rows.contains(date), is_in, "{date}: {rows}");
    }
    let named = async |from: &str, to: &str| {
        world.try_job("vendas_por_regiao", Wanted::Days(day(from), day(to)), true).await.map(|done| done[0].written)
    };
    assert_eq!(named("2025-03-01", "2025-05-13").await.expect("nothing was deleted of them"), 2);
    assert_eq!(named("2025-05-15", "2025-06-19").await.expect("nor of these"), 1);
    let refused = named("2025-05-01", "2025-12-31").await.expect_err("of these it was").to_string();
    assert!(refused.contains("has deleted events from 2025-05-14 to 2025-06-20"), "{refused}");
    // Of a month, one day is enough.
    let months = world.job("receita_mensal", Wanted::Changed).await;
    assert_eq!((months[0].written, months[0].left), (1, 4), "{months:?}");
}
