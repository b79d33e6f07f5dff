//! What a commit costs that changes the input of 50 of 1,000 alerts over 20 views: they are
//! evaluated within a second, each time.
//!
//! `cargo bench --profile dist --bench alerts`: the second is meant for what is shipped.
//! `--profile dev` is for a quick look. Fails where the slowest evaluation takes longer.

#![expect(clippy::print_stdout, reason = "a bench answers there")]

#[path = "../tests/alerts/counted.rs"]
mod counted;
#[path = "../tests/alerts/world.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_connect::memory::MemoryNotifier;

use self::world::{World, many_alerts};

const ROUNDS: i64 = 20;
const LONGEST: Duration = Duration::from_secs(1);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::with_metrics(&many_alerts(), 20);
        let notifier = Arc::new(MemoryNotifier::new());
        let mut alerts = world.alerts(&notifier);
        world.show(&[("a", -1)]);
        let began = Instant::now();
        alerts.poll().await.expect("nothing is wrong");
        println!("all 1,000, for the first time: {:?}", began.elapsed());
        let mut took = Vec::new();
        for round in 0..ROUNDS {
            // One of the 50 fires, another is resolved.
            world.show_in(3, &[("a", 3 + 20 * round)]);
            let began = Instant::now();
            alerts.poll().await.expect("nothing is wrong");
            took.push(began.elapsed());
        }
        took.sort();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "50 that changed, evaluated and committed: median {median:?}, longest {longest:?}, of {ROUNDS} rounds"
        );
        assert!(longest < LONGEST, "the slowest takes {longest:?}, and may take {LONGEST:?}");
    });
}
