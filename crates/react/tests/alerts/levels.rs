//! Alerts over a view of a table that is kept up to date, as stock is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_connect::memory::MemoryNotifier;
use vitral_react::Alerts;
use vitral_store::alerts::TransitionKind;

use crate::world::{World, run_until};
use crate::{distinct, ids, kinds};

const OUT: &str =
    "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM estoque WHERE n <= 0;";

/// Goes on until this has passed, and is dropped wherever it stands then.
async fn live(mut alerts: Alerts, life: Duration) {
    let lives = async {
        loop {
            alerts.poll().await.expect("nothing is wrong");
            tokio::task::yield_now().await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(life, lives).await;
}

#[tokio::test]
async fn it_is_evaluated_when_the_table_has_changed_and_only_then() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show(&[("a", 0)]);
    world.show_levels(&[("a", 5)]);
    alerts.poll().await.expect("nothing is wrong");
    let reads = world.reads();
    assert!(reads > 0);
    // A commit that concerns another table.
    world.show(&[("a", 1)]);
    world.show_levels_again();
    alerts.poll().await.expect("nothing is wrong");
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.reads(), reads, "its own rows are the same");
    world.show_levels(&[("a", 0)]);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"]);
    assert!(world.reads() > reads);
}

#[tokio::test]
async fn rows_of_an_earlier_process_are_not_news_until_they_are_brought_up_to_date() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show_levels(&[("a", 5)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    world.show_levels(&[("a", 0)]);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    drop(alerts);
    // The table is computed again: at first it is empty.
    let mut alerts = world.alerts(&notifier);
    world.show_earlier_levels(&[]);
    alerts.poll().await.expect("nothing is wrong");
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"]);
    world.show_levels(&[("a", 0)]);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!((kinds(&world, TransitionKind::Fired).await, kinds(&world, TransitionKind::Resolved).await), (1, 0));
}

#[tokio::test]
async fn what_an_import_changes_is_shown_and_nobody_is_told() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show_levels(&[("a", 5)]);
    alerts.poll().await.expect("nothing is wrong");
    // Of the import, b runs out; by a message after it, a.
    world.import_levels(&[("a", 5), ("b", 0)], &[("a", 0), ("b", 0)]);
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(world.states(), ["a disparado 1", "b disparado 1"]);
    assert_eq!(ids(&notifier), ["ruptura/a/3/disparo"]);
}

#[tokio::test]
async fn a_table_that_is_set_aside_resolves_nothing() {
    let world = World::with_levels(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show_levels(&[("a", 0)]);
    alerts.poll().await.expect("nothing is wrong");
    world.show_levels(&[]);
    world.break_levels();
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), [" falha 0", "a disparado 1"]);
    assert!(world.column("conteudo").iter().any(|content| content.contains("niveis lacks rows: overflow")));
}

/// For each of 200 seeds: processes that die at moments that the seed says, while a product runs
/// out and is refilled.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_processes_die_a_product_that_runs_out_is_reported_once_and_so_is_its_refill() {
    const SEEDS: u64 = 200;
    let (began, mut deliveries) = (Instant::now(), 0);
    for seed in 0..SEEDS {
        let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |most: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % most
        };
        let world = World::with_levels(OUT);
        let notifier = Arc::new(MemoryNotifier::new());
        world.show_levels(&[("a", 5), ("b", 3)]);
        world.alerts(&notifier).poll().await.expect("the alert begins");
        for (level, count) in [(0, 1), (7, 2)] {
            world.show_levels(&[("a", level), ("b", 3)]);
            for _ in 0..below(3) {
                live(world.alerts(&notifier), Duration::from_micros(below(20_000))).await;
            }
            let mut last = world.alerts(&notifier);
            run_until(&mut last, || distinct(&notifier) == count).await;
            if below(2) == 0 {
                // This one gets to note what was accepted; others die before that.
                last.poll().await.expect("nothing is wrong");
            }
        }
        let fired_and_resolved =
            (kinds(&world, TransitionKind::Fired).await, kinds(&world, TransitionKind::Resolved).await);
        assert_eq!((fired_and_resolved, distinct(&notifier)), ((1, 1), 2), "seed {seed}");
        deliveries += ids(&notifier).len() as u64;
    }
    println!("{deliveries} deliveries of {} notifications, {:?}", 2 * SEEDS, began.elapsed());
}
