//! The broker's small file of names: which topics there are, under which identity, and which
//! producer ids were given out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::BrokerError;

const FILE: &str = "topics.json";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    pub cluster_id: Uuid,
    /// Ids below it may be in use.
    pub next_producer_id: i64,
    pub topics: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Stays while the topic does: readers know by it whether offsets are of the same log.
    pub id: Uuid,
    pub partitions: i32,
}

impl Manifest {
    /// What the folder holds; a new one if it holds nothing.
    pub fn load(dir: &Path) -> Result<Self, BrokerError> {
        let path = dir.join(FILE);
        let refused = |reason: String| BrokerError::Manifest { path: path.clone(), reason };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
                if manifest.version != VERSION {
                    return Err(refused(format!("it is of version {}, not {VERSION}", manifest.version)));
                }
                Ok(manifest)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Logs whose names are lost are not deleted.
                if !log_dirs(dir).map_err(BrokerError::log("read", dir))?.is_empty() {
                    return Err(refused("it is not there".to_owned()));
                }
                let topics = BTreeMap::new();
                let manifest = Self { version: VERSION, cluster_id: Uuid::new_v4(), next_producer_id: 0, topics };
                manifest.store(dir).map_err(BrokerError::log("written", dir))?;
                Ok(manifest)
            }
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// Replaces the whole file.
    pub fn store(&self, dir: &Path) -> io::Result<()> {
        let partial = dir.join(format!(".{FILE}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&partial, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}

/// The folders of topics, those that were deleted included.
pub fn log_dirs(dir: &Path) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| Uuid::parse_str(name).ok());
        if let Some(id) = id.filter(|_| path.is_dir()) {
            found.push((id, path));
        }
    }
    Ok(found)
}
