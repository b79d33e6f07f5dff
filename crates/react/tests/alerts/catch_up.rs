//! New alerts alongside a stream that reads a backlog.

use std::sync::Arc;

use vitral_catalog::WATERMARK_ALERT;
use vitral_connect::memory::MemoryNotifier;
use vitral_store::alerts::{Transition, TransitionKind, read_alerts};

use crate::world::{World, run_until};
use crate::{RUPTURE, ids};

const OUT: &str =
    "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM estoque WHERE n <= 0;";

async fn poll(world: &World, notifier: &Arc<MemoryNotifier>, shown: &[&[(&str, i64)]]) -> vitral_react::Alerts {
    let mut alerts = world.alerts(notifier);
    for rows in shown {
        world.show(rows);
        alerts.poll().await.expect("nothing is wrong");
    }
    alerts
}

#[tokio::test]
async fn a_backlog_that_was_there_before_a_new_alert_is_not_news() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    world.read_through(0, 30);
    let mut alerts = poll(&world, &notifier, &[&[], &[("a", 0)]]).await;
    world.read_through(29, 30);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(kinds_made(&world, TransitionKind::Began).await, 0, "it has not begun");
    world.show(&[("a", 0), ("b", 0)]);
    world.read_through(30, 30);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1", "b disparado 1"]);
    // What comes since is news, however much of it is still to be read.
    world.read_through(30, 90);
    world.show(&[("a", 0), ("b", 0), ("c", 0)]);
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/c/4/disparo"]);
}

#[tokio::test]
async fn an_alert_that_has_begun_is_evaluated_while_a_later_start_catches_up() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    drop(poll(&world, &notifier, &[&[]]).await);
    world.read_through(0, 30);
    let mut alerts = poll(&world, &notifier, &[&[("a", 0)]]).await;
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"]);
}

#[tokio::test]
async fn a_table_that_lags_behind_its_topic_is_waited_for() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.read_through(30, 30);
    world.show_levels(&[]);
    world.take_in_levels_through(29);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(kinds_made(&world, TransitionKind::Began).await, 0);
    world.show_levels(&[("a", 0)]);
    world.take_in_levels_through(30);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"]);
    let (made, _) = read_alerts(&world.store).await.expect("read").expect("tables");
    let began = of_catalog(&made).next().expect("a transition");
    assert!(began.versions.contains(r#""deslocamentos":[30]"#), "{}", began.versions);
    world.show_levels(&[("a", 0), ("b", -1)]);
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/b/3/disparo"]);
}

#[tokio::test]
async fn a_topic_whose_broker_is_away_holds_up_those_alone_that_read_it() {
    let other = "CREATE VIEW sem_topico WITH (alert = 'p', notify = 'operacao') AS SELECT 'x' AS p, 1 AS n;";
    let world = World::new(&format!("{RUPTURE}\n{other}"));
    let notifier = Arc::new(MemoryNotifier::new());
    world.wait_for_broker();
    let mut alerts = poll(&world, &notifier, &[&[("a", 0)]]).await;
    assert_eq!(world.states(), ["x disparado 1"]);
    world.read_through(0, 0);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1", "x disparado 1"]);
    assert_eq!(kinds_made(&world, TransitionKind::Began).await, 2);
    assert!(ids(&notifier).is_empty(), "both were there before their alerts");
}

/// Those of the engine's own alert left out, which waits for no topic.
fn of_catalog(made: &[Transition]) -> impl Iterator<Item = &Transition> {
    made.iter().filter(|made| made.alert != WATERMARK_ALERT)
}

/// None before the first.
async fn kinds_made(world: &World, kind: TransitionKind) -> usize {
    let made = read_alerts(&world.store).await.expect("read");
    made.map_or(0, |(made, _)| of_catalog(&made).filter(|made| made.kind == kind).count())
}
