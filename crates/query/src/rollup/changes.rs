//! Where sums are others than before: an answer is the same until a row changes that is in its
//! range and has its values.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::HashSet;

/// Of more, the older half are taken together.
const CHANGES_MAX: usize = 128;
/// Rows of more series may have any values: to look closer would cost more than it saves.
const SERIES_MAX: usize = 1024;
/// A series has twice as many combinations of values with each further dimension.
const DIMENSIONS_MAX: usize = 5;
/// Changes that are taken together know so many combinations at most.
const COMBINATIONS_MAX: usize = 1 << 16;
/// In a combination: the dimension may have any value. No value has this number.
const ANY: u32 = u32::MAX;

/// Tells what was loaded from what is loaded later, and one moment from another.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The first time, and the one after the last.
type Range = (Option<i64>, Option<i64>);

/// Which rows have changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched {
    /// The first and the last of their times; none without rows.
    span: Option<(i64, i64)>,
    series: HashSet<u32>,
    /// Hashes of all combinations of their values. Two that have the same hash are taken for each
    /// other: an answer then seems to have changed that has not.
    combinations: HashSet<u64>,
    /// There are too many of them to be known.
    is_any: bool,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    range: Range,
    /// The hash of its values; none if no row has them.
    combination: Option<u64>,
}

/// What commits have changed since the sums were loaded.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    load: u64,
    /// Their numbers, in order.
    list: Vec<(u64, Arc<Touched>)>,
}

/// A number that no other change or moment has.
pub(super) fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Asked {
    /// All rows in the range.
    #[cfg(test)]
    fn all(range: Range, dimensions: usize) -> Self {
        Self::new(range, Some(&[]), dimensions)
    }

    /// Rows with these values, by the numbers of their dimensions; none if one of the values is in
    /// no row.
    pub(super) fn new(range: Range, filters: Option<&[(usize, u32)]>, dimensions: usize) -> Self {
        let combination = filters.map(|filters| {
            let mut values = vec![ANY; dimensions];
            filters.iter().for_each(|(dimension, value)| values[*dimension] = *value);
            hash(values.into_iter())
        });
        Self { range, combination }
    }
}

impl Touched {
    /// A row of this series, whose values these are.
    pub(super) fn add(&mut self, time: i64, series: u32, values: &[u32]) {
        self.with_span(Some((time, time)));
        if self.is_any || !self.series.insert(series) {
            return;
        }
        if values.len() > DIMENSIONS_MAX || self.series.len() > SERIES_MAX {
            return self.may_be_any();
        }
        for kept in 0..1_u32 << values.len() {
            let value = |(place, value): (u32, &u32)| if kept >> place & 1 == 1 { *value } else { ANY };
            self.combinations.insert(hash((0..).zip(values).map(value)));
        }
    }

    pub(super) fn with(mut self, other: &Self) -> Self {
        self.with_span(other.span);
        self.series.extend(&other.series);
        self.combinations.extend(&other.combinations);
        if self.is_any || other.is_any || self.combinations.len() > COMBINATIONS_MAX {
            self.may_be_any();
        }
        self
    }

    fn with_span(&mut self, other: Option<(i64, i64)>) {
        self.span = match (self.span, other) {
            (Some(own), Some(other)) => Some((own.0.min(other.0), own.1.max(other.1))),
            (own, other) => own.or(other),
        };
    }

    fn may_be_any(&mut self) {
        *self = Self { span: self.span, is_any: true, ..Self::default() };
    }

    /// Whether an answer may have changed.
    pub(super) fn meets(&self, asked: Asked) -> bool {
        let Some(((first, last), combination)) = self.span.zip(asked.combination) else { return false };
        let (from, until) = asked.range;
        from.is_none_or(|from| from <= last)
            && until.is_none_or(|until| first < until)
            && (self.is_any || self.combinations.contains(&combination))
    }
}

/// The same in every process.
fn hash(values: impl Iterator<Item = u32>) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}

impl Changes {
    pub(super) fn loaded() -> Self {
        Self { load: next_number(), list: Vec::new() }
    }

    pub(super) fn add(&mut self, mut touched: Touched) {
        // They were for those that are added to it.
        touched.series = HashSet::new();
        self.list.push((next_number(), Arc::new(touched)));
        if self.list.len() > CHANGES_MAX {
            let older = self.list.drain(..CHANGES_MAX / 2);
            let older =
                older.reduce(|(_, older), (number, next)| (number, Arc::new(Arc::unwrap_or_clone(older).with(&next))));
            self.list.splice(0..0, older);
        }
    }

    /// Tells these sums from those of another time that they were loaded.
    pub(super) fn load(&self) -> u64 {
        self.load
    }

    /// The last change of what is asked; 0 if there was none.
    pub(super) fn last_of(&self, asked: Asked) -> u64 {
        self.list.iter().rev().find(|(_, touched)| touched.meets(asked)).map_or(0, |(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row at each of two times, both of one series.
    fn rows(first: i64, last: i64, values: &[u32]) -> Touched {
        let mut touched = Touched::default();
        touched.add(first, 0, values);
        touched.add(last, 0, values);
        touched
    }

    fn last(changes: &Changes, range: Range, filters: &[(usize, u32)]) -> u64 {
        changes.last_of(Asked::new(range, Some(filters), 2))
    }

    #[test]
    fn a_range_changes_with_what_is_in_it() {
        let mut changes = Changes::loaded();
        let old = (Some(0), Some(10));
        assert_eq!(last(&changes, old, &[]), 0);
        changes.add(rows(10, 20, &[1, 1]));
        changes.add(Touched::default());
        assert_eq!(last(&changes, old, &[]), 0, "its end is not in it");
        assert_ne!(last(&changes, (None, Some(11)), &[]), 0);
        let before = last(&changes, (Some(20), None), &[]);
        changes.add(rows(5, 30, &[1, 1]));
        assert_ne!(last(&changes, old, &[]), 0);
        assert!(last(&changes, (Some(20), None), &[]) > before);
    }

    #[test]
    fn an_answer_changes_with_rows_that_have_all_its_values() {
        let mut changes = Changes::loaded();
        let mut touched = rows(0, 0, &[1, 2]);
        touched.add(0, 1, &[3, 4]);
        changes.add(touched);
        let all = (None, None);
        for filters in [&[][..], &[(0, 1)], &[(1, 2)], &[(0, 1), (1, 2)], &[(1, 4), (0, 3)]] {
            assert_ne!(last(&changes, all, filters), 0, "{filters:?}");
        }
        for filters in [&[(0, 2)][..], &[(0, 1), (1, 4)], &[(0, 3), (1, 2)]] {
            assert_eq!(last(&changes, all, filters), 0, "{filters:?}");
        }
        assert_eq!(changes.last_of(Asked::new(all, None, 2)), 0, "a value that no row has");
    }

    #[test]
    fn rows_of_many_series_may_have_any_values() {
        let mut touched = Touched::default();
        for series in 0..=SERIES_MAX as u32 {
            assert!(!touched.meets(Asked::new((None, None), Some(&[(0, 7)]), 2)));
            touched.add(0, series, &[8, series]);
        }
        assert!(touched.meets(Asked::new((None, None), Some(&[(0, 7)]), 2)));
        assert!(!touched.meets(Asked::all((Some(1), None), 2)), "they still have their times");
        let wide = rows(0, 0, &[0; DIMENSIONS_MAX + 1]);
        assert!(wide.meets(Asked::new((None, None), Some(&[(0, 7)]), DIMENSIONS_MAX + 1)));
    }

    #[test]
    fn many_changes_are_taken_together_and_none_is_forgotten() {
        let mut changes = Changes::loaded();
        let count = 3 * CHANGES_MAX as i64;
        for time in 0..count {
            changes.add(rows(time, time, &[time as u32, 0]));
        }
        assert!(changes.list.len() <= CHANGES_MAX);
        for time in 0..count {
            let range = (Some(time), Some(time + 1));
            assert_ne!(last(&changes, range, &[(0, time as u32)]), 0, "{time}");
            assert_eq!(last(&changes, range, &[(1, 1)]), 0, "{time}");
        }
        assert!(changes.list.is_sorted_by_key(|(number, _)| *number));
    }
}
