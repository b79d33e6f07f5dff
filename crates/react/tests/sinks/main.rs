//! Sinks from committed rows to their targets, with processes that die in between and targets that
//! are away.

mod imports;
mod kills;
mod postgres;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vitral_connect::{Epoch, Sink};
use vitral_store::sinks::read_sink;

use self::world::{AWAY, FINE, HANGING, SILENT, Target, World, poll, poll_in_vain};

const COPY: &str =
    "CREATE VIEW copia WITH (connector = 'kafka', key = 'p', history = 'all') AS SELECT p, n FROM contagem;";
const FROM_NOW: &str = "CREATE VIEW copia WITH (connector = 'kafka', key = 'p') AS SELECT p, n FROM contagem;";

fn row(key: &str, number: i64) -> String {
    format!(r#"{{"p":"{key}","n":{number}}}"#)
}

#[tokio::test]
async fn what_changes_is_sent_once_and_what_goes_is_taken_away() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1), (Some("b"), 2)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("a", 1), row("b", 2)]);
    world.show(&[(Some("a"), 1), (Some("b"), 3), (Some("c"), 4)]);
    poll(&mut sinks).await;
    poll(&mut sinks).await;
    world.show(&[(Some("b"), 3), (Some("c"), 4)]);
    poll(&mut sinks).await;
    // The same rows in a new commit.
    world.show(&[(Some("c"), 4), (Some("b"), 3)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("b", 3), row("c", 4)]);
    assert_eq!(target.sizes(), [2, 2, 1], "no row is sent that has not changed");
    let health = world.health("copia");
    assert_eq!((health.committed, health.sent, health.rows, health.waiting), (3, 3, 2, None));
}

#[tokio::test]
async fn a_new_sink_starts_now() {
    let world = World::new(FROM_NOW);
    let target = Arc::new(Target::default());
    world.show(&[(Some("a"), 1), (Some("b"), 2)]);
    let mut sinks = world.copying_to(&target);
    poll(&mut sinks).await;
    assert_eq!(target.kept.written().len(), 0);
    drop(sinks);
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1), (Some("b"), 3)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("b", 3)]);
}

#[tokio::test]
async fn a_target_that_is_away_holds_nothing_up_and_catches_up() {
    let sql = format!(
        "{COPY}\nCREATE VIEW outra WITH (connector = 'kafka', key = 'p', history = 'all') AS SELECT p, n FROM contagem;"
    );
    let world = World::new(&sql);
    let (away, other) = (Arc::new(Target::default()), Arc::new(Target::default()));
    let mut sinks = world.sinks(&[("copia", Arc::clone(&away) as _), ("outra", Arc::clone(&other) as _)]);
    world.show(&[(Some("a"), 1)]);
    poll(&mut sinks).await;
    away.mode.store(AWAY, Ordering::SeqCst);
    for number in 2..6 {
        world.show(&[(Some("a"), number)]);
        assert!(poll_in_vain(&mut sinks, "copia").await.contains("away"));
        assert_eq!(other.rows(), [row("a", number)]);
    }
    let health = world.health("copia");
    assert_eq!((health.committed, health.sent, health.failures), (2, 1, 4));
    assert!(health.waiting.is_some() && health.failing.is_some_and(|reason| reason.contains("away")));
    away.mode.store(FINE, Ordering::SeqCst);
    poll(&mut sinks).await;
    poll(&mut sinks).await;
    assert_eq!(away.rows(), [row("a", 5)]);
    assert_eq!(away.sizes(), [1, 1, 1], "what it missed is one epoch after the one that was fixed");
    let health = world.health("copia");
    assert_eq!((health.committed, health.sent, health.waiting, health.failing), (3, 3, None, None));
}

#[tokio::test]
async fn what_a_target_holds_and_does_not_answer_is_waiting() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1)]);
    poll(&mut sinks).await;
    assert_eq!(world.health("copia").waiting, None);
    target.mode.store(HANGING, Ordering::SeqCst);
    world.show(&[(Some("a"), 2)]);
    let is_tried = async {
        while target.epochs_tried() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = sinks.poll() => panic!("it hangs"),
        () = is_tried => {}
    }
    let health = world.health("copia");
    assert!(health.waiting.is_some() && health.committed == 2, "{health:?}");
}

#[tokio::test]
async fn an_epoch_whose_answer_was_lost_is_known_again() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    world.show(&[(Some("a"), 1)]);
    let mut sinks = world.copying_to(&target);
    target.mode.store(SILENT, Ordering::SeqCst);
    assert!(poll_in_vain(&mut sinks, "copia").await.contains("no answer"));
    drop(sinks);
    target.mode.store(FINE, Ordering::SeqCst);
    world.show(&[(Some("a"), 2)]);
    let mut sinks = world.copying_to(&target);
    poll(&mut sinks).await;
    assert_eq!((target.rows(), target.sizes()), (vec![row("a", 2)], vec![1, 1]));
}

#[tokio::test]
async fn rows_without_a_whole_key_are_set_aside_and_the_rest_goes_on() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(None, 7), (Some("a"), 1), (Some("b"), 2), (Some("b"), 3)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("a", 1)]);
    let health = world.health("copia");
    assert_eq!((health.keyless, health.repeated, health.failing), (1, 1, None));
    world.show(&[(Some("a"), 1), (Some("b"), 3)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("a", 1), row("b", 3)]);
    assert_eq!((world.health("copia").keyless, world.health("copia").repeated), (0, 0));
}

#[tokio::test]
async fn rows_that_are_not_known_for_a_while_are_not_gone() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1)]);
    poll(&mut sinks).await;
    world.hide();
    poll(&mut sinks).await;
    assert_eq!(target.sizes(), [1]);
    world.show(&[]);
    poll(&mut sinks).await;
    assert_eq!((target.rows(), target.sizes()), (vec![], vec![1, 1]));
}

#[tokio::test]
async fn a_view_that_fails_is_set_aside_alone() {
    let divides = "CREATE VIEW copia WITH (connector = 'kafka', key = 'p', history = 'all') AS SELECT p, 12 / n AS n FROM contagem;";
    let sql = format!("{divides}\n{}", COPY.replace("copia", "outra"));
    let world = World::new(&sql);
    let (target, other) = (Arc::new(Target::default()), Arc::new(Target::default()));
    let mut sinks = world.sinks(&[("copia", Arc::clone(&target) as _), ("outra", Arc::clone(&other) as _)]);
    world.show(&[(Some("a"), 3)]);
    poll(&mut sinks).await;
    world.show(&[(Some("a"), 0), (Some("b"), 1)]);
    assert!(poll_in_vain(&mut sinks, "copia").await.to_lowercase().contains("divide by zero"));
    assert_eq!((target.rows(), other.rows()), (vec![row("a", 4)], vec![row("a", 0), row("b", 1)]));
    world.show(&[(Some("b"), 1)]);
    poll(&mut sinks).await;
    assert_eq!(target.rows(), [row("b", 12)]);
}

#[tokio::test]
async fn a_column_may_come_and_one_that_goes_stops_the_sink_with_its_place() {
    let mut world = World::new(COPY);
    let target = Arc::new(Target::default());
    world.show(&[(Some("a"), 1), (Some("b"), 2)]);
    poll(&mut world.copying_to(&target)).await;
    world.declare(
        "CREATE VIEW copia WITH (connector = 'kafka', key = 'p') AS SELECT p, n, n * 2 AS dobro FROM contagem;",
    );
    poll(&mut world.copying_to(&target)).await;
    assert_eq!(target.rows(), [r#"{"p":"a","n":1,"dobro":2}"#, r#"{"p":"b","n":2,"dobro":4}"#]);
    world.declare(COPY);
    let mut sinks = world.copying_to(&target);
    let reason = poll_in_vain(&mut sinks, "copia").await;
    assert!(reason.starts_with("a.sql:3:13: sink copia: its column dobro was copied"), "{reason}");
    assert!(reason.contains("another name"), "{reason}");
    world.declare(&COPY.replace("'p'", "'p, n'"));
    let reason = poll_in_vain(&mut world.copying_to(&target), "copia").await;
    assert!(reason.contains("its key was [\"p\"]"), "{reason}");
    assert_eq!(target.sizes(), [2, 2]);
}

#[tokio::test]
async fn a_target_that_was_recreated_gets_all_rows() {
    let world = World::new(FROM_NOW);
    let first = Arc::new(Target::default());
    world.show(&[(Some("a"), 1), (Some("b"), 2)]);
    poll(&mut world.copying_to(&first)).await;
    world.show(&[(Some("a"), 1), (Some("b"), 3)]);
    poll(&mut world.copying_to(&first)).await;
    assert_eq!(first.rows(), [row("b", 3)]);
    let second = Arc::new(Target::default());
    poll(&mut world.copying_to(&second)).await;
    assert_eq!(second.rows(), [row("a", 1), row("b", 3)]);
}

#[tokio::test]
async fn the_numbers_of_a_new_store_go_on_from_the_target_s() {
    let target = Arc::new(Target::default());
    target.kept.write(Epoch(40), &[]).await.expect("of another store");
    for sql in [COPY, FROM_NOW] {
        let world = World::new(sql);
        world.show(&[(Some("a"), 1)]);
        poll(&mut world.copying_to(&target)).await;
        world.show(&[(Some("a"), 2)]);
        let mut sinks = world.copying_to(&target);
        poll(&mut sinks).await;
        assert_eq!(target.rows(), [row("a", 2)]);
    }
    let epochs: Vec<u64> = target.kept.written().keys().map(|epoch| epoch.0).collect();
    assert_eq!(epochs, [40, 41, 42, 43]);
}

#[tokio::test]
async fn what_was_sent_gives_way_to_what_is_there() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    for number in 0..205 {
        world.show(&[(Some("a"), 1), (Some("b"), number)]);
        poll(&mut sinks).await;
    }
    let state = read_sink(&world.store, "copia").await.expect("read").expect("epochs");
    assert_eq!(state.base.map(|base| base.number), Some(200));
    assert_eq!(state.epochs.len(), 5);
    world.show(&[(Some("b"), 204), (Some("c"), 1)]);
    poll(&mut world.copying_to(&target)).await;
    assert_eq!(target.rows(), [row("b", 204), row("c", 1)]);
    assert_eq!(target.sizes().last(), Some(&2));
}

#[tokio::test]
async fn rows_of_a_metric_that_is_set_aside_are_not_deleted_and_the_sink_says_why() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1), (Some("b"), 2)]);
    poll(&mut sinks).await;
    world.break_metric(&[(Some("a"), 1)]);
    let reason = poll_in_vain(&mut sinks, "copia").await;
    assert_eq!(reason, "contagem lacks rows: overflow");
    let health = world.health("copia");
    assert!(health.failing == Some(reason) && health.waiting.is_some(), "{health:?}");
    assert_eq!(target.rows(), [row("a", 1), row("b", 2)]);
    world.show(&[(Some("a"), 1)]);
    poll(&mut sinks).await;
    assert_eq!((target.rows(), world.health("copia").failing), (vec![row("a", 1)], None));
}

#[tokio::test]
async fn a_target_whose_rows_lack_values_gets_all_of_them_again() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut sinks = world.copying_to(&target);
    world.show(&[(Some("a"), 1), (Some("b"), 2), (Some("c"), 3)]);
    poll(&mut sinks).await;
    // It shows when the next epoch is written, which deletes a row, too.
    target.lacks_values.store(true, Ordering::SeqCst);
    world.show(&[(Some("a"), 1), (Some("b"), 5)]);
    poll(&mut sinks).await;
    assert_eq!(target.sizes(), [3, 2]);
    // The process may end before all rows have been sent.
    drop(sinks);
    let mut sinks = world.copying_to(&target);
    poll(&mut sinks).await;
    target.lacks_values.store(false, Ordering::SeqCst);
    assert_eq!((target.rows(), target.sizes()), (vec![row("a", 1), row("b", 5)], vec![3, 2, 2]));
    poll(&mut sinks).await;
    world.show(&[(Some("a"), 1)]);
    poll(&mut sinks).await;
    assert_eq!((target.rows(), target.sizes().last()), (vec![row("a", 1)], Some(&1)));
}
