//! Metrics that are added or changed get their history; what was there serves until then.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use vitral_panes::view::ViewReceiver;
use vitral_schemas::time::Clock;
use vitral_store::Location;
use vitral_store::archive::{Limits, retain};

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, PATIENCE, Shop, all_rows, end, event_at, published, rows_of, wait_for, wait_until,
};

const ADDED: &str = "CREATE MATERIALIZED VIEW buscas_por_hora AS
    SELECT hop(INTERVAL '30 minutes', INTERVAL '1 hour') AS janela, count(*) AS buscas
    FROM eventos_clientes WHERE tipo_evento = 'busca' GROUP BY janela;";
const CHANGED: &str = "CREATE MATERIALIZED VIEW produtos_mais_vistos AS
    SELECT tumble(INTERVAL '1 minute') AS janela, id_produto, 10 * count(*) AS visualizacoes
    FROM eventos_clientes WHERE tipo_evento IN ('clique', 'visualizacao') AND id_produto IS NOT NULL
    GROUP BY janela, id_produto;";

/// Three days of events, a few each hour, of which the last hours are still open.
fn events() -> Vec<Vec<u8>> {
    let first_ms = NOON_MS - 72 * HOUR_MS;
    let each = |id: usize| {
        let kind = ["busca", "clique", "visualizacao", "compra"][id % 4];
        event_at(id, &format!("p{}", id % 3), kind, first_ms + id as i64 * 7 * MINUTE_MS)
    };
    (0..72 * 60 / 7).map(each).collect()
}

/// Reads what there is on this folder, and stops: all rows of all metrics.
async fn read_all(shop: &Shop, dir: &Path, sent: usize) -> BTreeMap<String, Vec<String>> {
    let (stream, mut view) = shop.start(dir);
    wait_for(&mut view, "all", |seen| seen.read == sent as u64).await;
    end(stream).await;
    all_rows(&view).await
}

/// Waits until the views shown are `after`; until then they are those `before`, never a part of
/// either.
async fn wait_for_history(view: &ViewReceiver, before: i64, after: i64) {
    let began = Instant::now();
    loop {
        let views = total(&rows_of(view, "produtos_mais_vistos").await);
        if views == after {
            return;
        }
        assert_eq!(views, before);
        assert!(began.elapsed() < PATIENCE, "the history did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_and_a_changed_metric_have_their_history() {
    let (shop, clock) = Shop::at_noon(1);
    let later = shop.with_catalog(&format!("{ADDED} {CHANGED}"));
    let [dir, fresh, fresh_again] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let mut sent = events();
    shop.produce_to(0, &sent);
    let before = read_all(&shop, dir.path(), sent.len()).await;
    // What the other catalog gives from the beginning, on a data directory of its own.
    let expected = read_all(&later, fresh.path(), sent.len()).await;
    let views = (0..sent.len()).filter(|id| [1, 2].contains(&(id % 4))).count() as i64;

    let (stream, mut view) = later.start(dir.path());
    wait_until(&mut view, "ready", |view| view.ready).await;
    wait_for_history(&view, views, 10 * views).await;
    wait_until(&mut view, "the added one", |view| view.metrics["buscas_por_hora"].published_through_ms.is_some()).await;
    let found = all_rows(&view).await;
    assert!(!published(&view, "buscas_por_hora").await.is_empty());
    assert_eq!(found, expected);
    for (metric, rows) in &before {
        assert_eq!(metric == "produtos_mais_vistos", found[metric] != *rows, "{metric}");
    }
    // Time goes on under the new catalog, by half a day.
    clock.set_ms(NOON_MS + 12 * HOUR_MS);
    let more: Vec<_> =
        (0..24).map(|id| event_at(10_000 + id, "p9", "clique", NOON_MS + id as i64 * HOUR_MS / 2)).collect();
    shop.produce_to(0, &more);
    sent.extend(more);
    wait_for(&mut view, "more", |seen| seen.read == sent.len() as u64).await;
    end(stream).await;

    // And back again: the version that was left lacks what came since, and gets it.
    let expected = read_all(&shop, fresh_again.path(), sent.len()).await;
    let (stream, mut view) = shop.start(dir.path());
    wait_until(&mut view, "ready", |view| view.ready).await;
    wait_for_history(&view, 10 * (views + 24), views + 24).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, expected);
}

fn total(batches: &[arrow::array::RecordBatch]) -> i64 {
    let views = batches
        .iter()
        .map(|batch| batch.column_by_name("visualizacoes").expect("a column").as_primitive::<Int64Type>());
    views.map(|views| views.values().iter().sum::<i64>()).sum()
}

/// The views of each window, by its start.
fn views_by_window(batches: &[arrow::array::RecordBatch]) -> BTreeMap<i64, i64> {
    let mut windows = BTreeMap::new();
    for batch in batches {
        let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let views = batch.column_by_name("visualizacoes").expect("a column").as_primitive::<Int64Type>();
        for (start, views) in starts.values().iter().zip(views.values()) {
            *windows.entry(*start).or_default() += views;
        }
    }
    windows
}

/// Retention has purged the older events: their windows stay what the version before has published.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_metric_keeps_the_windows_whose_events_are_purged() {
    const METRIC: &str = "produtos_mais_vistos";
    let (shop, clock) = Shop::at_noon(1);
    let later = shop.with_catalog(CHANGED);
    let dir = tempfile::tempdir().expect("a folder");
    let old = events();
    shop.produce_to(0, &old);
    read_all(&shop, dir.path(), old.len()).await;
    clock.set_ms(NOON_MS + 24 * HOUR_MS);
    let recent: Vec<_> =
        (0..144).map(|id| event_at(10_000 + id, "p9", "clique", NOON_MS + id as i64 * 10 * MINUTE_MS)).collect();
    shop.produce_to(0, &recent);
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "all", |seen| seen.read == (old.len() + recent.len()) as u64).await;
    end(stream).await;
    let shown = total(&rows_of(&view, METRIC).await);
    let before = views_by_window(&published(&view, METRIC).await);

    // What came before this is purged.
    let limit_ms = NOON_MS + HOUR_MS;
    let limits = Limits { hot_ms: limit_ms, cold_ms: Some(limit_ms), now_ms: clock.now_ms() };
    let store = Location::folder(dir.path()).expect("a folder");
    retain(&shop.topic, &store, limits).await.expect("moved");
    let done = retain(&shop.topic, &store, limits).await.expect("purged").expect("an archive");
    assert_eq!(done.purged, old.len() as u64, "{done:?}");

    let is_purged = |start: i64| start < NOON_MS * 1_000;
    let expected: BTreeMap<i64, i64> =
        before.iter().map(|(start, views)| (*start, if is_purged(*start) { *views } else { 10 * *views })).collect();
    let kept: i64 = before.iter().filter(|(start, _)| is_purged(**start)).map(|(_, views)| views).sum();
    assert!(kept > 0 && kept < shown, "{kept} of {shown}");
    let (stream, mut view) = later.start(dir.path());
    wait_until(&mut view, "ready", |view| view.ready).await;
    wait_for_history(&view, shown, kept + 10 * (shown - kept)).await;
    end(stream).await;
    assert_eq!(views_by_window(&published(&view, METRIC).await), expected);
    // It is known at the next start too.
    let (stream, mut view) = later.start(dir.path());
    wait_until(&mut view, "ready again", |view| view.ready).await;
    end(stream).await;
    assert_eq!(views_by_window(&published(&view, METRIC).await), expected);
}

/// Stops between the steps of a backfill cost no row and give none twice, also when the watermark
/// moves on from start to start: each step is one commit, and none goes beyond what is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_cut_short_goes_on() {
    let (shop, clock) = Shop::at_noon(1);
    let dir = tempfile::tempdir().expect("a folder");
    let mut sent = events();
    shop.produce_to(0, &sent);
    read_all(&shop, dir.path(), sent.len()).await;
    let later = shop.with_catalog(ADDED);
    let mut searches_sent = sent.len().div_ceil(4) as i64;
    let mut starts = 0;
    let totals = loop {
        starts += 1;
        let (stream, mut view) = later.start(dir.path());
        wait_until(&mut view, "ready", |view| view.ready).await;
        let now_ms = clock.now_ms() + 45 * MINUTE_MS;
        clock.set_ms(now_ms);
        let search = event_at(sent.len(), "p1", "busca", now_ms);
        shop.produce_to(0, &[&search]);
        sent.push(search);
        searches_sent += 1;
        // A little longer each time: the stops fall between its steps.
        let given = Instant::now();
        let has_come = || view.borrow().metrics["buscas_por_hora"].published_through_ms.is_some();
        while !has_come() && given.elapsed() < Duration::from_millis(4 * starts) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let is_complete = has_come();
        wait_for(&mut view, "the search", |seen| seen.read == sent.len() as u64).await;
        end(stream).await;
        if is_complete || starts > 200 {
            break searches(&rows_of(&view, "buscas_por_hora").await);
        }
    };
    // Every search is in two windows.
    assert_eq!(totals.values().sum::<i64>(), 2 * searches_sent, "after {starts} starts");
}

fn searches(batches: &[arrow::array::RecordBatch]) -> BTreeMap<i64, i64> {
    let mut totals = BTreeMap::new();
    for batch in batches {
        let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let counts = batch.column_by_name("buscas").expect("a column").as_primitive::<Int64Type>();
        for (start, count) in starts.values().iter().zip(counts.values()) {
            assert!(totals.insert(*start, *count).is_none(), "a window is there once");
        }
    }
    totals
}
