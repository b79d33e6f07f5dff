//! Reading pauses while too much waits for its commit.

use std::time::Duration;

use vitral_stream::{Limits, StreamConfig};

use super::world::kafka;
use crate::world::{Shop, archived, end, event, wait_for};

/// Each poll that brings a row fills the cycle, many of them at a partition's end: reading goes on
/// exactly there.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_at_a_partitions_end_lose_nothing() {
    const ROUNDS: usize = 40;
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start_with(StreamConfig {
        limits: Limits { uncommitted_bytes: 2, ..Limits::default() },
        commit_interval: Duration::from_millis(20),
        live_refresh: Duration::from_millis(20),
        ..shop.config(dir.path())
    });
    for round in 1..=ROUNDS {
        let events: Vec<_> = (0..3).map(|index| ("u", event(3 * round + index, "p1", "visualizacao"))).collect();
        shop.produce(&events);
        let read = 3 * round as u64;
        let seen = wait_for(&mut view, "all are read", |seen| seen.read >= read).await;
        assert_eq!((seen.read, seen.counted), (read, read));
    }
    end(stream).await;
    assert_eq!(archived(&view).await.len(), 3 * ROUNDS);
}
