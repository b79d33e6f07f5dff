//! The event ids that a partition has counted and that could still come again.
//!
//! An id is known if and only if a counted row of the partition has it with an event time at or after M - lateness. Ids are kept as
//! 128-bit keyed hashes: 24 bytes with their time, 27 to 55 bytes of memory each. Among a thousand million ids, two
//! share a hash with a probability below 10^-20, less than that of a memory error; the key is random, so that nobody can construct such ids.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

#[derive(Debug)]
pub struct KnownIds {
    key: (u64, u64),
    times: HashMap<Fingerprint, i64, BuildHasherDefault<TakeFirst>>,
    swept_ms: i64,
}

/// Ids older than the bound are dropped this much event time at once.
const SWEEP_MS: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64, u64);

impl std::hash::Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct TakeFirst(u64);

impl Hasher for TakeFirst {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl KnownIds {
    pub fn new(key: (u64, u64)) -> Self {
        Self { key, times: HashMap::default(), swept_ms: i64::MIN }
    }

    /// Whether the id is known, given that only event times at or after `bound_micros` count.
    pub fn contains(&self, id: &str, bound_micros: i64) -> bool {
        self.times.get(&self.fingerprint(id)).is_some_and(|time| *time >= bound_micros)
    }

    /// Makes the id known; false if it was already.
    pub fn insert(&mut self, id: &str, time_micros: i64, bound_micros: i64) -> bool {
        match self.times.entry(self.fingerprint(id)) {
            Entry::Occupied(known) if *known.get() >= bound_micros => false,
            Entry::Occupied(mut forgotten) => {
                forgotten.insert(time_micros);
                true
            }
            Entry::Vacant(new) => {
                new.insert(time_micros);
                true
            }
        }
    }

    /// Drops what is no longer known, now and then.
    pub fn sweep(&mut self, bound_ms: i64) {
        if bound_ms < self.swept_ms.saturating_add(SWEEP_MS) {
            return;
        }
        self.swept_ms = bound_ms;
        let bound_micros = bound_ms.saturating_mul(1_000);
        self.times.retain(|_, time| *time >= bound_micros);
        if self.times.capacity() > 4 * self.times.len() {
            self.times.shrink_to(2 * self.times.len());
        }
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    fn fingerprint(&self, id: &str) -> Fingerprint {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(id.as_bytes());
        let hash = hasher.finish128();
        Fingerprint(hash.h1, hash.h2)
    }
}

#[cfg(test)]
mod tests {
    use super::KnownIds;

    #[test]
    fn known_until_the_bound_passes() {
        let mut ids = KnownIds::new((1, 2));
        assert!(ids.insert("a", 1_000_000, 0));
        assert!(!ids.insert("a", 5_000_000, 0), "the first row's time decides");
        assert!(ids.contains("a", 1_000_000));
        assert!(!ids.contains("a", 1_000_001));
        assert!(ids.insert("a", 5_000_000, 2_000_000), "forgotten, so it counts again");
        assert!(!ids.insert("a", 9_000_000, 2_000_000));
        ids.sweep(6_000);
        assert_eq!(ids.len(), 0);
    }
}
