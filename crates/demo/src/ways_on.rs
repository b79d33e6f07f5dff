//! What to do about what ends a demo.

use std::path::Path;

use vitral_stream::{StreamError, WayOn};

/// The error, with what to do in a demo.
pub fn explained(data_dir: &Path, error: anyhow::Error) -> anyhow::Error {
    with_its_way_on(if_disk_is_full(data_dir, error))
}

/// The demo's broker ends with it: no stream could read past what stops this one.
fn with_its_way_on(error: anyhow::Error) -> anyhow::Error {
    let way_on = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(StreamError::Unreadable { way_on, .. } | StreamError::OffsetsGone { way_on, .. }) => Some(way_on.clone()),
        _ => None,
    });
    match way_on {
        Some(WayOn::Skip(skip)) => {
            error.context(format!("a batch cannot be read; start again with `vitral demo --skip {skip}` to go on without it"))
        }
        Some(WayOn::SkipFrom { .. }) => {
            error.context("messages cannot be read; to go on without them, give the range that is named below to `vitral demo --skip`")
        }
        _ => error,
    }
}

/// The broker's own words for a full disk say nothing; whether there is room is seen by trying.
fn if_disk_is_full(data_dir: &Path, error: anyhow::Error) -> anyhow::Error {
    let probe = data_dir.join(".room");
    let written = std::fs::write(&probe, [0; 1 << 16]);
    // It may never have been made.
    let _ = std::fs::remove_file(&probe);
    match written {
        Err(cause) if cause.kind() == std::io::ErrorKind::StorageFull => error.context(format!(
            "no space is left in {}: free some and start again; nothing that was acknowledged is lost",
            data_dir.display()
        )),
        _ => error,
    }
}
