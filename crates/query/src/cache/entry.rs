//! A kept answer, and whether it may be given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Asked, Kept, State};

/// Live results are renewed about as often: what is computed in less is always of now.
const QUICK: Duration = Duration::from_millis(250);
/// What an entry takes besides its texts, about.
const OWN_BYTES: usize = 512;

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
    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }
}

/// A kept answer, and what it was made of.
#[derive(Debug)]
pub struct Entry {
    /// What is given again.
    pub answer: KeptAnswer,
    pub(super) state: State,
    /// Before what it was made of was taken.
    pub(super) begun: Instant,
    pub(super) took: Duration,
}

/// Whether a kept answer may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing that it was made of has changed. It may be known to be more complete than it was.
    Current,
    /// It is so old, and took so long that it is given all the same: nothing was committed since.
    Aged(Duration),
    /// It has to be computed again.
    Stale,
}

impl Entry {
    /// An answer that was made of this state, which was taken after `begun`, and is ready now.
    pub fn new(state: State, answer: KeptAnswer, begun: Instant) -> Self {
        Self { answer, state, begun, took: begun.elapsed() }
    }

    /// The same where computing it took only so long of that.
    pub fn computed_in(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// Whether it may be given now that this is the state of what it was made of. What succeeded is
    /// not given once it is older than `ttl`.
    pub fn freshness(&self, now: &State, ttl: Duration) -> Freshness {
        let age = self.age();
        let is_costly = self.took >= QUICK && age <= self.took * 2;
        let aged = || if is_costly { Freshness::Aged(age) } else { Freshness::Stale };
        if !self.answer.is_good() {
            return aged();
        }
        if age > ttl {
            return Freshness::Stale;
        }
        if self.state == *now {
            return Freshness::Current;
        }
        if self.state.is_of_same_commits(now) { aged() } else { Freshness::Stale }
    }

    pub(super) fn given(self: Arc<Self>, now: &State, asked: Asked<'_>) -> Option<Kept> {
        match self.freshness(now, asked.key.spread(asked.ttl)) {
            Freshness::Current => Some(Kept { entry: self, age: None }),
            Freshness::Aged(age) => Some(Kept { entry: self, age: Some(age) }),
            Freshness::Stale => None,
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn bytes(&self) -> usize {
        let texts = self.answer.completeness.iter().chain(&self.answer.head);
        let texts: usize = texts.map(|(name, value)| name.len() + value.len()).sum();
        self.answer.body.len() + texts + OWN_BYTES
    }
}
