//! Which times have other sums than before: an answer over a range is the same until something in
//! the range changes.

use std::sync::atomic::{AtomicU64, Ordering};

/// More are taken together, the oldest first.
const CHANGES_MAX: usize = 1024;

/// Tells what was loaded from what is loaded later, and one moment from another.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The first and the last time of some rows; none without rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span(Option<(i64, i64)>);

/// What commits have changed since the sums were loaded.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    load: u64,
    /// Their numbers, in order.
    list: Vec<(u64, Span)>,
}

/// A number that no other change or moment has.
pub(super) fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Span {
    pub(super) fn add(&mut self, time: i64) {
        *self = self.with(Self(Some((time, time))));
    }

    pub(super) fn with(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(own), Some(other)) => Self(Some((own.0.min(other.0), own.1.max(other.1)))),
            (own, other) => Self(own.or(other)),
        }
    }

    pub(super) fn meets(self, (from, until): (Option<i64>, Option<i64>)) -> bool {
        self.0.is_some_and(|(first, last)| {
            from.is_none_or(|from| from <= last) && until.is_none_or(|until| first < until)
        })
    }
}

impl Changes {
    pub(super) fn loaded() -> Self {
        Self { load: next_number(), list: Vec::new() }
    }

    pub(super) fn add(&mut self, span: Span) {
        self.list.push((next_number(), span));
        if self.list.len() > CHANGES_MAX {
            let oldest = self.list.remove(0);
            self.list[0].1 = self.list[0].1.with(oldest.1);
        }
    }

    /// Tells these sums from those of another time that they were loaded.
    pub(super) fn load(&self) -> u64 {
        self.load
    }

    /// The last change in the range; 0 if there was none.
    pub(super) fn last_in(&self, range: (Option<i64>, Option<i64>)) -> u64 {
        self.list.iter().rev().find(|(_, span)| span.meets(range)).map_or(0, |(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, last: i64) -> Span {
        Span(Some((first, last)))
    }

    #[test]
    fn a_range_changes_with_what_is_in_it() {
        let mut changes = Changes::loaded();
        let old = (Some(0), Some(10));
        assert_eq!(changes.last_in(old), 0);
        changes.add(span(10, 20));
        changes.add(Span::default());
        assert_eq!(changes.last_in(old), 0, "its end is not in it");
        assert_ne!(changes.last_in((None, Some(11))), 0);
        let before = changes.last_in((Some(20), None));
        changes.add(span(5, 30));
        assert_ne!(changes.last_in(old), 0);
        assert!(changes.last_in((Some(20), None)) > before);
    }

    #[test]
    fn many_changes_are_taken_together_and_none_is_forgotten() {
        let mut changes = Changes::loaded();
        for time in 0..2 * CHANGES_MAX as i64 {
            changes.add(span(time, time));
        }
        assert_eq!(changes.list.len(), CHANGES_MAX);
        assert!((0..2 * CHANGES_MAX as i64).all(|time| changes.last_in((Some(time), Some(time + 1))) > 0));
    }
}
