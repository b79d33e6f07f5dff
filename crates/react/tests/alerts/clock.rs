//! Alerts and reports that read the clock.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use vitral_connect::memory::MemoryNotifier;

use crate::ids;
use crate::world::{World, run_until};

const HOUR_MS: i64 = 3_600_000;

/// An import brings no rows that matter; the alert reads its table all the same.
#[tokio::test]
async fn what_the_clock_brings_is_news_though_an_import_comes_at_the_same_moment() {
    let world = World::new(
        "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS
        SELECT c.p AS p, c.n AS n FROM contagem AS c CROSS JOIN (SELECT count(*) AS linhas FROM eventos) AS e
        WHERE c.n <= 0 AND e.linhas >= 0 AND date_part('epoch', now()) >= 8;",
    );
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[("a", 0)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    assert!(world.states().is_empty(), "{:?}", world.states());
    // Sooner than the clock would be looked at without an import.
    world.set_now_ms(8_000);
    let topic = &world.catalog.topics[0];
    let imported: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(topic.history_schema()));
    world.histories.send_replace(Arc::new([(topic.name.clone(), imported)].into()));
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"]);
}

#[tokio::test]
async fn a_report_that_was_missed_is_of_its_own_time() {
    let world = World::new(
        "CREATE VIEW diario WITH (report = '08:00', notify = 'operacao') AS
        SELECT p, CAST(date_part('epoch', now()) AS BIGINT) AS agora FROM contagem;",
    );
    let notifier = Arc::new(MemoryNotifier::new());
    let at_eight_ms = 20_000 * 24 * HOUR_MS + 11 * HOUR_MS;
    world.set_now_ms(at_eight_ms - HOUR_MS);
    world.show(&[("a", 2)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    drop(alerts);
    // From seven to six on the next day nothing runs.
    world.set_now_ms(at_eight_ms + 22 * HOUR_MS);
    let mut alerts = world.alerts(&notifier);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    world.set_now_ms(at_eight_ms + 24 * HOUR_MS);
    run_until(&mut alerts, || ids(&notifier).len() == 2).await;
    let texts: Vec<String> = notifier.delivered().into_iter().map(|delivered| delivered.text).collect();
    let expected = [at_eight_ms, at_eight_ms + 24 * HOUR_MS].map(|of_ms| format!("p: a · agora: {}", of_ms / 1_000));
    assert_eq!(texts, expected);
}
