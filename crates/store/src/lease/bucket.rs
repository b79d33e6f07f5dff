//! A lease on a bucket: a series of objects, of which the newest says who holds it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::watch;
use uuid::Uuid;

use super::{FOLDER, Held, Kind, Lease, POLL_EVERY, Timing, leased, warn_once};
use crate::error::StoreError;
use crate::location::Location;

/// How long a bucket may fail while a lease is taken, and the pause before the next attempt.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(120);
const OUTAGE_RETRY: Duration = Duration::from_secs(2);

/// The objects of one purpose in a bucket.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    pub(super) store: Location,
    place: Location,
    pub(super) purpose: &'static str,
    timing: Timing,
}

impl Objects {
    pub(super) fn new(store: &Location, purpose: &'static str, timing: Timing) -> Self {
        let place = store.join(FOLDER).join(purpose);
        Self { store: store.clone(), place, purpose, timing }
    }

    pub(super) async fn take(self, held: Held, patience: Duration) -> Result<Lease, StoreError> {
        let (began, mut warned) = (Instant::now(), false);
        let mut first_seen = None;
        loop {
            let in_hands = match self.try_to_take(&held).await {
                Ok(None) => return Ok(self.keep(held)),
                Ok(Some(in_hands)) => in_hands,
                Err(error) if !error.is_final() && began.elapsed() < OUTAGE_PATIENCE => {
                    tracing::warn!(purpose = self.purpose, %error, "a lease cannot be taken; trying again");
                    tokio::time::sleep(OUTAGE_RETRY.min(self.timing.renewed_every)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (number, by) = in_hands;
            let error = leased(self.purpose, &self.store, Some(&by));
            let is_alive = *first_seen.get_or_insert(number) != number;
            if is_alive && began.elapsed() >= patience {
                return Err(error);
            }
            warn_once(&mut warned, &error);
            // A holder that has kept it for longer than that is alive, so it is checked less often.
            let pause = if began.elapsed() > 2 * self.timing.free_after { 10 * POLL_EVERY } else { POLL_EVERY };
            tokio::time::sleep(pause.min(self.timing.renewed_every)).await;
        }
    }

    /// None once it is taken; otherwise who holds it, and under which number.
    async fn try_to_take(&self, held: &Held) -> Result<Option<(u64, Held)>, StoreError> {
        loop {
            let newest = self.newest().await?;
            let number = newest.as_ref().map_or(0, |(number, _)| *number);
            let is_free = match &newest {
                None => true,
                Some((number, by)) => by.is_released || by.id == held.id || self.is_silent(*number).await?,
            };
            if !is_free {
                return Ok(newest);
            }
            // Somebody else may be doing the same.
            if self.put(number + 1, held).await? && self.is_newest(number + 1).await? {
                self.delete_before(number + 1).await?;
                return Ok(None);
            }
        }
    }

    /// Renews it from now on.
    fn keep(self, held: Held) -> Lease {
        let (lose, lost) = watch::channel(None);
        let (objects, mine) = (self.clone(), held.clone());
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(objects.timing.renewed_every).await;
                match objects.renew(&mine).await {
                    Ok(None) => {}
                    Ok(Some(by)) => {
                        lose.send_replace(Some(by));
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(purpose = objects.purpose, %error, "a lease is not renewed; trying again")
                    }
                }
            }
        });
        Lease(Kind::Bucket { objects: self, held, renewing, lost })
    }

    /// Puts the next number; who holds it, if that is another by now.
    async fn renew(&self, mine: &Held) -> Result<Option<String>, StoreError> {
        let number = match self.newest().await? {
            Some((number, newest)) if newest.token == mine.token => number,
            Some((_, newest)) => return Ok(Some(newest.name)),
            None => 0,
        };
        // If another process was faster, the next renewal finds out.
        self.put(number + 1, mine).await?;
        self.delete_before(number + 1).await?;
        Ok(None)
    }

    pub(super) async fn newest(&self) -> Result<Option<(u64, Held)>, StoreError> {
        loop {
            let Some(number) = self.numbers().await?.into_iter().max() else { return Ok(None) };
            // It may have been replaced by the next since.
            let Some(text) = self.place.read_text(&file(number)).await? else { continue };
            let damaged = |_| StoreError::Damaged {
                path: format!("{}{}", self.place, file(number)),
                reason: "it is not a lease: delete it".to_owned(),
            };
            return Ok(Some((number, serde_json::from_str(&text).map_err(damaged)?)));
        }
    }

    async fn is_newest(&self, number: u64) -> Result<bool, StoreError> {
        Ok(self.numbers().await?.into_iter().max() == Some(number))
    }

    pub(super) async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let path = self.place.path()?;
        let listed: Vec<_> =
            self.place.store().list(Some(&path)).try_collect().await.map_err(self.failed("", "listed"))?;
        let number = |name: &str| name.strip_suffix(".json")?.parse().ok();
        Ok(listed.iter().filter_map(|object| number(object.location.filename()?)).collect())
    }

    /// True if this number is put; false if it was there.
    pub(super) async fn put(&self, number: u64, held: &Held) -> Result<bool, StoreError> {
        let name = file(number);
        let text = serde_json::to_string(held).unwrap_or_default();
        let options = PutOptions::from(PutMode::Create);
        match self.place.store().put_opts(&self.place.file(&name)?, text.clone().into_bytes().into(), options).await {
            Ok(_) => Ok(true),
            // A client that never received the answer to its first request has sent it twice.
            Err(object_store::Error::AlreadyExists { .. }) => {
                Ok(self.place.read_text(&name).await?.is_some_and(|there| there == text))
            }
            Err(error) => Err(self.failed(&name, "written")(error)),
        }
    }

    pub(super) async fn delete_before(&self, number: u64) -> Result<(), StoreError> {
        for old in self.numbers().await?.into_iter().filter(|old| *old < number) {
            match self.place.store().delete(&self.place.file(&file(old))?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&file(old), "deleted")(error)),
            }
        }
        Ok(())
    }

    /// Whether this number was put so long ago that it has expired, by the clock that stamps
    /// objects.
    async fn is_silent(&self, number: u64) -> Result<bool, StoreError> {
        let Some(then) = self.stamp(&file(number)).await? else { return Ok(false) };
        let probe = format!("clock-{}", Uuid::new_v4().simple());
        self.place.write_text(&probe, "").await?;
        let now = self.stamp(&probe).await;
        self.place.delete(&probe).await?;
        let age = now?.map(|now| (now - then).to_std().unwrap_or_default());
        Ok(age.is_some_and(|age| age >= self.timing.free_after))
    }

    async fn stamp(&self, name: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        match self.place.store().head(&self.place.file(name)?).await {
            Ok(found) => Ok(Some(found.last_modified)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, "asked for its time")(error)),
        }
    }

    fn failed(&self, name: &str, action: &'static str) -> impl Fn(object_store::Error) -> StoreError + use<> {
        let path = format!("{}{name}", self.place);
        move |source| StoreError::Object { path: path.clone(), action, source: Box::new(source) }
    }
}

fn file(number: u64) -> String {
    format!("{number:010}.json")
}
