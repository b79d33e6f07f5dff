//! Answers that are given again: while nothing has changed, and for as long as they took to
//! compute.
//!
//! One request computes, those that ask the same meanwhile wait for it. An answer that took longer
//! than live results take to be renewed is also given again, with its age, for as long as it took:
//! however often and by however many it is asked, a costly question takes at most half of one
//! query's time. The same holds for one that failed.

mod memory;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::memory::MemoryCache;
pub use self::state::State;
use crate::principal::Principal;
use crate::rows::Format;

/// A larger answer is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// Live results are renewed about as often: what is computed in less is always of now.
const QUICK: Duration = Duration::from_millis(250);

/// Where answers are kept. An implementation may forget any of them at any time.
#[async_trait]
pub trait Cache: std::fmt::Debug + Send + Sync {
    /// The answer that is kept for this, however old.
    async fn get(&self, key: &Key) -> Option<Arc<Entry>>;

    /// Keeps an answer in the place of the one before.
    async fn put(&self, key: Key, entry: Entry);
}

/// Who asked for what, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who asked.
    pub principal: Principal,
    /// Of the endpoint.
    pub path: String,
    /// What was given, by name.
    pub parameters: Vec<(String, String)>,
    /// How the rows are written.
    pub format: Format,
}

/// A whole answer as a front gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// As in HTTP: 200, or what was wrong.
    pub status: u16,
    /// The rows, or the problem, as they are sent.
    pub body: Bytes,
    /// How complete it was.
    pub completeness: Vec<(String, String)>,
    /// The rest of its head.
    pub head: Vec<(String, String)>,
}

impl KeptAnswer {
    fn is_good(&self) -> bool {
        self.status == 200
    }
}

/// A kept answer, and what it was made of.
#[derive(Debug)]
pub struct Entry {
    /// What is given again.
    pub answer: KeptAnswer,
    state: State,
    took: Duration,
    computed: Instant,
}

/// Whether a kept answer may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing that it was made of has changed. It may be known to be more complete than it was.
    Current,
    /// It is so old, and it took longer than that.
    Aged(Duration),
    /// It has to be computed again.
    Stale,
}

impl Entry {
    /// None for an answer that is too large to be kept.
    pub fn new(state: State, answer: KeptAnswer, took: Duration) -> Option<Self> {
        let is_large = answer.body.len() > KEPT_BYTES_MAX;
        (!is_large).then(|| Self { answer, state, took, computed: Instant::now() })
    }

    /// Whether it may be given now that this is the state of what it was made of.
    pub fn freshness(&self, now: &State) -> Freshness {
        if self.answer.is_good() && self.state == *now {
            return Freshness::Current;
        }
        let age = self.computed.elapsed();
        if self.took < QUICK || age > self.took { Freshness::Stale } else { Freshness::Aged(age) }
    }
}

/// Lets one of those who ask the same compute, and the others wait.
#[derive(Debug, Default)]
pub struct SingleFlight(Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>);

impl SingleFlight {
    /// The caller that locks it computes.
    pub fn of(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = flights.get(key).and_then(Weak::upgrade) {
            return known;
        }
        // No more are alive than there are requests.
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        flights.insert(key.clone(), Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests;
