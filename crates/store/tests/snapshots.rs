//! Snapshot files: what is read is what was written, and whatever is damaged is an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use vitral_store::snapshot::Block;
use vitral_store::{Location, Snapshots, StoreError};

fn snapshots(dir: &Path) -> Snapshots {
    Snapshots::new(Location::folder(dir).expect("a location"))
}

fn batch(rows: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..rows).map(|row| (row % 7 > 0).then_some(row))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("texto {row}"))));
    RecordBatch::try_from_iter([("numero", numbers), ("texto", texts)]).expect("a batch")
}

#[tokio::test]
async fn what_was_written_is_read_and_what_is_old_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let snapshots = snapshots(dir.path());
    assert_eq!(snapshots.newest::<String>().await.expect("nothing yet"), None);
    assert_eq!(snapshots.last_number().await.expect("nothing yet"), 0);
    // More rows than are encoded at once, none, and a slice.
    let batches = [batch(100_000), batch(0), batch(10).slice(3, 4)];
    let blocks = snapshots.write_segment(1, &batches).await.expect("written");
    for (batch, block) in batches.iter().zip(&blocks) {
        assert_eq!(snapshots.read(block).await.expect("read"), *batch);
    }
    snapshots.write_manifest(1, &"first").await.expect("written");
    snapshots.write_segment(2, &[batch(1)]).await.expect("written");
    snapshots.write_segment(3, &[batch(2)]).await.expect("written");
    snapshots.write_manifest(3, &"second").await.expect("written");
    assert_eq!(snapshots.newest::<String>().await.expect("read"), Some((3, "second".to_owned())));
    snapshots.write_segment(4, &[batch(3)]).await.expect("written");
    snapshots.keep_only(3, &[1]).await.expect("deleted");
    assert_eq!(names(dir.path()), ["manifest-00000003.json", "segment-00000001.bin", "segment-00000004.bin"]);
    assert_eq!(snapshots.last_number().await.expect("listed"), 4);
}

#[tokio::test]
async fn what_another_process_wrote_meanwhile_is_left() {
    let dir = tempfile::tempdir().expect("a folder");
    let before = snapshots(dir.path());
    before.write_segment(1, &[batch(1)]).await.expect("written");
    let (one, other) = (snapshots(dir.path()), snapshots(dir.path()));
    for process in [&one, &other] {
        assert_eq!(process.last_number().await.expect("listed"), 1);
    }
    other.write_segment(2, &[batch(2)]).await.expect("written");
    other.write_manifest(2, &"the other's").await.expect("written");
    one.write_manifest(3, &"its own").await.expect("written");
    one.keep_only(3, &[]).await.expect("deleted");
    assert_eq!(names(dir.path()), ["manifest-00000002.json", "manifest-00000003.json", "segment-00000002.bin"]);
}

#[tokio::test]
async fn every_truncation_and_flipped_bit_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let snapshots = snapshots(dir.path());
    let blocks = snapshots.write_segment(1, &[batch(20)]).await.expect("written");
    snapshots.write_manifest(1, &blocks).await.expect("written");
    let [segment, manifest] = ["segment-00000001.bin", "manifest-00000001.json"].map(|name| dir.path().join(name));
    for (path, step) in [(segment, 7), (manifest, 1)] {
        let whole = std::fs::read(&path).expect("the file");
        // The head of a segment says what it is, to people; its blocks are checked.
        let first = if path.ends_with("segment-00000001.bin") { blocks[0].offset as usize } else { 0 };
        for place in (first..whole.len()).step_by(step) {
            std::fs::write(&path, &whole[..place]).expect("cut");
            assert!(is_damaged(&snapshots, &blocks[0]).await, "{} cut at {place}", path.display());
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            std::fs::write(&path, &flipped).expect("flipped");
            assert!(is_damaged(&snapshots, &blocks[0]).await, "{} flipped at {place}", path.display());
        }
        std::fs::write(&path, &whole).expect("restored");
        assert!(!is_damaged(&snapshots, &blocks[0]).await);
    }
}

async fn is_damaged(snapshots: &Snapshots, block: &Block) -> bool {
    let manifest = snapshots.newest::<Vec<Block>>().await;
    let rows = snapshots.read(block).await;
    assert!(
        manifest.is_err()
            || manifest
                .as_ref()
                .is_ok_and(|found| found.as_ref().is_some_and(|(_, blocks)| blocks == std::slice::from_ref(block)))
    );
    let known = |error: &StoreError| matches!(error, StoreError::Damaged { .. } | StoreError::Object { .. });
    assert!(
        manifest.as_ref().err().is_none_or(known) && rows.as_ref().err().is_none_or(known),
        "{manifest:?} {rows:?}"
    );
    manifest.is_err() || rows.is_err()
}

/// The files under `golden` were written by version 1 of the format: this binary must read them, or
/// the version must change.
#[tokio::test]
async fn files_of_this_version_stay_readable() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshot-1");
    if std::env::var_os("VITRAL_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(&golden).expect("the folder");
        let blocks = snapshots(&golden).write_segment(1, &[batch(9), batch(3)]).await.expect("written");
        snapshots(&golden).write_manifest(1, &blocks).await.expect("written");
    }
    let snapshots = snapshots(&golden);
    let (number, blocks) = snapshots.newest::<Vec<Block>>().await.expect("read").expect("a manifest");
    assert_eq!((number, blocks.len()), (1, 2));
    for (block, rows) in blocks.iter().zip([9, 3]) {
        assert_eq!(snapshots.read(block).await.expect("read"), batch(rows));
    }
}

fn names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).expect("the folder");
    let mut names: Vec<String> =
        files.map(|file| file.expect("a file").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}
