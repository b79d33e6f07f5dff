//! One writer of each role on a data directory.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::StoreError;

/// Held as long as the process writes; the operating system releases it when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Locks `dir`, which is created if missing, for the role (`stream`). Fails if another process
    /// holds it.
    pub fn acquire(dir: &Path, role: &str) -> Result<Self, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
        let path = dir.join(format!("{role}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned(), role: role.to_owned() }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_is_refused_and_the_role_is_free_afterwards() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = DataDirLock::acquire(dir.path(), "stream").expect("free");
        assert!(matches!(DataDirLock::acquire(dir.path(), "stream"), Err(StoreError::Locked { .. })));
        DataDirLock::acquire(dir.path(), "batch").expect("another role");
        drop(first);
        DataDirLock::acquire(dir.path(), "stream").expect("free again");
    }
}
