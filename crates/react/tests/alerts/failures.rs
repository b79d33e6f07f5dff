//! Queries that fail for a while, and tables of alerts that cannot be written for a while.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use vitral_connect::memory::MemoryNotifier;
use vitral_react::Alerts;
use vitral_store::{History, Layout};

use crate::world::{World, run_until};
use crate::{RUPTURE, ids};

const OUT: &str =
    "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM estoque WHERE n <= 0;";

/// While it is held, what was delivered cannot be noted.
struct Blocked {
    table: PathBuf,
    away: PathBuf,
}

impl Blocked {
    /// There is a file where the table's folder was.
    fn deliveries(world: &World) -> Self {
        let (table, away) = (world.dir.path().join("alertas_entregas"), world.dir.path().join("away"));
        std::fs::rename(&table, &away).expect("the table is there");
        std::fs::write(&table, "").expect("a file in its place");
        Self { table, away }
    }

    fn end(self) {
        std::fs::remove_file(&self.table).expect("the file is there");
        std::fs::rename(&self.away, &self.table).expect("the table is back");
    }
}

async fn poll_until_it_fails(alerts: &mut Alerts) {
    let began = Instant::now();
    while alerts.poll().await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not fail");
        tokio::task::yield_now().await;
    }
}

/// Commits an import without rows.
async fn import(world: &World) {
    let topic = &world.catalog.topics[0];
    let mut history = History::open(topic, &Layout::of(&world.store).history(topic)).await.expect("a history");
    let schema = topic.history_schema();
    let all_but_the_first: Vec<usize> = (1..schema.fields().len()).collect();
    let schema = schema.project(&all_but_the_first).expect("columns");
    history.append(&RecordBatch::new_empty(Arc::new(schema))).await.expect("imported");
}

#[tokio::test]
async fn an_alert_that_has_failed_is_tried_again_on_the_same_rows() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show_levels(&[("a", 5)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    world.are_levels_broken.store(true, Ordering::SeqCst);
    world.show_levels(&[("a", 0)]);
    alerts.poll().await.expect("an alert fails alone");
    assert_eq!(world.states(), [" falha 0"]);
    world.are_levels_broken.store(false, Ordering::SeqCst);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), [" falha 0"], "not at once");
    world.set_now_ms(1_000 + 10_000);
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/a/4/disparo"]);
}

#[tokio::test]
async fn what_was_accepted_and_could_not_be_noted_is_not_delivered_again() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    let blocked = Blocked::deliveries(&world);
    world.show(&[("a", 0)]);
    poll_until_it_fails(&mut alerts).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"]);
    alerts.poll().await.expect_err("the table is still away");
    blocked.end();
    run_until(&mut alerts, || world.column("notificacao") == ["entregue"]).await;
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(ids(&notifier).len(), 1, "{:?}", ids(&notifier));
}

#[tokio::test]
async fn an_import_that_comes_while_nothing_can_be_written_is_not_news() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show_levels(&[("a", 5)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    let blocked = Blocked::deliveries(&world);
    world.show_levels(&[("a", 0)]);
    poll_until_it_fails(&mut alerts).await;
    import(&world).await;
    let levels = [("a", 0), ("b", 0)];
    world.import_levels(&levels, &levels);
    blocked.end();
    run_until(&mut alerts, || world.states() == ["a disparado 1", "b disparado 1"]).await;
    // What comes afterwards is news again.
    world.show_levels(&[("a", 0), ("b", 0), ("c", 0)]);
    run_until(&mut alerts, || ids(&notifier).len() > 1).await;
    let keys: Vec<String> = notifier.delivered().into_iter().map(|delivered| delivered.key).collect();
    assert_eq!(keys, ["a", "c"]);
}
