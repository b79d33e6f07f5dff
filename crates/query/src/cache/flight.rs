//! Lets one of those who ask the same compute, and the others wait and take its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::MutexGuard;

use super::{Entry, Key};

/// The newest answer of those who wait for each other.
type Slot = tokio::sync::Mutex<Option<Arc<Entry>>>;

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Weak<Slot>>>);

/// A place among those who ask the same.
#[derive(Debug)]
pub struct Flight {
    slot: Arc<Slot>,
    asked: Instant,
}

/// Held by the one that computes.
#[derive(Debug)]
pub struct Turn<'a> {
    slot: MutexGuard<'a, Option<Arc<Entry>>>,
    asked: Instant,
    has_waited: bool,
}

impl Flights {
    pub(super) fn of(&self, key: &Key) -> Flight {
        let asked = Instant::now();
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = flights.get(key).and_then(Weak::upgrade) {
            return Flight { slot, asked };
        }
        // No more are alive than there are requests.
        flights.retain(|_, flight| flight.strong_count() > 0);
        let slot = Arc::default();
        flights.insert(key.clone(), Arc::downgrade(&slot));
        Flight { slot, asked }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Flight {
    /// Waits until nobody else computes.
    pub async fn turn(&self) -> Turn<'_> {
        match self.slot.try_lock() {
            Ok(slot) => {
                let has_waited = slot.as_ref().is_some_and(|entry| entry.begun >= self.asked);
                Turn { slot, asked: self.asked, has_waited }
            }
            Err(_) => Turn { slot: self.slot.lock().await, asked: self.asked, has_waited: true },
        }
    }
}

impl Turn<'_> {
    /// Whether somebody else has computed meanwhile.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// An answer that was begun after this one had asked: it has everything that was known then.
    pub(super) fn computed_since_asked(&self) -> Option<Arc<Entry>> {
        self.slot.clone().filter(|entry| entry.begun >= self.asked)
    }

    pub(super) fn computed(&mut self, entry: &Arc<Entry>) {
        *self.slot = Some(Arc::clone(entry));
    }
}
