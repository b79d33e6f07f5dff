//! The event ids that a partition has counted and that could still come again.
//!
//! An id is known if and only if a counted row of the partition has it with an event time at or
//! after M - lateness. Ids are kept as 128-bit keyed hashes: 24 bytes with their time, and one of
//! the table, which is between 7/16 and 7/8 full: 29 to 57 bytes of memory each. Among a thousand
//! million ids, two share a hash with a probability below 10^-20, less than that of a memory error;
//! the key is random, so that nobody can construct such ids.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow::error::ArrowError;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The event ids of one partition that could still come again, each with its latest event time.
#[derive(Debug)]
pub struct DeduplicationIndex {
    key: (u64, u64),
    times: HashMap<Fingerprint, i64, BuildHasherDefault<TakeFirst>>,
    swept_ms: i64,
    /// What was learnt since the last call of [`Self::take_new`]; none if that is everything.
    new: Option<Columns>,
}

/// Ids as they are written down.
#[derive(Debug, Default)]
struct Columns {
    first: Vec<u64>,
    second: Vec<u64>,
    times: Vec<i64>,
}

/// A table slot: hash and time, and the table's own byte.
const SLOT_BYTES: usize = 25;
/// New ids that are kept apart; beyond that, everything is rewritten.
const NEW_MAX: usize = 2 << 20;

/// Ids whose slots are looked up together.
const REMEMBERED_TOGETHER: usize = 256;

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

impl Columns {
    fn with_capacity(ids: usize) -> Self {
        Self { first: Vec::with_capacity(ids), second: Vec::with_capacity(ids), times: Vec::with_capacity(ids) }
    }

    fn push(&mut self, id: Fingerprint, time_micros: i64) {
        self.first.push(id.0);
        self.second.push(id.1);
        self.times.push(time_micros);
    }

    /// Without a copy.
    fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_from_iter([
            ("hash_1", Arc::new(UInt64Array::from(self.first)) as ArrayRef),
            ("hash_2", Arc::new(UInt64Array::from(self.second))),
            ("time_micros", Arc::new(Int64Array::from(self.times))),
        ])
    }
}

impl DeduplicationIndex {
    /// Knows no id yet; `key` is that of the hashes, and must stay the same for as long as they are
    /// kept.
    pub fn new(key: (u64, u64)) -> Self {
        Self { key, times: HashMap::default(), swept_ms: i64::MIN, new: None }
    }

    /// Whether the id is known, given that only event times at or after `bound_micros` count.
    pub fn contains(&self, id: &str, bound_micros: i64) -> bool {
        self.times.get(&self.fingerprint(id)).is_some_and(|time| *time >= bound_micros)
    }

    /// Makes the id known; false if it was already.
    pub fn insert(&mut self, id: &str, time_micros: i64, bound_micros: i64) -> bool {
        let fingerprint = self.fingerprint(id);
        match self.times.entry(fingerprint) {
            Entry::Occupied(known) if *known.get() >= bound_micros => return false,
            Entry::Occupied(mut forgotten) => {
                forgotten.insert(time_micros);
            }
            Entry::Vacant(new) => {
                new.insert(time_micros);
            }
        }
        self.note(fingerprint, time_micros);
        true
    }

    /// Learns ids that were counted before; of several times the latest decides how long one is
    /// known.
    pub fn remember<'a>(&mut self, ids: impl Iterator<Item = (&'a str, i64)>) {
        // Hashed block by block: with nothing in between, the processor looks for the places of
        // several ids at once.
        let mut block = Vec::with_capacity(REMEMBERED_TOGETHER);
        let mut ids = ids.peekable();
        while ids.peek().is_some() {
            let next = ids.by_ref().take(REMEMBERED_TOGETHER);
            block.extend(next.map(|(id, time_micros)| (self.fingerprint(id), time_micros)));
            for (fingerprint, time_micros) in block.drain(..) {
                let known = self.times.entry(fingerprint).or_insert(time_micros);
                *known = (*known).max(time_micros);
                self.note(fingerprint, time_micros);
            }
        }
    }

    fn note(&mut self, fingerprint: Fingerprint, time_micros: i64) {
        match &mut self.new {
            Some(new) if new.times.len() < NEW_MAX => new.push(fingerprint, time_micros),
            _ => self.new = None,
        }
    }

    /// Memory once `more` ids have come: a table that is full doubles.
    pub fn bytes_with(&self, more: usize) -> usize {
        let needed = (self.times.len() + more).max(self.times.capacity());
        if needed == 0 { 0 } else { (needed * 8).div_ceil(7).next_power_of_two() * SLOT_BYTES }
    }

    /// How many ids came since the last call of [`Self::take_new`].
    pub fn new_count(&self) -> usize {
        self.new.as_ref().map_or(self.times.len(), |new| new.times.len())
    }

    /// The ids that came since the last call, or all of them, and whether it is all; from now on
    /// new ones are remembered.
    pub fn take_new(&mut self, all: bool) -> Result<(RecordBatch, bool), ArrowError> {
        match self.new.replace(Columns::default()).filter(|_| !all) {
            Some(new) => Ok((new.into_batch()?, false)),
            None => {
                let mut everything = Columns::with_capacity(self.times.len());
                self.times.iter().for_each(|(id, time)| everything.push(*id, *time));
                Ok((everything.into_batch()?, true))
            }
        }
    }

    /// Takes back what [`Self::take_new`] gave, under the same key; of an id that is there already
    /// the later time counts.
    pub fn restore(&mut self, ids: &RecordBatch) {
        let first = ids.column(0).as_primitive::<UInt64Type>().values();
        let second = ids.column(1).as_primitive::<UInt64Type>().values();
        let times = ids.column(2).as_primitive::<Int64Type>().values();
        self.times.reserve(ids.num_rows());
        for ((first, second), time) in first.iter().zip(second).zip(times) {
            let known = self.times.entry(Fingerprint(*first, *second)).or_insert(*time);
            *known = (*known).max(*time);
        }
        self.new = Some(Columns::default());
    }

    /// Drops what is no longer known, now and then.
    pub fn sweep(&mut self, bound_ms: i64) {
        if bound_ms < self.swept_ms.saturating_add(SWEEP_MS) {
            return;
        }
        self.sweep_now(bound_ms);
    }

    /// Drops every id whose event time is before `bound_ms`, in milliseconds.
    pub fn sweep_now(&mut self, bound_ms: i64) {
        self.swept_ms = bound_ms;
        let bound_micros = bound_ms.saturating_mul(1_000);
        self.times.retain(|_, time| *time >= bound_micros);
        if self.times.capacity() > 4 * self.times.len() {
            self.times.shrink_to(2 * self.times.len());
        }
    }

    /// How many ids are kept.
    pub fn count(&self) -> usize {
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
    use super::DeduplicationIndex;

    #[test]
    fn what_is_new_restores_what_is_known() {
        let mut ids = DeduplicationIndex::new((1, 2));
        assert!(ids.insert("a", 1_000, 0));
        let (first, all) = ids.take_new(false).expect("a batch");
        assert!(all && first.num_rows() == 1, "nothing was taken before, so it is everything");
        assert!(ids.insert("b", 2_000, 0));
        assert!(ids.insert("a", 3_000, 2_000), "forgotten, so it counts again");
        assert_eq!(ids.new_count(), 2);
        let (second, all) = ids.take_new(false).expect("a batch");
        assert!(!all && second.num_rows() == 2);
        let mut restored = DeduplicationIndex::new((1, 2));
        for batch in [&second, &first] {
            restored.restore(batch);
        }
        assert!(restored.contains("a", 3_000) && restored.contains("b", 2_000) && !restored.contains("c", 0));
        assert_eq!((restored.count(), restored.new_count()), (2, 0));
        let (everything, all) = restored.take_new(true).expect("a batch");
        assert!(all && everything.num_rows() == 2);
    }

    #[test]
    fn memory_is_that_of_the_table() {
        let mut ids = DeduplicationIndex::new((1, 2));
        assert_eq!(ids.bytes_with(0), 0);
        for id in 0..1_000 {
            ids.insert(&id.to_string(), 0, 0);
        }
        let per_id = ids.bytes_with(0) as f64 / 1_000.0;
        assert!((28.5..=57.2).contains(&per_id), "{per_id}");
        assert_eq!(ids.bytes_with(10_000), 16_384 * 25);
    }

    #[test]
    fn known_until_the_bound_passes() {
        let mut ids = DeduplicationIndex::new((1, 2));
        assert!(ids.insert("a", 1_000_000, 0));
        assert!(!ids.insert("a", 5_000_000, 0), "the first row's time decides");
        assert!(ids.contains("a", 1_000_000));
        assert!(!ids.contains("a", 1_000_001));
        assert!(ids.insert("a", 5_000_000, 2_000_000), "forgotten, so it counts again");
        assert!(!ids.insert("a", 9_000_000, 2_000_000));
        ids.sweep(6_000);
        assert_eq!(ids.count(), 0);
    }
}
