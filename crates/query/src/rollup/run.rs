//! Rows in the order of their times, with the sums of all rows before some of them: a range costs
//! the difference of two such sums, and a look at the rows between them and its ends.

use std::ops::Range;

use super::levels::{Levels, Wanted};

/// Rows by time. A run stays as it is: what is new is another one, or a run of both.
#[derive(Debug, Default)]
pub(super) struct Run {
    times: Vec<i64>,
    series: Vec<u32>,
    columns: Vec<Values>,
    /// By level.
    known: Vec<Known>,
}

/// What is known of the cells of one level, before every so many rows.
#[derive(Debug, Default)]
struct Known {
    step: usize,
    /// Before the first step's end, the second's, and so on: of each cell the number of its rows,
    /// and its sums.
    before: Vec<Box<[i64]>>,
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

/// What is added up, by group.
pub(super) struct Totals {
    /// The number of rows, and each column's sum.
    width: usize,
    values: Vec<i128>,
}

impl Totals {
    pub(super) fn new(groups: usize, columns: usize) -> Self {
        let width = 1 + columns;
        Self { width, values: vec![0; groups * width] }
    }

    /// A row of the group.
    pub(super) fn add(&mut self, group: u32, values: &[i64]) {
        let own = self.of_mut(group);
        own[0] += 1;
        own[1..].iter_mut().zip(values).for_each(|(own, value)| *own += i128::from(*value));
    }

    /// The number of rows, and each column's sum.
    pub(super) fn of(&self, group: usize) -> &[i128] {
        &self.values[group * self.width..][..self.width]
    }

    pub(super) fn of_mut(&mut self, group: u32) -> &mut [i128] {
        &mut self.values[group as usize * self.width..][..self.width]
    }
}

impl Run {
    /// Rows in any order: times, series, and for each row as many values as there are columns.
    pub(super) fn of(rows: &[(i64, u32)], values: &[i64], columns: usize) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|row| rows[*row]);
        let column = |column| Values::of(order.iter().map(|row| values[row * columns + column]).collect());
        Self {
            times: order.iter().map(|row| rows[*row].0).collect(),
            series: order.iter().map(|row| rows[*row].1).collect(),
            columns: (0..columns).map(column).collect(),
            known: Vec::new(),
        }
    }

    /// The rows of both, without sums.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let count = self.len() + other.len();
        let (mut own, mut others) = (0, 0);
        let mut is_own = Vec::with_capacity(count);
        while own < self.len() || others < other.len() {
            let next = others >= other.len() || own < self.len() && self.times[own] <= other.times[others];
            is_own.push(next);
            if next { own += 1 } else { others += 1 }
        }
        let columns = self.columns.iter().zip(&other.columns).map(|(a, b)| a.merged(b, &is_own));
        Self {
            times: merged(&self.times, &other.times, &is_own),
            series: merged(&self.series, &other.series, &is_own),
            columns: columns.collect(),
            known: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Adds what is in the range, from the first time to before the second one.
    pub(super) fn add_range(
        &self,
        (from, until): (Option<i64>, Option<i64>),
        wanted: &Wanted<'_>,
        totals: &mut Totals,
    ) {
        let before = |time: Option<i64>, open| time.map_or(open, |time| self.times.partition_point(|own| *own < time));
        let (first, end) = (before(from, 0), before(until, self.len()));
        if first >= end {
            return;
        }
        match self.known.get(wanted.level) {
            Some(known) if !known.before.is_empty() && end - first > known.step => {
                let (from, until) = (known.nearest(first), known.nearest(end));
                known.add_between(from, until, wanted, totals);
                self.add_rows_between(from * known.step, first, -1, wanted, totals);
                self.add_rows_between(until * known.step, end, 1, wanted, totals);
            }
            _ => self.add_rows(first..end, 1, wanted, totals),
        }
    }

    /// Adds the rows from one to another, or takes them away if that is before it.
    fn add_rows_between(&self, from: usize, until: usize, sign: i64, wanted: &Wanted<'_>, totals: &mut Totals) {
        match from <= until {
            true => self.add_rows(from..until, sign, wanted, totals),
            false => self.add_rows(until..from, -sign, wanted, totals),
        }
    }

    fn add_rows(&self, rows: Range<usize>, sign: i64, wanted: &Wanted<'_>, totals: &mut Totals) {
        let found = rows.filter_map(|row| Some((row, wanted.group(self.series[row])? as usize)));
        let found: Vec<(usize, usize)> = found.collect();
        let Totals { width, values } = totals;
        for (_, group) in &found {
            values[group * *width] += i128::from(sign);
        }
        for (place, column) in (1..).zip(&self.columns) {
            match column {
                Values::Small(own) => found.iter().for_each(|(row, group)| {
                    values[group * *width + place] += i128::from(sign * i64::from(own[*row]));
                }),
                Values::Large(own) => found.iter().for_each(|(row, group)| {
                    values[group * *width + place] += i128::from(sign) * i128::from(own[*row]);
                }),
            }
        }
    }

    /// With the sums that are known of each level before every so many rows, and before so many at
    /// the least.
    pub(super) fn with_sums(mut self, levels: &Levels, rows_min: usize) -> Result<Self, TooLarge> {
        let width = 1 + self.columns.len();
        for (level, cells) in levels.cells().into_iter().enumerate() {
            // What is known before a row takes as much as some rows of each cell: fewer of the
            // series, as rows are not looked at as fast as cells.
            let rows_of_each = if level == 0 { 2 } else { 4 };
            let step = rows_min.max(cells * rows_of_each).max(1);
            let mut running = vec![0_i64; cells * width];
            let mut before = Vec::new();
            for row in 0..self.len() / step * step {
                let cell = &mut running[levels.cell(level, self.series[row]) * width..][..width];
                cell[0] += 1;
                for (sum, values) in cell[1..].iter_mut().zip(&self.columns) {
                    *sum = sum.checked_add(values.at(row)).ok_or(TooLarge)?;
                }
                if (row + 1) % step == 0 {
                    before.push(running.clone().into_boxed_slice());
                }
            }
            self.known.push(Known { step, before });
        }
        Ok(self)
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Values::bytes).sum();
        let known = self.known.iter().flat_map(|known| &known.before).map(|before| before.len() * size_of::<i64>());
        self.len() * (size_of::<i64>() + size_of::<u32>()) + columns + known.sum::<usize>()
    }
}

impl Known {
    /// Before how many steps' rows the sums are known that are nearest to a row.
    fn nearest(&self, row: usize) -> usize {
        ((row + self.step / 2) / self.step).min(self.before.len())
    }

    /// Adds what the steps from the first to before the second one have.
    fn add_between(&self, from: usize, until: usize, wanted: &Wanted<'_>, totals: &mut Totals) {
        let before = |steps: usize| steps.checked_sub(1).map(|last| &*self.before[last]);
        let Some(later) = before(until).filter(|_| from < until) else { return };
        let width = totals.width;
        // Cells that have come since are behind these.
        let known = wanted.cells.partition_point(|(cell, _)| (*cell as usize) < later.len() / width);
        for (cell, group) in &wanted.cells[..known] {
            let place = *cell as usize * width..(*cell as usize + 1) * width;
            let sums = totals.of_mut(*group).iter_mut();
            match before(from) {
                Some(earlier) => {
                    let differences = later[place.clone()].iter().zip(&earlier[place]);
                    sums.zip(differences).for_each(|(sum, (later, earlier))| {
                        *sum += i128::from(*later) - i128::from(*earlier);
                    });
                }
                None => sums.zip(&later[place]).for_each(|(sum, later)| *sum += i128::from(*later)),
            }
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
