//! A lease on a folder: a lock of the operating system.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Held, Kind, Lease, POLL_EVERY, leased, warn_once};
use crate::error::StoreError;
use crate::location::Location;

pub(super) async fn take_in_folder(
    folder: &Path,
    store: &Location,
    purpose: &'static str,
    held: &Held,
    patience: Duration,
) -> Result<Lease, StoreError> {
    let path = folder.join(format!("{purpose}.lock"));
    let failed = |source| StoreError::Io { path: path.clone(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    let (began, mut warned) = (Instant::now(), false);
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let by = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Held>(&text).ok());
                let error = leased(purpose, store, by.as_ref());
                if began.elapsed() >= patience {
                    return Err(error);
                }
                warn_once(&mut warned, &error);
                tokio::time::sleep(POLL_EVERY.min(patience)).await;
            }
        }
    }
    let text = serde_json::to_string(held).unwrap_or_default();
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
    Ok(Lease(Kind::Folder { _file: file }))
}
