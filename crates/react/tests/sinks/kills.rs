//! Processes that die anywhere, and targets that fail at any time: in the end the target is equal
//! to the view, and no epoch came twice in two forms.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{AWAY, FINE, SILENT, Target, World, poll};
use crate::{COPY, row};

const SEEDS: u64 = 200;
const ROUNDS: usize = 5;
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

async fn lives(seed: u64) {
    let mut chance = Chance(seed);
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    let mut expected = Vec::new();
    for _ in 0..ROUNDS {
        let mut rows: Vec<(&str, i64)> = Vec::new();
        for key in KEYS {
            if chance.below(3) > 0 {
                rows.push((key, i64::try_from(chance.below(4)).expect("small")));
            }
        }
        world.show(&rows.iter().map(|(key, number)| (Some(*key), *number)).collect::<Vec<_>>());
        expected = rows.iter().map(|(key, number)| row(key, *number)).collect();
        target.mode.store([FINE, FINE, AWAY, SILENT][chance.below(4) as usize], Ordering::SeqCst);
        let mut sinks = world.copying_to(&target);
        for _ in 0..=chance.below(2) {
            // The process dies wherever it stands.
            let _ = tokio::time::timeout(Duration::from_micros(chance.below(40_000)), sinks.poll()).await;
        }
    }
    target.mode.store(FINE, Ordering::SeqCst);
    let mut sinks = world.copying_to(&target);
    // What a dead process had begun to write may still come, and is a conflict then.
    let mut attempts = 0;
    while sinks.poll().await.iter().any(|(_, outcome)| outcome.is_err()) {
        attempts += 1;
        assert!(attempts < 10, "seed {seed}: it does not go on");
    }
    assert_eq!(target.rows(), expected, "seed {seed}");
    let sent = target.kept.written().len();
    poll(&mut world.copying_to(&target)).await;
    assert_eq!(target.kept.written().len(), sent, "seed {seed}: nothing is left to be sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_it_dies_the_target_is_equal_to_the_view() {
    let mut running = tokio::task::JoinSet::new();
    for seed in 0..SEEDS {
        running.spawn(lives(seed));
        if running.len() >= 4 {
            running.join_next().await.expect("one runs").expect("it holds");
        }
    }
    running.join_all().await;
}
