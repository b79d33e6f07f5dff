//! Answers that are given again while nothing that they were made of has changed, at most for as
//! long as their endpoint says: from this process's memory, and from one that processes share.
//!
//! A commit that touches what was read ends an answer at once, wherever it is kept: in memory the
//! tables are compared, and the name under which it is shared holds their commits. What is not
//! committed yet is of this process and this moment: answers with such rows are not shared.
//!
//! One request computes, those that ask the same meanwhile wait for it, and take its answer if it
//! was begun after they had asked. An answer that took longer than live results take to be renewed
//! is also given again, with its age, for as long as it took, as long as nothing was committed:
//! however often it is asked, a costly question takes one query's time. The same holds for one that
//! failed.

mod counts;
mod entry;
mod flight;
mod frame;
mod key;
mod shared;
mod state;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use vitral_catalog::Needs;

pub use self::counts::{CacheCounts, LevelCounts};
pub use self::entry::{Entry, Freshness, KeptAnswer};
use self::flight::Flights;
pub use self::flight::{Flight, Turn};
pub use self::key::{CatalogVersion, Key};
pub use self::shared::{SharedCache, SharedCacheError};
pub use self::state::State;
use crate::read_point::ReadPoint;

/// A larger answer is not kept.
pub(crate) const KEPT_BYTES_MAX: usize = 256 << 10;
/// Answers on their way to the shared level; beyond these, some are not sent there.
const SENDING_MAX: usize = 32;

/// The answers that a process keeps, for all of its fronts. Copies are the same one.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Levels>);

#[derive(Debug)]
struct Levels {
    memory: moka::future::Cache<Key, Arc<Entry>>,
    shared: Option<SharedLevel>,
    flights: Flights,
    counts: CacheCounts,
    is_on: bool,
}

/// The second level, and under which names this process's answers are there.
#[derive(Debug)]
struct SharedLevel {
    cache: Arc<dyn SharedCache>,
    catalog: CatalogVersion,
    sending: Arc<Semaphore>,
}

/// What was asked, and for how long its answer may be given.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What tells it from other questions.
    pub key: &'a Key,
    /// What its statement reads.
    pub needs: &'a Needs,
    /// No answer is older than this.
    pub ttl: Duration,
}

/// An answer that may be given again.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The answer.
    pub entry: Arc<Entry>,
    /// How old it is, if it may not be of now.
    pub age: Option<Duration>,
}

impl Cache {
    /// Keeps so many bytes in this process; with 0 nothing is kept there.
    pub fn new(memory_bytes: u64) -> Self {
        Self::of_levels(memory_bytes, None)
    }

    /// The same with a second level, where answers of this catalog are shared with other processes.
    pub fn with_shared(memory_bytes: u64, cache: Arc<dyn SharedCache>, catalog: CatalogVersion) -> Self {
        let sending = Arc::new(Semaphore::new(SENDING_MAX));
        Self::of_levels(memory_bytes, Some(SharedLevel { cache, catalog, sending }))
    }

    fn of_levels(memory_bytes: u64, shared: Option<SharedLevel>) -> Self {
        let memory = moka::future::Cache::builder()
            .name("answers")
            .max_capacity(memory_bytes)
            .weigher(|key: &Key, entry: &Arc<Entry>| u32::try_from(key.bytes() + entry.bytes()).unwrap_or(u32::MAX))
            .build();
        let is_on = memory_bytes > 0 || shared.is_some();
        Self(Arc::new(Levels { memory, shared, flights: Flights::default(), counts: CacheCounts::default(), is_on }))
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_on
    }

    /// How often answers were found, for metrics.
    pub fn counts(&self) -> &CacheCounts {
        &self.0.counts
    }

    /// What this process keeps, if it may be given now that this is the state of what is read.
    pub async fn in_memory(&self, asked: Asked<'_>, now: &State) -> Option<Kept> {
        let kept = match self.0.memory.get(asked.key).await {
            Some(entry) => entry.given(now, asked),
            None => None,
        };
        self.0.counts.memory.found(kept.is_some());
        kept
    }

    /// Where those that ask the same wait for each other.
    pub fn flight(&self, key: &Key) -> Flight {
        self.0.flights.of(key)
    }

    /// What the one that has the turn need not compute: what another one has computed while it
    /// waited, and what is kept anywhere. `point` was taken after it had waited, and `now` is its
    /// state.
    pub async fn in_turn(
        &self,
        asked: Asked<'_>,
        (point, now): (&ReadPoint, &State),
        turn: &mut Turn<'_>,
    ) -> Option<Kept> {
        if let Some(entry) = turn.computed_since_asked() {
            self.0.counts.shared_computation();
            return Some(Kept { entry, age: None });
        }
        if let Some(entry) = self.0.memory.get(asked.key).await
            && let Some(kept) = entry.given(now, asked)
        {
            self.0.counts.shared_computation();
            return Some(kept);
        }
        let (shared, name) = self.shared_name(asked, point)?;
        let found = shared.cache.get(&name).await;
        let entry = match found {
            Ok(bytes) => {
                let entry = bytes.and_then(|bytes| frame::read(&bytes, point.now_ms, now.clone()));
                let entry = entry.map(Arc::new).filter(|entry| entry.freshness(now, asked.ttl) == Freshness::Current);
                self.0.counts.shared.found(entry.is_some());
                entry?
            }
            Err(error) => {
                self.0.counts.shared.failed();
                tracing::debug!(%error, "an answer was not looked for in the shared cache");
                return None;
            }
        };
        self.0.memory.insert(asked.key.clone(), Arc::clone(&entry)).await;
        Some(Kept { entry, age: None })
    }

    /// Keeps what was computed from `point` for those who wait, and wherever it may be kept.
    pub async fn keep(&self, asked: Asked<'_>, point: &ReadPoint, turn: &mut Turn<'_>, entry: Entry) {
        let entry = Arc::new(entry);
        turn.computed(&entry);
        if entry.answer.body.len() > KEPT_BYTES_MAX {
            return;
        }
        self.0.memory.insert(asked.key.clone(), Arc::clone(&entry)).await;
        if entry.answer.is_good()
            && let Some((shared, name)) = self.shared_name(asked, point)
        {
            self.send(shared, name, &entry, point, asked);
        }
    }

    /// The second level, and what the answer is called there; none if it is of this process alone.
    fn shared_name(&self, asked: Asked<'_>, point: &ReadPoint) -> Option<(&SharedLevel, String)> {
        let shared = self.0.shared.as_ref()?;
        let versions = versions::of(point, asked.needs)?;
        Some((shared, asked.key.shared_name(&shared.catalog, &versions)))
    }

    /// Nobody waits for it.
    fn send(&self, shared: &SharedLevel, name: String, entry: &Entry, point: &ReadPoint, asked: Asked<'_>) {
        let Ok(permit) = Arc::clone(&shared.sending).try_acquire_owned() else { return };
        let ttl = asked.key.spread(asked.ttl).saturating_sub(entry.age());
        let bytes = frame::write(entry, point.now_ms);
        let (cache, levels) = (Arc::clone(&shared.cache), Arc::clone(&self.0));
        drop(tokio::spawn(async move {
            if let Err(error) = cache.put(&name, bytes, ttl).await {
                levels.counts.shared.failed();
                tracing::debug!(%error, "an answer was not put into the shared cache");
            }
            drop(permit);
        }));
    }
}

#[cfg(test)]
mod tests;
