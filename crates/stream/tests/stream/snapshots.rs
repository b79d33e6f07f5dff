//! Snapshots spare a rebuild, and whatever is wrong with them costs one, never a number.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::registry::Registry;
use vitral_stream::{Limits, StreamConfig, StreamTelemetry};

use crate::world::{Shop, all_rows, archived, end, event, key, wait_for};

const EVENTS: usize = 4_000;

/// One start that ends at once: how many of the archive's rows it had to fold.
async fn recovered_rows(shop: &Shop, dir: &Path) -> i64 {
    let telemetry = StreamTelemetry::register(&mut Registry::default());
    let (stream, mut view) = shop.start_observed(shop.config(dir), telemetry.clone());
    wait_for(&mut view, "the same numbers", |seen| seen.read == 2 * EVENTS as u64).await;
    let rows = telemetry.gauges.recovered_rows.get_or_create(&label(shop)).get();
    end(stream).await;
    rows
}

fn label(shop: &Shop) -> vitral_stream::TopicLabel {
    vitral_stream::TopicLabel { topic: shop.topic.name.clone() }
}

fn files(shop: &Shop, dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("snapshots").join(&shop.topic.name)).expect("snapshots");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_a_snapshot_or_rebuilds() {
    let shop = Shop::new(4);
    let dir = tempfile::tempdir().expect("a folder");
    // A snapshot with each commit: runs and ids of several of them.
    let often = StreamConfig { snapshot: Some(Duration::ZERO), batch_rows: 500, ..shop.config(dir.path()) };
    let (stream, mut view) = shop.start_with(often);
    let events: Vec<(String, Vec<u8>)> =
        (0..EVENTS).map(|id| (key(id), event(id, &format!("p{}", id % 9), "compra"))).collect();
    for chunk in events.chunks(EVENTS / 4) {
        shop.produce(chunk);
        wait_for(&mut view, "some", |seen| seen.read > 0 && seen.read % (EVENTS as u64 / 4) == 0).await;
    }
    wait_for(&mut view, "all", |seen| seen.read == EVENTS as u64).await;
    // All once more: known ids are part of the state.
    shop.produce(&events);
    let seen = wait_for(&mut view, "duplicates", |seen| seen.read == 2 * EVENTS as u64).await;
    assert_eq!((seen.counted, seen.duplicate), (EVENTS as u64, EVENTS as u64));
    end(stream).await;
    let expected = all_rows(&view).await;

    assert_eq!(recovered_rows(&shop, dir.path()).await, 0, "the stop wrote everything down");
    // Each file damaged in turn: cut, and with a flipped bit.
    for index in 0..files(&shop, dir.path()).len() {
        for damage in ["cut", "flipped", "missing"] {
            let files = files(&shop, dir.path());
            let Some(file) = files.get(index) else { continue };
            let mut bytes = std::fs::read(file).expect("the file");
            match damage {
                "cut" => bytes.truncate(bytes.len() / 2),
                "flipped" => {
                    let place = bytes.len() * 2 / 3;
                    bytes[place] ^= 4;
                }
                _ => {}
            }
            std::fs::write(file, &bytes).expect("damaged");
            if damage == "missing" {
                std::fs::remove_file(file).expect("removed");
            }
            let rows = recovered_rows(&shop, dir.path()).await;
            assert_eq!(rows, EVENTS as i64, "{} {damage}", file.display());
        }
    }
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same numbers", |seen| seen.read == 2 * EVENTS as u64).await;
    assert_eq!((seen.counted, seen.duplicate), (EVENTS as u64, EVENTS as u64));
    shop.produce(&events[..100]);
    let seen = wait_for(&mut view, "known ids", |seen| seen.read == 2 * EVENTS as u64 + 100).await;
    assert_eq!(seen.duplicate, EVENTS as u64 + 100);
    end(stream).await;
    assert_eq!(all_rows(&view).await, expected);
    assert_eq!(archived(&view).await.len(), 2 * EVENTS + 100);
}

/// An archive that was deleted, and what took its place, have the same offsets: a snapshot of the
/// one is not one of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_deleted_archive_is_not_taken() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let events: Vec<Vec<u8>> = (0..2 * EVENTS).map(|id| event(id, "p1", "clique")).collect();
    shop.produce_to(0, &events);
    wait_for(&mut view, "all", |seen| seen.read == 2 * EVENTS as u64).await;
    end(stream).await;
    assert_eq!(recovered_rows(&shop, dir.path()).await, 0, "the stop wrote everything down");

    let (snapshots, aside) = (dir.path().join("snapshots"), dir.path().join("aside"));
    std::fs::rename(&snapshots, &aside).expect("put aside");
    std::fs::remove_dir_all(dir.path().join("archive")).expect("deleted");
    std::fs::remove_dir_all(dir.path().join("metrics")).expect("deleted");
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "all once more", |seen| seen.read == 2 * EVENTS as u64).await;
    end(stream).await;
    std::fs::remove_dir_all(&snapshots).expect("deleted");
    std::fs::rename(&aside, &snapshots).expect("put back");
    assert_eq!(recovered_rows(&shop, dir.path()).await, 2 * EVENTS as i64, "the archive is folded");
}

/// An id that is forgotten would count twice: at the cap the stream stops, saying what to do.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_ids_stop_the_stream() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let config = StreamConfig {
        limits: Limits { deduplication_bytes_max: 1_000 * 25, ..Limits::default() },
        batch_rows: 100,
        ..shop.config(dir.path())
    };
    let (stream, _view) = shop.start_with(config);
    let events: Vec<(String, Vec<u8>)> = (0..2_000).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    shop.produce(&events);
    let error = crate::world::failure(stream).await.to_string();
    assert!(error.contains("event ids") && error.contains("stream.deduplication_bytes_max"), "{error}");
    // With room for them nothing is lost and nothing counts twice.
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "all", |seen| seen.read == 2_000).await;
    assert_eq!(seen.counted, 2_000);
    end(stream).await;
    assert_eq!(archived(&view).await.len(), 2_000);
}
