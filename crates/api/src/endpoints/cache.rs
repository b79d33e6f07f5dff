//! Answers that are given again: while nothing has changed, and for as long as they took to compute.
//!
//! One request computes, those that ask the same meanwhile wait for it. An answer that took longer than live results take to be
//! renewed is also given again, with its age, for as long as it took: however often and by however many it is asked, a costly question
//! takes at most half of one query's time. The same holds for one that failed.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};

use crate::problem::Problem;
use crate::query::Moment;
use crate::rows::Format;
use crate::sources::{Name, Needs};

/// Answers that are kept, and what each of them may have.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 256 << 10;
/// Live results are renewed about as often: what is computed in less is always of now.
const QUICK: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub path: String,
    pub parameters: Vec<(String, String)>,
    pub format: Format,
}

#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<Key, (Arc<Slot>, Instant)>>);

/// Whoever holds it computes.
pub(super) type Slot = tokio::sync::Mutex<Option<Entry>>;

pub(super) struct Entry {
    state: State,
    answer: Result<Kept, Problem>,
    took: Duration,
    computed: Instant,
}

/// A whole answer.
#[derive(Clone)]
pub(super) struct Kept {
    pub body: Bytes,
    /// How complete it was.
    pub completeness: HeaderMap,
    /// The rest of its head.
    pub headers: HeaderMap,
}

impl Cache {
    pub(super) fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT && !slots.contains_key(&key) {
            let oldest = slots.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            // Requests that wait at it keep it.
            oldest.map(|oldest| slots.remove(&oldest));
        }
        let (slot, used) = slots.entry(key).or_insert_with(|| (Arc::default(), Instant::now()));
        *used = Instant::now();
        Arc::clone(slot)
    }
}

impl Entry {
    /// None for an answer that is too large to be kept.
    pub(super) fn new(state: State, answer: Result<Kept, Problem>, took: Duration) -> Option<Self> {
        let is_large = answer.as_ref().is_ok_and(|kept| kept.body.len() > KEPT_BYTES);
        (!is_large).then(|| Self { state, answer, took, computed: Instant::now() })
    }

    /// The answer, if it is still right. `completeness` is that of now: rows that are the same may be known to be more complete.
    pub(super) fn answer(&self, now: &State, completeness: HeaderMap) -> Option<Result<Kept, Problem>> {
        let age = self.computed.elapsed();
        if self.answer.is_ok() && self.state == *now {
            return Some(self.answer.clone().map(|kept| Kept { completeness, ..kept }));
        }
        if self.took < QUICK || age > self.took {
            return None;
        }
        let aged = self.answer.clone().map(|mut kept| {
            kept.headers.insert(axum::http::header::AGE, HeaderValue::from(age.as_secs()));
            kept
        });
        Some(aged)
    }
}

/// What an answer was made of: where its tables are in memory. They are kept from being reused by others, but not alive.
pub(super) struct State {
    places: Vec<usize>,
    _kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
    }
}

impl State {
    pub(super) fn of(moment: &Moment<'_>, needs: &Needs) -> Self {
        let mut state = Self { places: Vec::new(), _kept: Vec::new() };
        for topic in &needs.topics {
            if let Some(view) = moment.view.topics.get(topic) {
                state.add(&view.archive);
                view.tail.iter().for_each(|rows| state.add_rows(rows));
            }
            state.places.push(usize::MAX);
            if let Some(history) = moment.histories.get(topic) {
                state.add(history);
            }
        }
        for name in &needs.names {
            let (Name::Table(name) | Name::Newest(name)) = name;
            if let Some(metric) = moment.view.metrics.get(name) {
                state.add(&metric.published);
                metric.open.values().for_each(|rows| state.add_rows(rows));
            }
            state.places.push(usize::MAX);
        }
        state.add_rows(moment.reconciliations);
        state
    }

    fn add<T: ?Sized + Send + Sync + 'static>(&mut self, part: &Arc<T>) {
        self.places.push(Arc::as_ptr(part).cast::<()>() as usize);
        self._kept.push(Box::new(Arc::downgrade(part)));
    }

    /// Batches that are the same share their columns.
    fn add_rows(&mut self, rows: &RecordBatch) {
        self.places.push(rows.num_rows());
        rows.columns().iter().for_each(|column| self.add(column));
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn rows(value: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value])) as ArrayRef)]).expect("a batch")
    }

    fn state(rows: &RecordBatch) -> State {
        let mut state = State { places: Vec::new(), _kept: Vec::new() };
        state.add_rows(rows);
        state
    }

    fn kept(bytes: usize) -> Kept {
        Kept { body: vec![0; bytes].into(), completeness: HeaderMap::new(), headers: HeaderMap::new() }
    }

    #[test]
    fn what_has_not_changed_is_told_from_what_looks_the_same() {
        let (one, same) = (rows(1), rows(1));
        assert!(state(&one) == state(&one.clone()));
        assert!(state(&one) != state(&same));
        // An answer does not keep alive what it was made of, and nothing new takes its place in memory.
        let before = state(&one);
        drop(one);
        assert!((0..100).all(|_| before != state(&rows(1))));
    }

    #[test]
    fn costly_answers_are_given_again_for_as_long_as_they_took() {
        let (old, new) = (rows(1), rows(2));
        let entry = |took| Entry::new(state(&old), Ok(kept(3)), took).expect("small");
        let quick = entry(Duration::from_millis(249));
        assert!(quick.answer(&state(&old), HeaderMap::new()).is_some());
        assert!(quick.answer(&state(&new), HeaderMap::new()).is_none());
        let slow = entry(Duration::from_secs(9));
        let again = slow.answer(&state(&new), HeaderMap::new()).expect("again").expect("an answer");
        assert_eq!(again.headers["age"], "0");
        let mut over = entry(Duration::from_secs(9));
        over.computed = Instant::now().checked_sub(Duration::from_secs(10)).expect("a time");
        assert!(over.answer(&state(&new), HeaderMap::new()).is_none());
        let failed = Entry::new(state(&old), Err(Problem::query_timeout()), Duration::from_secs(9)).expect("small");
        assert!(matches!(failed.answer(&state(&old), HeaderMap::new()), Some(Err(_))));
        assert!(Entry::new(state(&old), Ok(kept(KEPT_BYTES + 1)), Duration::ZERO).is_none());
    }

    #[test]
    fn slots_are_bounded() {
        let cache = Cache::default();
        let key = |number: usize| Key { path: format!("/{number}"), parameters: Vec::new(), format: Format::Json };
        let first = cache.slot(key(0));
        assert!(Arc::ptr_eq(&first, &cache.slot(key(0))));
        (1..1000).for_each(|number| drop(cache.slot(key(number))));
        assert_eq!(cache.0.lock().expect("not poisoned").len(), KEPT);
    }
}
