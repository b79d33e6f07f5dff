//! Who does what with a store, whatever host they are on: a lease is held by one process at a time, for one purpose.
//!
//! In a folder it is a lock of the operating system, which is free once its process has ended. In a bucket it is a row of objects,
//! `leases/PURPOSE/0000000042.json`, of which the one with the largest number says who holds it. Whoever takes or renews it puts the next
//! number, "if absent", which of two that do so together lets one come through. A lease that was not renewed for a minute, by the
//! clock of the store itself, is free.
//!
//! A process that stands still for longer than that may go on after another has taken over. So a lease spares those who respect it
//! from getting in each other's way, and what could lose rows is guarded by the commits themselves.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::error::StoreError;
use crate::location::Location;

/// The purpose of whoever reads topics and writes their archives.
pub const STREAM: &str = "stream";
/// The purpose of whoever moves, deletes, merges or replays rows that are stored.
pub const UPKEEP: &str = "upkeep";

const FOLDER: &str = "leases";
/// Names a data directory, so that its next process takes over at once what the last one held.
const IDENTITY_FILE: &str = "identity";
/// Without lease: how often it is looked for one that is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a bucket may fail while a lease is taken, and how soon it is asked again.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(120);
const OUTAGE_RETRY: Duration = Duration::from_secs(2);

/// When a lease is renewed, and when it is free without that.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often its holder renews it.
    pub renewed_every: Duration,
    /// How long after the last renewal others may take it.
    pub free_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { renewed_every: Duration::from_secs(15), free_after: Duration::from_secs(60) }
    }
}

/// Who wants it.
#[derive(Debug, Clone)]
pub struct Holder {
    id: String,
    /// For people.
    name: String,
}

impl Holder {
    /// The process that owns a data directory on this host: there is one at a time, which the directory's lock sees to.
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
        // A directory that was copied to another host is another one.
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

/// What stands in a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    id: String,
    name: String,
    since_ms: i64,
    /// Of this lease alone: whoever takes it anew has another.
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

/// Held until it is released; in a bucket, what is dropped without that is free a minute later.
#[derive(Debug)]
pub struct Lease(Kind);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each process")]
enum Kind {
    Folder { _file: File },
    Bucket { row: Row, held: Held, renewing: JoinHandle<()>, lost: watch::Receiver<Option<String>> },
}

impl Lease {
    /// Takes the lease for `purpose`. Waits for one whose holder is silent, until it is free; for one whose holder is alive as long as
    /// `patience`, then it is an error that names the holder.
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
            Some(folder) => in_folder(&folder.join(FOLDER), store, purpose, &held, patience).await,
            None => Row::new(store, purpose, timing)?.take(held, patience).await,
        }
    }

    /// Resolves once another process has taken it over.
    pub async fn lost(&self) -> StoreError {
        match &self.0 {
            Kind::Folder { .. } => std::future::pending().await,
            Kind::Bucket { row, lost, .. } => {
                let mut lost = lost.clone();
                let by = lost.wait_for(Option::is_some).await.ok().and_then(|by| by.clone());
                let holder = by.unwrap_or_else(|| "another process".to_owned());
                StoreError::LeaseLost { purpose: row.purpose.to_owned(), place: row.store.to_string(), holder }
            }
        }
    }

    /// Frees it. What fails is told: it is free later then.
    pub async fn release(self) {
        let Kind::Bucket { row, held, renewing, .. } = self.0 else { return };
        renewing.abort();
        // A renewal that was under way has put a number, or has not.
        let _ = renewing.await;
        let released = async {
            match row.newest().await? {
                Some((number, newest)) if newest.token == held.token => {
                    row.put(number + 1, &Held { is_released: true, ..held }).await?;
                    row.delete_before(number + 1).await
                }
                _ => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::warn!(purpose = row.purpose, %error, "a lease was not released; it is free in a minute");
        }
    }

    /// Does the work while it is held; the work is broken off when it is lost.
    pub async fn during<T, E: From<StoreError>>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let done = tokio::select! {
            done = work => done,
            lost = self.lost() => Err(lost.into()),
        };
        self.release().await;
        done
    }
}

/// What somebody who must wait is told.
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

async fn in_folder(
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
    let (began, mut told) = (Instant::now(), false);
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
                tell(&mut told, &error);
                tokio::time::sleep(LOOK_EVERY.min(patience)).await;
            }
        }
    }
    let text = serde_json::to_string(held).unwrap_or_default();
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
    Ok(Lease(Kind::Folder { _file: file }))
}

fn tell(told: &mut bool, error: &StoreError) {
    if !std::mem::replace(told, true) {
        tracing::warn!(%error, "waiting for it");
    }
}

/// The objects of one purpose in a bucket.
#[derive(Debug, Clone)]
struct Row {
    store: Location,
    place: Location,
    purpose: &'static str,
    timing: Timing,
}

impl Row {
    fn new(store: &Location, purpose: &'static str, timing: Timing) -> Result<Self, StoreError> {
        let place = store.join(FOLDER).join(purpose);
        Ok(Self { store: store.clone(), place, purpose, timing })
    }

    async fn take(self, held: Held, patience: Duration) -> Result<Lease, StoreError> {
        let (began, mut told) = (Instant::now(), false);
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
            tell(&mut told, &error);
            // Who holds it for longer than that is alive, and is asked seldom.
            let pause = if began.elapsed() > 2 * self.timing.free_after { 10 * LOOK_EVERY } else { LOOK_EVERY };
            tokio::time::sleep(pause.min(self.timing.renewed_every)).await;
        }
    }

    /// None once it is taken; else who holds it, under which number.
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
        let (row, mine) = (self.clone(), held.clone());
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(row.timing.renewed_every).await;
                match row.renew(&mine).await {
                    Ok(None) => {}
                    Ok(Some(by)) => {
                        lose.send_replace(Some(by));
                        return;
                    }
                    Err(error) => tracing::warn!(purpose = row.purpose, %error, "a lease is not renewed; trying again"),
                }
            }
        });
        Lease(Kind::Bucket { row: self, held, renewing, lost })
    }

    /// Puts the next number; who holds it, if that is another by now.
    async fn renew(&self, mine: &Held) -> Result<Option<String>, StoreError> {
        let number = match self.newest().await? {
            Some((number, newest)) if newest.token == mine.token => number,
            Some((_, newest)) => return Ok(Some(newest.name)),
            None => 0,
        };
        // Where somebody was faster, the next look tells.
        self.put(number + 1, mine).await?;
        self.delete_before(number + 1).await?;
        Ok(None)
    }

    async fn newest(&self) -> Result<Option<(u64, Held)>, StoreError> {
        loop {
            let Some(number) = self.numbers().await?.into_iter().max() else { return Ok(None) };
            // It may have been replaced by the next since.
            let Some(text) = self.place.read_text(&file(number)).await? else { continue };
            let damaged = |_| StoreError::Snapshot {
                path: format!("{}{}", self.place, file(number)),
                reason: "it is no lease: delete it".to_owned(),
            };
            return Ok(Some((number, serde_json::from_str(&text).map_err(damaged)?)));
        }
    }

    async fn is_newest(&self, number: u64) -> Result<bool, StoreError> {
        Ok(self.numbers().await?.into_iter().max() == Some(number))
    }

    async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let path = self.place.path()?;
        let objects: Vec<_> =
            self.place.store().list(Some(&path)).try_collect().await.map_err(self.failed("", "listed"))?;
        let number = |name: &str| name.strip_suffix(".json")?.parse().ok();
        Ok(objects.iter().filter_map(|object| number(object.location.filename()?)).collect())
    }

    /// True if this number is put; false if it was there.
    async fn put(&self, number: u64, held: &Held) -> Result<bool, StoreError> {
        let name = file(number);
        let text = serde_json::to_string(held).unwrap_or_default();
        let options = PutOptions::from(PutMode::Create);
        match self.place.store().put_opts(&self.place.file(&name)?, text.clone().into_bytes().into(), options).await {
            Ok(_) => Ok(true),
            // A client that did not hear of its success has asked twice.
            Err(object_store::Error::AlreadyExists { .. }) => {
                Ok(self.place.read_text(&name).await?.is_some_and(|there| there == text))
            }
            Err(error) => Err(self.failed(&name, "written")(error)),
        }
    }

    async fn delete_before(&self, number: u64) -> Result<(), StoreError> {
        for old in self.numbers().await?.into_iter().filter(|old| *old < number) {
            match self.place.store().delete(&self.place.file(&file(old))?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&file(old), "deleted")(error)),
            }
        }
        Ok(())
    }

    /// Whether this number was put so long ago that it is no longer held, by the clock that stamps objects.
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

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Timing = Timing { renewed_every: Duration::from_millis(50), free_after: Duration::from_millis(600) };

    fn holder(name: &str) -> Holder {
        Holder { id: name.to_owned(), name: format!("process of {name}") }
    }

    fn place() -> (tempfile::TempDir, Location) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        (dir, store)
    }

    /// As in a bucket: a folder's files can be put "if absent" too.
    async fn take(store: &Location, who: &str, patience: Duration) -> Result<Lease, StoreError> {
        Row::new(store, STREAM, QUICK).expect("a row").take(Held::by(&holder(who)), patience).await
    }

    fn refused(outcome: Result<Lease, StoreError>) -> String {
        match outcome {
            Err(error @ StoreError::Leased { .. }) => error.to_string(),
            other => panic!("it is not free: {other:?}"),
        }
    }

    #[tokio::test]
    async fn one_holds_it_and_the_next_is_told_who() {
        let (_dir, store) = place();
        let one = take(&store, "one", Duration::ZERO).await.expect("free");
        let said = refused(take(&store, "other", Duration::ZERO).await);
        assert!(said.contains("process of one") && said.contains("since 2") && said.contains("stop it"), "{said}");
        one.release().await;
        let other = take(&store, "other", Duration::ZERO).await.expect("free again");
        refused(take(&store, "one", Duration::ZERO).await);
        other.release().await;
        assert_eq!(Row::new(&store, STREAM, QUICK).expect("a row").numbers().await.expect("listed").len(), 1);
    }

    #[tokio::test]
    async fn whoever_is_silent_has_lost_it() {
        let (_dir, store) = place();
        let killed = take(&store, "killed", Duration::ZERO).await.expect("free");
        let Kind::Bucket { renewing, .. } = &killed.0 else { panic!("objects") };
        renewing.abort();
        let began = Instant::now();
        let next = take(&store, "next", Duration::ZERO).await.expect("free after a while");
        assert!(began.elapsed() >= QUICK.free_after / 2, "not at once: {:?}", began.elapsed());
        refused(take(&store, "third", Duration::ZERO).await);
        // The next process of the same data directory need not wait.
        let Kind::Bucket { renewing, .. } = &next.0 else { panic!("objects") };
        renewing.abort();
        let began = Instant::now();
        take(&store, "next", Duration::ZERO).await.expect("its own");
        assert!(began.elapsed() < QUICK.free_after, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn one_that_was_taken_over_says_so() {
        let (_dir, store) = place();
        let stale = take(&store, "same", Duration::ZERO).await.expect("free");
        let _new = take(&store, "same", Duration::ZERO).await.expect("its own");
        let lost = tokio::time::timeout(Duration::from_secs(20), stale.lost()).await.expect("it looks");
        assert!(matches!(lost, StoreError::LeaseLost { .. }), "{lost}");
        let never = stale.during(std::future::pending::<Result<(), StoreError>>()).await;
        assert!(matches!(never, Err(StoreError::LeaseLost { .. })), "work without it is broken off");
        refused(take(&store, "other", Duration::ZERO).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_at_once_one_has_it() {
        let (_dir, store) = place();
        let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let taken = futures::future::join_all(names.iter().map(|name| take(&store, name, Duration::ZERO))).await;
        assert_eq!(taken.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{taken:?}");
    }

    #[tokio::test]
    async fn in_a_folder_it_is_free_once_its_process_is_gone() {
        let (dir, store) = place();
        let holder = Holder::of_data_dir(dir.path()).expect("an identity");
        let take = || Lease::take(&store, UPKEEP, &holder, Duration::ZERO);
        let one = take().await.expect("free");
        let said = refused(take().await);
        assert!(said.contains(&std::process::id().to_string()) && said.contains("wait"), "{said}");
        drop(one);
        let two = take().await.expect("free again");
        let patient = Lease::take(&store, UPKEEP, &holder, Duration::from_secs(60));
        let (waited, ()) = tokio::join!(patient, two.release());
        waited.expect("it has waited");
        assert_eq!(Holder::of_data_dir(dir.path()).expect("known").id, holder.id, "a directory keeps its identity");
    }
}
