//! Rows in the order of their times, with the sums of all rows before some of them: a range costs
//! the difference of two such sums, and a look at the rows between them and its ends.

use std::ops::Range;

use super::levels::{Level, Levels, Wanted};

/// Rows by time. A run stays as it is: what is new is another one, or a run of both.
#[derive(Debug, Default)]
pub(super) struct Run {
    times: Vec<i64>,
    series: Vec<u32>,
    columns: Vec<Values>,
    /// By level.
    known: Vec<Known>,
}

/// What is known of one level, by its parts.
#[derive(Debug, Default)]
struct Known {
    /// Where a part is among those that have rows.
    places: Vec<Option<u32>>,
    parts: Vec<Part>,
}

/// What is known of the cells of one part, before every so many of its rows.
#[derive(Debug, Default)]
struct Part {
    /// Which rows are in it, in order; none if all are.
    rows: Option<Vec<u32>>,
    count: usize,
    step: usize,
    /// Before the first step's end, the second's, and so on to the last row's: of each cell the
    /// number of its rows, and its sums.
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
        // Not `vec![0; …]`: the allocator takes longer to clear memory than this does.
        let values = std::iter::repeat_n(0, groups * width).collect();
        Self { width, values }
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
        let part = self.known.get(wanted.level).and_then(|known| known.part(wanted.part));
        // A value that has come since is in none of the rows.
        let Some(part) = part else { return };
        let (first, end) = (part.place(first), part.place(end));
        if first >= end {
            return;
        }
        if end - first <= part.step {
            return self.add_rows(part, first..end, 1, wanted, totals);
        }
        let (from, until) = (part.nearest(first), part.nearest(end));
        part.add_between(from, until, wanted, totals);
        self.add_rows_between(part, (part.rows_before(from), first), -1, wanted, totals);
        self.add_rows_between(part, (part.rows_before(until), end), 1, wanted, totals);
    }

    /// Adds the rows from one to another, or takes them away if that is before it.
    fn add_rows_between(
        &self,
        part: &Part,
        (from, until): (usize, usize),
        sign: i64,
        wanted: &Wanted<'_>,
        totals: &mut Totals,
    ) {
        match from <= until {
            true => self.add_rows(part, from..until, sign, wanted, totals),
            false => self.add_rows(part, until..from, -sign, wanted, totals),
        }
    }

    /// Adds rows by their numbers in the part.
    fn add_rows(&self, part: &Part, rows: Range<usize>, sign: i64, wanted: &Wanted<'_>, totals: &mut Totals) {
        let with_group = |row: usize| Some((row, wanted.group(self.series[row])? as usize));
        let mut found: Vec<(usize, usize)> = Vec::with_capacity(rows.len());
        match &part.rows {
            Some(own) => found.extend(own[rows].iter().filter_map(|row| with_group(*row as usize))),
            None => found.extend(rows.filter_map(with_group)),
        }
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

    /// With the sums that are known of each part of each level before every so many rows, and
    /// before so many at the least.
    pub(super) fn with_sums(mut self, levels: &Levels, rows_min: usize) -> Result<Self, TooLarge> {
        let known = levels.iter().map(|level| self.known_of(level, rows_min));
        self.known = known.collect::<Result<_, _>>()?;
        Ok(self)
    }

    fn known_of(&self, level: &Level, rows_min: usize) -> Result<Known, TooLarge> {
        let width = 1 + self.columns.len();
        let mut places = vec![None; level.parts().len()];
        let (mut parts, mut running) = (Vec::new(), Vec::new());
        for row in 0..self.len() {
            let (part, cell) = level.place_of(self.series[row]);
            let place = *places[part].get_or_insert_with(|| {
                let cells = level.parts()[part] as usize;
                parts.push(Part::new(level, cells, rows_min));
                running.push(vec![0_i64; cells * width]);
                // Parts have numbers of so many bits.
                parts.len() as u32 - 1
            });
            let (part, running) = (&mut parts[place as usize], &mut running[place as usize]);
            let cell = &mut running[cell * width..][..width];
            cell[0] += 1;
            for (sum, values) in cell[1..].iter_mut().zip(&self.columns) {
                *sum = sum.checked_add(values.at(row)).ok_or(TooLarge)?;
            }
            part.count += 1;
            if let Some(rows) = &mut part.rows {
                rows.push(u32::try_from(row).map_err(|_| TooLarge)?);
            }
            if part.count % part.step == 0 {
                part.before.push(running.clone().into_boxed_slice());
            }
        }
        // What is of now is asked for to the last row.
        for (part, running) in parts.iter_mut().zip(running) {
            if part.count % part.step != 0 && part.count > part.step {
                part.before.push(running.into_boxed_slice());
            }
            if let Some(rows) = &mut part.rows {
                rows.shrink_to_fit();
            }
        }
        Ok(Known { places, parts })
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Values::bytes).sum();
        let known: usize = self.known.iter().map(Known::bytes).sum();
        self.len() * (size_of::<i64>() + size_of::<u32>()) + columns + known
    }
}

impl Known {
    /// None if none of the rows is in it.
    fn part(&self, part: usize) -> Option<&Part> {
        let place = self.places.get(part).copied().flatten()?;
        self.parts.get(place as usize)
    }

    fn bytes(&self) -> usize {
        self.places.len() * size_of::<Option<u32>>() + self.parts.iter().map(Part::bytes).sum::<usize>()
    }
}

impl Part {
    fn new(level: &Level, cells: usize, rows_min: usize) -> Self {
        // What is known before a row takes as much as some rows of each cell.
        let rows_of_each = if level.has_parts() { 2 } else { 4 };
        let step = rows_min.max(cells * rows_of_each).max(1);
        Self { rows: level.has_parts().then(Vec::new), count: 0, step, before: Vec::new() }
    }

    /// How many of its rows are before this row.
    fn place(&self, row: usize) -> usize {
        self.rows.as_ref().map_or(row, |rows| rows.partition_point(|own| (*own as usize) < row))
    }

    /// How many rows so many steps have.
    fn rows_before(&self, steps: usize) -> usize {
        (steps * self.step).min(self.count)
    }

    /// Before how many steps' rows the sums are known that are nearest to one of its rows.
    fn nearest(&self, row: usize) -> usize {
        let steps = (row / self.step).min(self.before.len());
        let next = (steps + 1).min(self.before.len());
        let is_nearer = self.rows_before(next).abs_diff(row) < row.abs_diff(self.rows_before(steps));
        if is_nearer { next } else { steps }
    }

    fn bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.len() * size_of::<u32>());
        size_of::<Self>() + rows + self.before.iter().map(|before| before.len() * size_of::<i64>()).sum::<usize>()
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
