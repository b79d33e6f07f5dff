//! Metrics that are added or changed get their history; what was there serves until then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, PATIENCE, Shop, all_rows, end, event_at, kafka, published, rows_of, wait_for,
    wait_until,
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

#[tokio::test(flavor = "multi_thread")]
async fn an_added_and_a_changed_metric_have_their_history() {
    let Some(kafka) = kafka() else { return };
    let (shop, _clock) = Shop::at_noon(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let events = events();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events).await;
    wait_for(&mut view, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    let before = all_rows(&view).await;
    let seen_before = total(&rows_of(&view, "produtos_mais_vistos").await);

    // What the same catalog gives from the beginning, on a data directory of its own.
    let later = shop.with_catalog(&format!("{ADDED} {CHANGED}"));
    let fresh = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = later.start(fresh.path());
    wait_for(&mut view, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    let expected = all_rows(&view).await;

    let (stream, mut view) = later.start(dir.path());
    wait_until(&mut view, "ready", |view| view.ready).await;
    let began = Instant::now();
    loop {
        // Either the version that was there, or the new one: never a part of it.
        let views = total(&rows_of(&view, "produtos_mais_vistos").await);
        let has_come = view.borrow().metrics["buscas_por_hora"].published_through_ms.is_some();
        assert!(views == seen_before || views == 10 * seen_before, "{views}");
        if has_come && views == 10 * seen_before {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the history did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = all_rows(&view).await;
    assert!(!published(&view, "buscas_por_hora").await.is_empty());
    end(stream).await;
    assert_eq!(found, expected);
    for (metric, rows) in &before {
        assert_eq!(metric == "produtos_mais_vistos", found[metric] != *rows, "{metric}");
    }
    // And back again: the version that was left is not complete any more, and is made so.
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, before);
}

fn total(batches: &[arrow::array::RecordBatch]) -> i64 {
    let views = batches
        .iter()
        .map(|batch| batch.column_by_name("visualizacoes").expect("a column").as_primitive::<Int64Type>());
    views.map(|views| views.values().iter().sum::<i64>()).sum()
}

/// A stop in the middle of a backfill, and a kill, cost no row and give none twice: each step is one commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_cut_short_goes_on() {
    let Some(kafka) = kafka() else { return };
    let (shop, _clock) = Shop::at_noon(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let events = events();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events).await;
    wait_for(&mut view, "all", |seen| seen.read == events.len() as u64).await;
    end(stream).await;
    let later = shop.with_catalog(ADDED);
    let mut starts = 0;
    let totals = loop {
        starts += 1;
        let (stream, mut view) = later.start(dir.path());
        wait_until(&mut view, "ready", |view| view.ready).await;
        // A little longer each time: the stops fall between its steps.
        let given = Instant::now();
        let has_come = || view.borrow().metrics["buscas_por_hora"].published_through_ms.is_some();
        while !has_come() && given.elapsed() < Duration::from_millis(4 * starts) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let is_complete = has_come();
        end(stream).await;
        if is_complete || starts > 200 {
            break searches(&rows_of(&view, "buscas_por_hora").await);
        }
    };
    // Every search is in two windows.
    let searches_sent = events.len().div_ceil(4) as i64;
    assert_eq!(totals.values().sum::<i64>(), 2 * searches_sent, "after {starts} starts");
}

fn searches(batches: &[arrow::array::RecordBatch]) -> BTreeMap<i64, i64> {
    let mut totals = BTreeMap::new();
    for batch in batches {
        let starts = batch.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        let counts = batch.column_by_name("buscas").expect("a column").as_primitive::<Int64Type>();
        for (start, count) in starts.values().iter().zip(counts.values()) {
            assert!(totals.insert(*start, *count).is_none(), "a window is there once");
        }
    }
    totals
}
