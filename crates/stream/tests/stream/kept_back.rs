//! Tables that cannot take rows in say so to everybody, and tables whose declaration changes lose
//! nothing.

use std::path::Path;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use vitral_batch::reconcile::{MetricComparison, Selection, reconcile_keyed};
use vitral_connect::memory::MemoryMessage;
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_store::archive::{Limits, retain};
use vitral_store::keyed::keep_balances;
use vitral_store::{KeyedPlan, Location, read_session};

use crate::world::{NOON_MS, Shop, end, failure, wait_for, wait_until};

const SUMS: &str = "CREATE TABLE ex (a TEXT NOT NULL, n BIGINT, ts TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'ts', lateness = 'never');
    CREATE MATERIALIZED VIEW kn AS SELECT a, sum(n) AS s, count(*) AS c FROM ex GROUP BY a;";
const ROWS: &str = "CREATE TABLE px (a TEXT, n BIGINT, v DECIMAL(18, 2), ts TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'ts', primary_key = 'a')";
const NOON: &str = "2025-05-14T12:00:00Z";

fn send(shop: &Shop, rows: &[(&str, i64)]) {
    for (key, n) in rows {
        let payload = format!(r#"{{"a":"{key}","n":{n},"v":"1.50","novo":"x","ts":"{NOON}"}}"#);
        let message = MemoryMessage::new(payload.as_bytes()).with_key(key.as_bytes());
        shop.broker.append(&shop.topic.kafka_topic, PartitionId(0), message).expect("appended");
    }
}

/// The rows of a table, their first columns alone.
async fn rows(view: &View, table: &str, columns: usize) -> Vec<String> {
    let frame = read_session(1).read_table(Arc::clone(&view.keyed[table].rows)).expect("a table");
    let batches = frame.collect().await.expect("rows");
    let shown = pretty_format_batches(&batches).expect("texts").to_string();
    let lines = shown.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut rows: Vec<String> = lines.map(|line| cells(line)[..columns].join("|")).collect();
    rows.sort();
    rows
}

async fn compared(shop: &Shop, dir: &Path, table: &str) -> MetricComparison {
    let store = Location::folder(dir).expect("a folder");
    let settings = Default::default();
    let compared =
        reconcile_keyed(shop.catalog(), &settings, &store, Selection { only: Some(table), ..Selection::default() });
    compared.await.expect("compared").pop().expect("the table")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_take_rows_in_says_so_to_everybody() {
    let (shop, _) = Shop::at_noon(1);
    let shop = shop.with_topic(SUMS);
    shop.broker.create_topic(&shop.topic.kafka_topic, 1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    // In two commits: neither fails by itself.
    for (read, n) in [(2, i64::MAX), (3, 1)] {
        let before = if n == 1 { &[("y", n)][..] } else { &[("x", 1), ("y", n)] };
        send(&shop, before);
        wait_for(&mut view, "all messages", |seen| seen.read == read).await;
        let done = |view: &View| view.keyed_imports.contains_key("kn") && (n > 1 || view.keyed["kn"].failure.is_some());
        wait_until(&mut view, "the table", done).await;
        if n > 1 {
            // Until its rows are in, or the next would be of the same commit.
            while rows(&view.borrow().clone(), "kn", 3).await.len() < 2 {
                view.changed().await.expect("a view");
            }
        }
    }
    send(&shop, &[("z", 1)]);
    wait_for(&mut view, "the rest goes on", |seen| seen.read == 4).await;
    end(stream).await;
    let shown = view.borrow().clone();
    let reason = shown.keyed["kn"].failure.clone().expect("a reason").reason;
    for part in ["table kn cannot take in", "offset 2 of partition 0", "a = 'y'", "CAST"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    let whole = ["x|1|1".to_owned(), format!("y|{}|1", i64::MAX)];
    assert_eq!(rows(&shown, "kn", 3).await, whole);
    let found = compared(&shop, dir.path(), "kn").await;
    assert!(found.failure.is_some(), "never equal: {found:?}");
    assert_eq!(found.set_aside.map(|(_, reason)| reason), Some(reason.clone()));
    // The next start tries again, and says so from the beginning.
    let (stream, mut view) = shop.start(dir.path());
    wait_until(&mut view, "it fails again", |view| view.keyed.get("kn").is_some_and(|kn| kn.failure.is_some())).await;
    wait_until(&mut view, "ready", |view| view.ready).await;
    end(stream).await;
    assert_eq!(view.borrow().keyed["kn"].failure.clone().expect("a reason").reason, reason);
    // The way on that it names.
    let wide = shop.with_changed_topic(&SUMS.replace("sum(n)", "sum(CAST(n AS DECIMAL(38, 0)))"));
    let (stream, mut view) = wide.start(dir.path());
    let is_whole = |view: &View| view.keyed_imports.contains_key("kn") && view.ready;
    wait_until(&mut view, "its whole history", is_whole).await;
    end(stream).await;
    let shown = view.borrow().clone();
    assert!(shown.keyed["kn"].failure.is_none());
    assert_eq!(rows(&shown, "kn", 3).await, ["x|1|1", "y|9223372036854775808|2", "z|1|1"]);
    let found = compared(&wide, dir.path(), "kn").await;
    assert!(found.failure.is_none() && found.set_aside.is_none() && !found.differs(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_leaves_nothing_behind() {
    let (shop, _) = Shop::at_noon(1);
    let shop = shop.with_topic(ROWS);
    shop.broker.create_topic(&shop.topic.kafka_topic, 1);
    let dir = tempfile::tempdir().expect("a folder");
    let run = async |shop: &Shop, read: u64| {
        let (stream, mut view) = shop.start(dir.path());
        wait_for(&mut view, "all messages", |seen| seen.read == read).await;
        wait_until(&mut view, "the table", |view| view.keyed_imports.contains_key("px")).await;
        end(stream).await;
        view.borrow().clone()
    };
    send(&shop, &[("x", 1)]);
    let shown = run(&shop, 1).await;
    assert_eq!(rows(&shown, "px", 3).await, ["x|1|1.50"]);
    for wrong in ["DECIMAL(18, 4), novo TEXT", "DECIMAL(18, 4)"] {
        let wrong = shop.with_changed_topic(&ROWS.replace("DECIMAL(18, 2)", wrong));
        let (stream, _view) = wrong.start(dir.path());
        let error = failure(stream).await.to_string();
        assert!(error.contains("DECIMAL(18, 2) there and DECIMAL(18, 4) in the catalog"), "{error}");
    }
    // As the error says.
    send(&shop, &[("y", 2)]);
    let fixed = shop.with_changed_topic(&ROWS.replace("DECIMAL(18, 2)", "DECIMAL(18, 2), novo TEXT"));
    let shown = run(&fixed, 2).await;
    assert_eq!(rows(&shown, "px", 4).await, ["x|1|1.50|", "y|2|1.50|x"]);
    let found = compared(&fixed, dir.path(), "px").await;
    assert!(found.failure.is_none() && !found.differs() && found.expected.num_rows() == 2, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_gains_a_column_keeps_the_rows_that_retention_has_deleted() {
    let (shop, clock) = Shop::at_noon(1);
    let shop = shop.with_topic(ROWS);
    shop.broker.create_topic(&shop.topic.kafka_topic, 1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    send(&shop, &[("x", 1), ("y", 2), ("z", 3)]);
    wait_for(&mut view, "all messages", |seen| seen.read == 3).await;
    end(stream).await;
    let store = Location::folder(dir.path()).expect("a folder");
    let plan = KeyedPlan::new(&shop.catalog().keyed[0], &shop.topic, &Default::default()).expect("planned");
    let (plan, now_ms) = ([Arc::new(plan)], NOON_MS + 60_000);
    for cold_ms in [None, Some(now_ms)] {
        keep_balances(&plan, &store).await.expect("kept");
        retain(&shop.topic, &store, Limits { hot_ms: now_ms, cold_ms, now_ms }).await.expect("done");
    }
    clock.set_ms(now_ms);
    let gained = shop.with_changed_topic(&ROWS.replace("ts TIMESTAMP", "novo TEXT, ts TIMESTAMP"));
    send(&gained, &[("w", 4), ("z", 5)]);
    let (stream, mut view) = gained.start(dir.path());
    wait_for(&mut view, "all messages", |seen| seen.read == 5).await;
    end(stream).await;
    let shown = view.borrow().clone();
    assert_eq!(rows(&shown, "px", 4).await, ["w|4|1.50|x", "x|1|1.50|", "y|2|1.50|", "z|5|1.50|x"]);
    assert_eq!(shown.keyed["px"].since_ms, None, "it is whole");
    let found = compared(&gained, dir.path(), "px").await;
    assert!(found.failure.is_none() && !found.differs() && found.expected.num_rows() == 4, "{found:?}");
}
