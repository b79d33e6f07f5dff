//! How far groups have read, kept on disk.
//!
//! What is committed is on disk within a second, and after an orderly stop: after a crash a group
//! may read the last second again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::BrokerError;

const FILE: &str = "offsets.json";

/// By topic, whose identity tells a log from a later one of the same name, and partition.
type OfGroup = BTreeMap<Uuid, BTreeMap<i32, Committed>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Committed {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Debug)]
pub struct Offsets {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    groups: BTreeMap<String, OfGroup>,
    is_stored: bool,
}

impl Offsets {
    pub fn open(dir: PathBuf) -> Result<Self, BrokerError> {
        let path = dir.join(FILE);
        let groups = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| BrokerError::Offsets { path, error })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(BrokerError::log("read", path)(error)),
        };
        Ok(Self { dir, state: Mutex::new(State { groups, is_stored: true }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn commit(&self, group: &str, topic: Uuid, partition: i32, committed: Committed) {
        let mut state = self.lock();
        state.groups.entry(group.to_owned()).or_default().entry(topic).or_default().insert(partition, committed);
        state.is_stored = false;
    }

    pub fn get(&self, group: &str, topic: Uuid, partition: i32) -> Option<Committed> {
        self.lock().groups.get(group)?.get(&topic)?.get(&partition).cloned()
    }

    /// Of every topic.
    pub fn all(&self, group: &str) -> OfGroup {
        self.lock().groups.get(group).cloned().unwrap_or_default()
    }

    pub fn groups(&self) -> Vec<String> {
        self.lock().groups.keys().cloned().collect()
    }

    pub fn delete(&self, group: &str) -> bool {
        let mut state = self.lock();
        let was_there = state.groups.remove(group).is_some();
        state.is_stored &= !was_there;
        was_there
    }

    pub fn delete_topic(&self, topic: Uuid) {
        let mut state = self.lock();
        for group in state.groups.values_mut() {
            group.remove(&topic);
        }
        state.is_stored = false;
    }

    /// Writes what is new, replacing the whole file.
    pub fn store(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_stored {
            return Ok(());
        }
        let partial = self.dir.join(format!(".{FILE}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec(&state.groups)?)?;
        std::fs::rename(&partial, self.dir.join(FILE))?;
        state.is_stored = true;
        Ok(())
    }
}
