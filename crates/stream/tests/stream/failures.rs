//! A metric that fails on its data is set aside alone, over restarts too, and has its whole history
//! once it is changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use prometheus_client::registry::Registry;
use vitral_panes::view::View;
use vitral_stream::StreamTelemetry;

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, Shop, all_rows, archived, end, event_at, published, rows_of, wait_for, wait_until,
};

const FAILING: &str = "CREATE MATERIALIZED VIEW conversao AS SELECT tumble(INTERVAL '1 minute') AS janela,
    count(*) FILTER (WHERE tipo_evento = 'compra') * 100 / count(*) FILTER (WHERE tipo_evento = 'clique') AS por_cento
    FROM eventos_clientes GROUP BY janela;";
const FIXED: &str = "CREATE MATERIALIZED VIEW conversao AS SELECT tumble(INTERVAL '1 minute') AS janela,
    count(*) FILTER (WHERE tipo_evento = 'compra') * 100 / nullif(count(*) FILTER (WHERE tipo_evento = 'clique'), 0) AS por_cento
    FROM eventos_clientes GROUP BY janela;";

fn reason(view: &View) -> Option<String> {
    Some(view.metrics.get("conversao")?.failure()?.reason)
}

/// What a shop's other metrics show, read on a data directory of its own.
async fn expected(shop: &Shop, dir: &Path, sent: usize) -> BTreeMap<String, Vec<String>> {
    let (stream, mut view) = shop.start(dir);
    wait_for(&mut view, "all", |seen| seen.read == sent as u64).await;
    end(stream).await;
    all_rows(&view).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_divides_by_zero_is_set_aside_alone() {
    let (shop, clock) = Shop::at_noon(1);
    let (failing, fixed) = (shop.with_catalog(FAILING), shop.with_catalog(FIXED));
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let telemetry = StreamTelemetry::register(&mut Registry::default());

    // Clicks and sales of four hours; the second hour has no click.
    let mut sent: Vec<Vec<u8>> = (0..48)
        .map(|id| {
            let kind = if id % 2 == 0 && id / 12 != 1 { "clique" } else { "compra" };
            event_at(id, "p1", kind, NOON_MS - 4 * HOUR_MS + (id / 2) as i64 * 10 * MINUTE_MS)
        })
        .collect();
    let (stream, mut view) = failing.start_observed(failing.config(dir.path()), telemetry.clone());
    wait_until(&mut view, "ready", |view| view.ready).await;
    for half in sent.chunks(12) {
        failing.produce_to(0, half);
        wait_until(&mut view, "archived", |view| !view.topics.is_empty()).await;
    }
    let failed = wait_until(&mut view, "set aside", |view| reason(view).is_some()).await;
    let text = reason(&failed).expect("a reason");
    assert!(text.contains("division by zero") && text.contains("nullif"), "{text}");
    wait_for(&mut view, "the others go on", |seen| seen.read == sent.len() as u64).await;
    end(stream).await;
    assert_eq!(archived(&view).await.len(), sent.len());
    let labels = || vitral_stream::MetricLabels { topic: shop.topic.name.clone(), metric: "conversao".to_owned() };
    assert_eq!(telemetry.metric_failed.get_or_create(&labels()).get(), 1);
    let mut found = all_rows(&view).await;
    let kept = found.remove("conversao").expect("the metric");
    assert_eq!(found, expected(&shop, fresh.path(), sent.len()).await);

    // The same again after a restart, and no window of the others is lost.
    let (stream, mut view) = failing.start(dir.path());
    wait_until(&mut view, "set aside again", |view| view.ready && reason(view).is_some()).await;
    clock.set_ms(NOON_MS + HOUR_MS);
    let more = event_at(1_000, "p2", "clique", NOON_MS + HOUR_MS);
    failing.produce_to(0, &[&more]);
    sent.push(more);
    wait_for(&mut view, "one more", |seen| seen.read == sent.len() as u64).await;
    end(stream).await;
    assert!(reason(&view.borrow()).is_some());
    let mut found = all_rows(&view).await;
    assert_eq!(found.remove("conversao").expect("the metric").len(), kept.len(), "what was published stays");
    let [again, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    assert_eq!(found, expected(&shop, again.path(), sent.len()).await);

    // Once fixed, it is another version, with every window.
    let complete = expected(&fixed, other.path(), sent.len()).await;
    let (stream, mut view) = fixed.start(dir.path());
    let is_whole =
        |view: &View| view.ready && reason(view).is_none() && view.metrics["conversao"].published_through_ms.is_some();
    wait_until(&mut view, "its history", is_whole).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, complete);
    assert!(!published(&view, "conversao").await.is_empty());
}

/// A bound that a metric meets sets it aside; with a higher one it comes back, with what it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_metric_over_its_memory_comes_back_under_a_higher_bound() {
    let (shop, _clock) = Shop::at_noon(1);
    let wide = shop.with_catalog(
        "CREATE MATERIALIZED VIEW por_sessao AS SELECT tumble(INTERVAL '1 minute') AS janela, id_sessao, count(*) AS n
         FROM eventos_clientes GROUP BY janela, id_sessao;",
    );
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let events: Vec<Vec<u8>> = (0..40_000)
        .map(|id| {
            let time_ms = NOON_MS - 3 * HOUR_MS + id as i64 * 250;
            let time = chrono::DateTime::from_timestamp_millis(time_ms).expect("a time").to_rfc3339();
            let session = format!("{id}-{}", "s".repeat(240));
            format!(r#"{{"id_usuario":"u","tipo_evento":"clique","id_sessao":"{session}","timestamp":"{time}","id_evento":"e{id}"}}"#)
                .into_bytes()
        })
        .collect();
    let mut config = wide.config(dir.path());
    config.limits.panes_memory_bytes = 6 << 20;
    let (stream, mut view) = wide.start_with(config.clone());
    wait_until(&mut view, "ready", |view| view.ready).await;
    wide.produce_to(0, &events);
    let is_set_aside = |view: &View| view.metrics.get("por_sessao").is_some_and(|metric| metric.failure().is_some());
    let failed = wait_until(&mut view, "set aside", is_set_aside).await;
    let failure = failed.metrics["por_sessao"].failure().expect("a failure");
    assert!(failure.reason.contains("panes.memory_bytes"), "{}", failure.reason);
    wait_for(&mut view, "the others go on", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    let others = view.borrow().metrics.values().filter(|metric| metric.failure().is_some()).count();
    assert_eq!(others, 1);

    // The same bound is not met again by the whole.
    let (stream, mut view) = wide.start_with(config.clone());
    wait_until(&mut view, "ready again", |view| view.ready).await;
    end(stream).await;

    config.limits.panes_memory_bytes = 1 << 30;
    let (stream, mut view) = wide.start_with(config);
    wait_until(&mut view, "whole again", |view| view.ready && !is_set_aside(view)).await;
    end(stream).await;
    let (stream, mut all) = wide.start(fresh.path());
    wait_for(&mut all, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, all_rows(&all).await);
    assert!(!rows_of(&view, "por_sessao").await.is_empty());
}

/// A file of a metric's table that was lost keeps nothing else from starting.
#[tokio::test(flavor = "multi_thread")]
async fn a_metric_whose_table_cannot_be_read_is_set_aside_alone() {
    let (shop, clock) = Shop::at_noon(1);
    let [dir, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let events: Vec<Vec<u8>> =
        (0..6).map(|id| event_at(id, "p1", "compra", NOON_MS - 4 * HOUR_MS + id as i64 * HOUR_MS)).collect();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events);
    let is_published =
        |view: &View| view.metrics.get("ticket_medio").is_some_and(|metric| metric.published_through_ms.is_some());
    wait_until(&mut view, "published", is_published).await;
    wait_for(&mut view, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;

    let versions = std::fs::read_dir(dir.path().join("metrics/ticket_medio")).expect("the metric's folder");
    for version in versions.filter_map(Result::ok).filter(|version| version.path().join("_delta_log").is_dir()) {
        std::fs::write(version.path().join("_delta_log/00000000000000000000.json"), "{").expect("damaged");
    }
    let mut config = shop.config(dir.path());
    config.patience.start = Duration::from_millis(600);
    let (stream, mut view) = shop.start_with(config);
    let failed = wait_until(&mut view, "ready all the same", |view| view.ready).await;
    let failure = failed.metrics["ticket_medio"].failure().expect("set aside");
    assert!(failure.is_set_aside && failure.reason.contains("restore metrics/ticket_medio/"), "{}", failure.reason);
    clock.set_ms(NOON_MS + HOUR_MS);
    shop.produce_to(0, &[&event_at(7, "p1", "compra", NOON_MS + HOUR_MS)]);
    wait_for(&mut view, "the others go on", |seen| seen.read == events.len() as u64 + 1).await;
    end(stream).await;
    let [mut found, mut whole] = [all_rows(&view).await, expected(&shop, fresh.path(), events.len() + 1).await];
    assert!(whole.remove("ticket_medio").is_some_and(|rows| !rows.is_empty()));
    found.remove("ticket_medio");
    assert_eq!(found, whole);
}
