//! Who holds a lease: a process, by a name for people and an identity that its data directory
//! keeps.

use std::path::Path;

use uuid::Uuid;

use crate::error::StoreError;

/// Names a data directory, so that its next process takes over at once what the last one held.
const IDENTITY_FILE: &str = "identity";

/// A process that takes a lease.
#[derive(Debug, Clone)]
pub struct Holder {
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
}

impl Holder {
    /// The process that owns a data directory on this host: there is one at a time, which the
    /// directory's lock sees to.
    pub fn of_data_dir(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(IDENTITY_FILE);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let known = std::fs::read_to_string(&path).ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
        let identity = match known {
            Some(identity) => identity,
            None => {
                let identity = Uuid::new_v4();
                std::fs::write(&path, format!("{identity}\n")).map_err(failed)?;
                identity
            }
        };
        // A copy of the directory on another host is another holder.
        Ok(Self { id: format!("{identity}@{}", host()), name: format!("{}, {}", process(), dir.display()) })
    }

    /// This process.
    pub fn of_process() -> Self {
        Self { id: Uuid::new_v4().to_string(), name: process() }
    }
}

fn process() -> String {
    format!("process {} on {}", std::process::id(), host())
}

fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this host".to_owned())
}
