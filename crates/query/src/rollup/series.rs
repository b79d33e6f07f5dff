//! One combination of keys: its times in order, and running sums next to them.

/// Sums that may be taken between any two times. Columns are as many as the rows that it is made
/// of have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Series {
    times: Vec<i64>,
    /// For each column, the sum of all rows up to the one of the same place.
    running: Vec<Vec<i64>>,
}

/// A sum is larger than what it is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Series {
    /// Adds the sums of rows whose times are in this range, or have any time where an end is open;
    /// false if there are no such rows.
    pub(super) fn add_range(&self, (from, until): (Option<i64>, Option<i64>), sums: &mut [i128]) -> bool {
        let before =
            |time: Option<i64>, open: usize| time.map_or(open, |time| self.times.partition_point(|own| *own < time));
        let (first, end) = (before(from, 0), before(until, self.times.len()));
        if first >= end {
            return false;
        }
        for (sum, running) in sums.iter_mut().zip(&self.running) {
            let before = first.checked_sub(1).map_or(0, |last| running[last]);
            *sum += i128::from(running[end - 1]) - i128::from(before);
        }
        true
    }

    /// The same series with more rows, which are in the order of their times: `rows` holds the
    /// time, and `value` gives the value of a row in a column.
    pub(super) fn with(
        &self,
        columns: usize,
        rows: &[(i64, usize)],
        value: impl Fn(usize, usize) -> i64,
    ) -> Result<Self, TooLarge> {
        let mut times = Vec::with_capacity(self.times.len() + rows.len());
        let mut running = vec![Vec::with_capacity(self.times.len() + rows.len()); columns];
        let (mut own, mut new) = (0, 0);
        let mut sums = vec![0_i64; columns];
        while own < self.times.len() || new < rows.len() {
            let own_time = self.times.get(own).copied().unwrap_or(i64::MAX);
            let new_time = rows.get(new).map_or(i64::MAX, |(time, _)| *time);
            let is_own = own < self.times.len() && (own_time <= new_time || new >= rows.len());
            let time = if is_own { own_time } else { new_time };
            for (column, sum) in sums.iter_mut().enumerate() {
                let added = if is_own { self.at(own, column) } else { value(rows[new].1, column) };
                *sum = sum.checked_add(added).ok_or(TooLarge)?;
            }
            if is_own {
                own += 1
            } else {
                new += 1
            }
            let is_known = times.last() == Some(&time);
            if !is_known {
                times.push(time);
            }
            for (running, sum) in running.iter_mut().zip(&sums) {
                match running.last_mut() {
                    Some(last) if is_known => *last = *sum,
                    _ => running.push(*sum),
                }
            }
        }
        times.shrink_to_fit();
        running.iter_mut().for_each(Vec::shrink_to_fit);
        Ok(Self { times, running })
    }

    fn at(&self, row: usize, column: usize) -> i64 {
        let running = &self.running[column];
        // Both are in it, so their difference fits: it was added once.
        running[row] - row.checked_sub(1).map_or(0, |before| running[before])
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.times.len() * size_of::<i64>() * (1 + self.running.len())
    }
}
