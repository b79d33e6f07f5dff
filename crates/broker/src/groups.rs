//! Consumer groups: who reads which partitions together, and how far each group has read.
//!
//! The classic protocol: members join, the leader among them assigns, all heartbeat. Members live
//! in memory, since clients join again after a restart; committed offsets are kept on disk.

mod group;
mod offsets;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::error::BrokerError;

pub use group::{Group, Join, Joined};
pub use offsets::{Committed, Offsets};

/// How often silent members are removed, and offsets are written.
pub const INTERVAL: Duration = Duration::from_secs(1);
const GROUPS: usize = 1000;

pub struct Groups {
    groups: Mutex<BTreeMap<String, Group>>,
    pub offsets: Offsets,
    /// Changes with every group.
    changed: watch::Sender<()>,
}

impl Groups {
    pub fn open(dir: PathBuf) -> Result<Self, BrokerError> {
        Ok(Self { groups: Mutex::default(), offsets: Offsets::open(dir)?, changed: watch::Sender::new(()) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        // A panic elsewhere leaves a group between two steps, from which its members' next requests
        // recover.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of `act` on a group that exists.
    pub fn with<T>(&self, name: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let acted = self.lock().get_mut(name).map(act);
        self.changed.send_replace(());
        acted
    }

    /// Joins, and waits for the others: with a new generation, or with the one that goes on.
    pub async fn join(&self, name: &str, join: Join) -> Result<Joined, (ResponseError, String)> {
        let mut changed = self.changed.subscribe();
        let (member, before) = {
            let mut groups = self.lock();
            if !groups.contains_key(name) && groups.len() >= GROUPS {
                groups.retain(|_, group| !group.is_empty());
                if groups.len() >= GROUPS {
                    return Err((ResponseError::GroupMaxSizeReached, String::new()));
                }
            }
            let group = groups.entry(name.to_owned()).or_default();
            let member = group.join(join, Instant::now())?;
            if let Some(joined) = group.joined(&member, None) {
                drop(groups);
                self.changed.send_replace(());
                return Ok(joined);
            }
            (member, group.generation())
        };
        self.changed.send_replace(());
        loop {
            let deadline = {
                let mut groups = self.lock();
                let unknown = || (ResponseError::UnknownMemberId, member.clone());
                let group = groups.get_mut(name).ok_or_else(unknown)?;
                if group.complete(Instant::now()) {
                    self.changed.send_replace(());
                }
                if !group.has(&member) {
                    return Err(unknown());
                }
                if let Some(joined) = group.joined(&member, Some(before)) {
                    return Ok(joined);
                }
                group.round_end().unwrap_or_else(|| Instant::now() + INTERVAL)
            };
            // Either is a reason to check again.
            let _ = timeout_at(deadline, changed.changed()).await;
        }
    }

    /// Waits for what the leader assigns.
    pub async fn sync(
        &self,
        name: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        assignments: Vec<(String, bytes::Bytes)>,
    ) -> Result<(bytes::Bytes, String, String), ResponseError> {
        let mut changed = self.changed.subscribe();
        let mut assignments = Some(assignments);
        loop {
            {
                let mut groups = self.lock();
                let group = groups.get_mut(name).ok_or(ResponseError::UnknownMemberId)?;
                group.seen(member, instance, generation, Instant::now())?;
                if let Some(assignments) = assignments.take() {
                    group.assign(member, assignments);
                    self.changed.send_replace(());
                }
                if let Some(assigned) = group.assigned(member)? {
                    return Ok(assigned);
                }
            }
            // Either is a reason to check again.
            let _ = timeout_at(Instant::now() + INTERVAL, changed.changed()).await;
        }
    }

    /// Names and states.
    pub fn list(&self) -> Vec<(String, &'static str, String)> {
        let mut listed: BTreeMap<String, (&'static str, String)> =
            self.offsets.groups().into_iter().map(|name| (name, ("Empty", group::CONSUMER.to_owned()))).collect();
        let groups = self.lock();
        listed.extend(
            groups.iter().map(|(name, group)| (name.clone(), (group.state(), group.protocol_type().to_owned()))),
        );
        listed.into_iter().map(|(name, (state, protocol_type))| (name, state, protocol_type)).collect()
    }

    /// Removes a group without members, and its offsets.
    pub fn delete(&self, name: &str) -> Result<(), ResponseError> {
        let mut groups = self.lock();
        if groups.get(name).is_some_and(|group| !group.is_empty()) {
            return Err(ResponseError::NonEmptyGroup);
        }
        let was_there = groups.remove(name).is_some();
        if self.offsets.delete(name) || was_there { Ok(()) } else { Err(ResponseError::GroupIdNotFound) }
    }

    /// Once every `INTERVAL`.
    pub fn maintain(&self) {
        let now = Instant::now();
        let mut groups = self.lock();
        let changed =
            groups.values_mut().fold(false, |changed, group| group.expire(now) | group.complete(now) | changed);
        drop(groups);
        if changed {
            self.changed.send_replace(());
        }
        if let Err(error) = self.store() {
            tracing::warn!(%error, "the offsets of consumer groups cannot be written; they will be tried again");
        }
    }

    pub fn store(&self) -> io::Result<()> {
        self.offsets.store()
    }
}
