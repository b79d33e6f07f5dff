//! Rows in the order of their times, with the sums of all rows before some of them: a range costs
//! the difference of two such sums, and a look at the rows between them and its ends.

use std::ops::Range;

/// The group of a series that is not asked for.
pub(super) const UNWANTED: u32 = u32::MAX;

/// Rows by time. A run stays as it is: what is new is another one, or a run of both.
#[derive(Debug, Default)]
pub(super) struct Run {
    times: Vec<i64>,
    series: Vec<u32>,
    columns: Vec<Values>,
    /// Sums are known before every so many rows.
    step: usize,
    /// Before the first step's end, the second's, and so on.
    known: Vec<Before>,
}

/// Sums of all rows before one, by series.
#[derive(Debug)]
struct Before {
    rows: Vec<i64>,
    sums: Vec<Vec<i64>>,
}

/// Numbers of one column.
#[derive(Debug)]
enum Values {
    Small(Vec<i32>),
    Large(Vec<i64>),
}

/// A sum is larger than what it is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Which series are asked for, and the groups that they add to.
pub(super) struct Wanted {
    /// Of each series, [`UNWANTED`] if it is none.
    group_of: Vec<u32>,
    /// Series and group.
    pairs: Vec<(u32, u32)>,
}

/// What is added up, by group.
pub(super) struct Totals {
    pub(super) rows: Vec<i64>,
    /// By column.
    pub(super) sums: Vec<Vec<i128>>,
}

impl Wanted {
    pub(super) fn of(group_of: Vec<u32>) -> Self {
        let pairs = (0_u32..).zip(&group_of).filter(|(_, group)| **group != UNWANTED);
        let pairs = pairs.map(|(series, group)| (series, *group)).collect();
        Self { group_of, pairs }
    }

    pub(super) fn group(&self, series: u32) -> Option<u32> {
        self.group_of.get(series as usize).copied().filter(|group| *group != UNWANTED)
    }
}

impl Totals {
    pub(super) fn new(groups: usize, columns: usize) -> Self {
        Self { rows: vec![0; groups], sums: vec![vec![0; groups]; columns] }
    }

    pub(super) fn add(&mut self, group: u32, values: &[i64]) {
        self.rows[group as usize] += 1;
        for (sums, value) in self.sums.iter_mut().zip(values) {
            sums[group as usize] += i128::from(*value);
        }
    }
}

impl Run {
    /// Rows in any order: times, series, and for each row as many values as there are columns.
    pub(super) fn of(
        rows: &[(i64, u32)],
        values: &[i64],
        columns: usize,
        step: (usize, usize),
    ) -> Result<Self, TooLarge> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|row| rows[*row]);
        let column = |column| Values::of(order.iter().map(|row| values[row * columns + column]).collect());
        let run = Self {
            times: order.iter().map(|row| rows[*row].0).collect(),
            series: order.iter().map(|row| rows[*row].1).collect(),
            columns: (0..columns).map(column).collect(),
            ..Self::default()
        };
        run.with_sums(step)
    }

    /// The rows of both.
    pub(super) fn merged(&self, other: &Self, step: (usize, usize)) -> Result<Self, TooLarge> {
        let count = self.len() + other.len();
        let (mut own, mut others) = (0, 0);
        let mut is_own = Vec::with_capacity(count);
        while own < self.len() || others < other.len() {
            let next = others >= other.len() || own < self.len() && self.times[own] <= other.times[others];
            is_own.push(next);
            if next { own += 1 } else { others += 1 }
        }
        let columns = self.columns.iter().zip(&other.columns).map(|(a, b)| a.merged(b, &is_own));
        let run = Self {
            times: merged(&self.times, &other.times, &is_own),
            series: merged(&self.series, &other.series, &is_own),
            columns: columns.collect(),
            ..Self::default()
        };
        run.with_sums(step)
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Adds what is in the range, from the first time to before the second one.
    pub(super) fn add_range(&self, (from, until): (Option<i64>, Option<i64>), wanted: &Wanted, totals: &mut Totals) {
        let before = |time: Option<i64>, open| time.map_or(open, |time| self.times.partition_point(|own| *own < time));
        let (first, end) = (before(from, 0), before(until, self.len()));
        if first >= end {
            return;
        }
        if self.known.is_empty() || end - first <= self.step {
            return self.add_rows(first..end, 1, wanted, totals);
        }
        self.add_before(end, 1, wanted, totals);
        self.add_before(first, -1, wanted, totals);
    }

    /// Adds or takes away all rows before this one, from the nearest sums that are known.
    fn add_before(&self, row: usize, sign: i64, wanted: &Wanted, totals: &mut Totals) {
        let steps = ((row + self.step / 2) / self.step).min(self.known.len());
        if let Some(before) = steps.checked_sub(1).map(|last| &self.known[last]) {
            before.add(sign, wanted, totals);
        }
        let place = steps * self.step;
        if place <= row {
            self.add_rows(place..row, sign, wanted, totals);
        } else {
            self.add_rows(row..place, -sign, wanted, totals);
        }
    }

    fn add_rows(&self, rows: Range<usize>, sign: i64, wanted: &Wanted, totals: &mut Totals) {
        let found = rows.filter_map(|row| Some((row, wanted.group(self.series[row])? as usize)));
        let found: Vec<(usize, usize)> = found.collect();
        for (_, group) in &found {
            totals.rows[*group] += sign;
        }
        for (column, sums) in self.columns.iter().zip(&mut totals.sums) {
            match column {
                Values::Small(values) => {
                    found.iter().for_each(|(row, group)| sums[*group] += i128::from(sign * i64::from(values[*row])));
                }
                Values::Large(values) => {
                    found.iter().for_each(|(row, group)| sums[*group] += i128::from(sign) * i128::from(values[*row]));
                }
            }
        }
    }

    /// `step`: the fewest rows, and the number of series. What is known before a row takes as much
    /// as rows of so many series.
    fn with_sums(mut self, (rows_min, series): (usize, usize)) -> Result<Self, TooLarge> {
        self.step = rows_min.max(series * 2).max(1);
        let mut running = Before { rows: vec![0; series], sums: vec![vec![0; series]; self.columns.len()] };
        let last = self.len() / self.step * self.step;
        for row in 0..last {
            let series = self.series[row] as usize;
            running.rows[series] += 1;
            for (sums, values) in running.sums.iter_mut().zip(&self.columns) {
                sums[series] = sums[series].checked_add(values.at(row)).ok_or(TooLarge)?;
            }
            if (row + 1) % self.step == 0 {
                self.known.push(Before { rows: running.rows.clone(), sums: running.sums.clone() });
            }
        }
        Ok(self)
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Values::bytes).sum();
        let known = self.known.iter().map(|before| before.rows.len() * (1 + before.sums.len()) * size_of::<i64>());
        self.len() * (size_of::<i64>() + size_of::<u32>()) + columns + known.sum::<usize>()
    }
}

impl Before {
    fn add(&self, sign: i64, wanted: &Wanted, totals: &mut Totals) {
        // Those that have come since are behind these.
        let known = wanted.pairs.partition_point(|(series, _)| (*series as usize) < self.rows.len());
        let pairs = &wanted.pairs[..known];
        pairs.iter().for_each(|(series, group)| totals.rows[*group as usize] += sign * self.rows[*series as usize]);
        for (own, sums) in self.sums.iter().zip(&mut totals.sums) {
            let sign = i128::from(sign);
            pairs.iter().for_each(|(series, group)| sums[*group as usize] += sign * i128::from(own[*series as usize]));
        }
    }
}

impl Values {
    fn of(values: Vec<i64>) -> Self {
        let small: Result<Vec<i32>, _> = values.iter().map(|value| i32::try_from(*value)).collect();
        small.map_or(Self::Large(values), Self::Small)
    }

    fn at(&self, row: usize) -> i64 {
        match self {
            Self::Small(values) => values[row].into(),
            Self::Large(values) => values[row],
        }
    }

    fn merged(&self, other: &Self, is_own: &[bool]) -> Self {
        match (self, other) {
            (Self::Small(own), Self::Small(other)) => Self::Small(merged(own, other, is_own)),
            _ => Self::Large(merged(&self.large(), &other.large(), is_own)),
        }
    }

    fn large(&self) -> Vec<i64> {
        match self {
            Self::Small(values) => values.iter().map(|value| i64::from(*value)).collect(),
            Self::Large(values) => values.clone(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Small(values) => values.len() * size_of::<i32>(),
            Self::Large(values) => values.len() * size_of::<i64>(),
        }
    }
}

fn merged<T: Copy>(own: &[T], other: &[T], is_own: &[bool]) -> Vec<T> {
    let (mut own, mut other) = (own.iter(), other.iter());
    let mut all = Vec::with_capacity(is_own.len());
    all.extend(is_own.iter().filter_map(|is_own| if *is_own { own.next() } else { other.next() }));
    all
}
