//! Files of snapshots: what was altered is an error, and what fits its checksum is read or refused,
//! but never a crash.

use std::path::Path;

use arrow::array::RecordBatch;
use vitral_store::snapshot::Block;
use vitral_store::{Location, Snapshots, StoreError};

use crate::wait;

const MANIFEST: &str = "manifest-00000001.json";
const SEGMENT: &str = "segment-00000001.bin";
const HEAD: &str = "vitral snapshot 1 ";
/// Blocks of one manifest that are read.
const BLOCKS: usize = 4;

pub fn check(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let snapshots = Snapshots::new(Location::folder(dir.path()).expect("a folder"));
    write(dir.path(), SEGMENT, data);

    // As a manifest, as it is and with its head.
    write(dir.path(), MANIFEST, data);
    if let Ok(Some(_)) = wait(snapshots.newest::<serde_json::Value>()) {
        assert!(is_whole(data), "an altered manifest is believed");
    }
    let whole = [format!("{HEAD}{:08x}\n", crc32fast::hash(data)).as_bytes(), data, b"\n"].concat();
    write(dir.path(), MANIFEST, &whole);
    if let Ok(Some((_, blocks))) = wait(snapshots.newest::<Vec<Block>>()) {
        for block in blocks.iter().take(BLOCKS) {
            let _ = refused_or_read(wait(snapshots.read(block)));
        }
    }

    // As a block, with the right checksum and with a byte altered.
    let block = |rows| Block { segment: 1, offset: 0, bytes: data.len() as u64, rows, crc32: crc32fast::hash(data) };
    for rows in [0, 3, 9] {
        if let Some(batch) = refused_or_read(wait(snapshots.read(&block(rows)))) {
            assert_eq!(batch.num_rows() as u64, rows);
        }
    }
    if let Some(middle) = data.len().checked_sub(1).map(|last| last / 2) {
        let mut altered = data.to_vec();
        altered[middle] ^= 1;
        write(dir.path(), SEGMENT, &altered);
        assert!(wait(snapshots.read(&block(3))).is_err(), "an altered block is believed");
    }
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).expect("written");
}

fn refused_or_read(found: Result<RecordBatch, StoreError>) -> Option<RecordBatch> {
    match found {
        Ok(batch) => Some(batch),
        Err(StoreError::Damaged { .. } | StoreError::Object { .. }) => None,
        Err(error) => panic!("a damaged snapshot is another error: {error}"),
    }
}

/// Whether a manifest has the checksum that it names.
fn is_whole(data: &[u8]) -> bool {
    let parts = || {
        let (crc32, body) = data.strip_prefix(HEAD.as_bytes())?.split_at_checked(8)?;
        let body = body.strip_prefix(b"\n")?.strip_suffix(b"\n")?;
        Some(format!("{:08x}", crc32fast::hash(body)).as_bytes() == crc32)
    };
    parts().unwrap_or_default()
}
