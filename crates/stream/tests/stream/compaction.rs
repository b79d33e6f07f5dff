//! Files that others merge while a stream has nothing to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_store::{Location, maintenance};
use vitral_stream::StreamConfig;

use crate::world::{PATIENCE, Shop, archived, end, event, wait_for, wait_for_archive};

/// The data files of the topic's archive.
fn files(archive: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(archive).expect("the archive").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_topic_is_read_after_others_have_merged_its_files() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let config = StreamConfig { maintenance_interval: Duration::from_millis(200), ..shop.config(dir.path()) };
    let (stream, mut view) = shop.start_with(config);
    for id in 0..4 {
        shop.produce_to(0, &[event(id, "p1", "clique")]);
        wait_for(&mut view, "it is read", |seen| seen.read > id as u64).await;
        wait_for_archive(&mut view, 0, id as i64 + 1).await;
    }
    let folder = dir.path().join("archive").join(&shop.topic.name);
    let before = files(&folder);
    assert!(before.len() > 1, "{before:?}");
    let shown = |view: &vitral_panes::view::View| Arc::clone(&view.topics[&shop.topic.name].archive);
    let old = shown(&view.borrow());
    let store = Location::folder(dir.path()).expect("a folder");
    maintenance::compact(&store).await.expect("compacted");

    // Without a message the stream takes up the new files before the old ones go.
    let began = Instant::now();
    while Arc::ptr_eq(&old, &shown(&view.borrow_and_update())) {
        assert!(began.elapsed() < PATIENCE, "the old files are still read");
        view.changed().await.expect("a stream that runs");
    }
    let after = files(&folder);
    assert!(after.len() > before.len(), "the merged file is there: {after:?}");
    before.iter().for_each(|file| std::fs::remove_file(file).expect("deleted"));
    assert_eq!(archived(&view).await.len(), 4);
    end(stream).await;
}
