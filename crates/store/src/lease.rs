//! Who does what with a store, on any host: a lease is held by one process at a time, for one
//! purpose.
//!
//! In a folder it is a lock of the operating system, which is free once its process has ended. In a
//! bucket it is a series of objects, `leases/PURPOSE/0000000042.json`, of which the one with the
//! highest number says who holds it. To take or renew it, a process puts the next number "if
//! absent", so that of two that do so at once only one succeeds. A lease that was not renewed for a
//! minute, by the clock of the store itself, is free.
//!
//! A process that is suspended for longer than that may go on after another has taken over. So
//! leases keep processes out of each other's way, and what could lose rows is guarded by the
//! commits themselves.

mod bucket;
mod folder;
mod holder;

use std::fs::File;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::bucket::Objects;
use self::folder::take_in_folder;
pub use self::holder::Holder;
use crate::error::StoreError;
use crate::location::Location;

/// The purpose of the process that reads topics and writes their archives.
pub const STREAM: &str = "stream";
/// The purpose of a process that moves, deletes, merges or replays stored rows.
pub const UPKEEP: &str = "upkeep";

const FOLDER: &str = "leases";
/// How often a process that waits for a lease checks whether it is free.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// When a lease is renewed, and when it expires.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often its holder renews it.
    pub renewed_every: Duration,
    /// How long after the last renewal other processes may take it.
    pub free_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { renewed_every: Duration::from_secs(15), free_after: Duration::from_secs(60) }
    }
}

/// The contents of a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    id: String,
    name: String,
    since_ms: i64,
    /// Unique to this lease: one that is taken again has another.
    token: Uuid,
    is_released: bool,
}

impl Held {
    fn by(holder: &Holder) -> Self {
        Self {
            id: holder.id.clone(),
            name: holder.name.clone(),
            since_ms: Utc::now().timestamp_millis(),
            token: Uuid::new_v4(),
            is_released: false,
        }
    }
}

/// Held until it is released; in a bucket, one that is dropped without that is free a minute later.
#[derive(Debug)]
pub struct Lease(Kind);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each process")]
enum Kind {
    Folder { _file: File },
    Bucket { objects: Objects, held: Held, renewing: JoinHandle<()>, lost: watch::Receiver<Option<String>> },
}

impl Lease {
    /// Takes the lease for `purpose`. If its holder has stopped renewing it, waits until it is
    /// free; if its holder is alive, waits for `patience` and then fails with an error that names
    /// the holder.
    pub async fn take(
        store: &Location,
        purpose: &'static str,
        holder: &Holder,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        Self::take_with(store, purpose, holder, patience, Timing::default()).await
    }

    /// The same, at another pace.
    pub async fn take_with(
        store: &Location,
        purpose: &'static str,
        holder: &Holder,
        patience: Duration,
        timing: Timing,
    ) -> Result<Self, StoreError> {
        let held = Held::by(holder);
        match store.as_folder() {
            Some(folder) => take_in_folder(&folder.join(FOLDER), store, purpose, &held, patience).await,
            None => Objects::new(store, purpose, timing).take(held, patience).await,
        }
    }

    /// Resolves once another process has taken it over.
    pub async fn lost(&self) -> StoreError {
        match &self.0 {
            Kind::Folder { .. } => std::future::pending().await,
            Kind::Bucket { objects, lost, .. } => {
                let mut lost = lost.clone();
                let by = lost.wait_for(Option::is_some).await.ok().and_then(|by| by.clone());
                let holder = by.unwrap_or_else(|| "another process".to_owned());
                StoreError::LeaseLost { purpose: objects.purpose.to_owned(), place: objects.store.to_string(), holder }
            }
        }
    }

    /// Frees it. A failure is logged: then it is free once it expires.
    pub async fn release(self) {
        let Kind::Bucket { objects, held, renewing, .. } = self.0 else { return };
        renewing.abort();
        // A renewal that was under way has put a number, or has not.
        let _ = renewing.await;
        let released = async {
            match objects.newest().await? {
                Some((number, newest)) if newest.token == held.token => {
                    objects.put(number + 1, &Held { is_released: true, ..held }).await?;
                    objects.delete_before(number + 1).await
                }
                _ => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::warn!(purpose = objects.purpose, %error, "a lease was not released; it is free in a minute");
        }
    }

    /// Does the work while it is held; the work is cancelled when it is lost.
    pub async fn during<T, E: From<StoreError>>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let done = tokio::select! {
            done = work => done,
            lost = self.lost() => Err(lost.into()),
        };
        self.release().await;
        done
    }
}

/// The error that a process gets that has to wait.
fn leased(purpose: &str, place: &Location, held: Option<&Held>) -> StoreError {
    let since = held.and_then(|held| DateTime::from_timestamp_millis(held.since_ms));
    StoreError::Leased {
        purpose: purpose.to_owned(),
        place: place.to_string(),
        holder: held.map_or_else(|| "another process".to_owned(), |held| held.name.clone()),
        since: since
            .map_or_else(|| "a time unknown".to_owned(), |since| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
        remedy: match purpose {
            STREAM => "stop it, or name another store.url and data directory",
            _ => "wait until it has ended, then try again",
        },
    }
}

fn warn_once(warned: &mut bool, error: &StoreError) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(%error, "waiting for a lease");
    }
}

#[cfg(test)]
mod tests;
