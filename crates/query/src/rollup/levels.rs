//! Series, and coarser cells of them: a question that leaves a filter out need not look at every
//! series.
//!
//! A series is one combination of values of all dimensions, a cell of a level one of those that the
//! level keeps. The first level keeps all of them; each further one leaves out one more filter, if
//! that makes it much smaller.
//!
//! A question that comes to a level has a value for the filter that the next one leaves out: else
//! that one would have answered it. So the cells of one such value are together, in a part.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use datafusion::common::{HashMap, HashSet};

/// A level has so many times fewer cells than the one before it.
const COARSER: usize = 4;

/// All levels. Copies share what is old.
#[derive(Debug, Clone)]
pub(super) struct Levels(Vec<Level>);

#[derive(Debug, Clone)]
pub(super) struct Level {
    /// The dimensions that it keeps; the one to group by is the first.
    dimensions: Vec<usize>,
    /// The values of each dimension that it keeps, by cell.
    keys: Vec<Arc<Vec<u32>>>,
    numbers: Numbers,
    /// Which cell a series is in; empty in the first level, where each is its own.
    cell_of: Arc<Vec<u32>>,
    places: Arc<Places>,
    parts: Parts,
}

/// Which part of a level each cell is in.
#[derive(Debug, Clone, Default)]
struct Parts {
    /// Where the filter that the next level leaves out is among the level's dimensions: parts have
    /// the numbers of its values. The last level is one part.
    place: Option<usize>,
    /// The number of a cell in its part.
    ranks: Arc<Vec<u32>>,
    /// How many cells each part has.
    counts: Arc<Vec<u32>>,
}

/// The numbers of combinations.
#[derive(Debug, Clone, Default)]
struct Numbers {
    known: Arc<HashMap<Box<[u32]>, u32>>,
    /// Those that have come since rows were last put into a run.
    new: HashMap<Box<[u32]>, u32>,
}

/// Which cells have a value, of the first so many cells.
#[derive(Debug, Default)]
struct Places {
    count: usize,
    /// By dimension of the level, and by value.
    cells: Vec<Vec<Vec<u32>>>,
}

/// What is asked of a level.
pub(super) struct Wanted<'a> {
    pub(super) level: usize,
    pub(super) part: usize,
    cell_of: &'a [u32],
    groups: &'a [u32],
    /// The numbers of cells in the part, in order, and their groups.
    pub(super) cells: Vec<(u32, u32)>,
    /// One bit for each cell.
    bits: Vec<u64>,
}

impl Wanted<'_> {
    /// The group of a series; none if it is not asked for.
    pub(super) fn group(&self, series: u32) -> Option<u32> {
        let cell = if self.level == 0 { series } else { self.cell_of[series as usize] } as usize;
        (self.bits[cell / 64] >> (cell % 64) & 1 == 1).then(|| self.groups[cell])
    }
}

impl Levels {
    pub(super) fn new(dimensions: usize) -> Self {
        Self(vec![Level::new((0..dimensions).collect())])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Level> {
        self.0.iter()
    }

    /// The group of a series.
    pub(super) fn group(&self, series: u32) -> u32 {
        self.0[0].keys[0][series as usize]
    }

    /// The number of the series with these values.
    pub(super) fn series(&mut self, key: &[u32]) -> u32 {
        let (known, is_new) = self.0[0].number(key);
        if is_new {
            self.0[1..].iter_mut().for_each(|level| level.place(key));
        }
        known
    }

    /// Makes what is new old. Levels are chosen again if nothing depends on them.
    pub(super) fn settle(&mut self, may_choose: bool) {
        if may_choose {
            self.choose();
        }
        self.0.iter_mut().for_each(Level::settle);
    }

    fn choose(&mut self) {
        self.0.truncate(1);
        self.0[0].part_by(None);
        let series = &self.0[0];
        let (mut kept, mut count) = (series.dimensions.clone(), series.len());
        loop {
            let without = kept[1..].iter().map(|left_out| {
                let dimensions: Vec<_> = kept.iter().copied().filter(|own| own != left_out).collect();
                (self.combinations(&dimensions), dimensions)
            });
            let Some((fewest, dimensions)) = without.min() else { return };
            if fewest * COARSER > count {
                return;
            }
            let level = self.level(dimensions.clone());
            if let Some(last) = self.0.last_mut() {
                last.part_by(last.dimensions.iter().position(|own| !dimensions.contains(own)));
            }
            self.0.push(level);
            (kept, count) = (dimensions, fewest);
        }
    }

    /// About how many there are: by their hashes.
    fn combinations(&self, dimensions: &[usize]) -> usize {
        let (series, hasher) = (&self.0[0], RandomState::new());
        let hash = |row: usize| {
            let mut hash = hasher.build_hasher();
            dimensions.iter().for_each(|dimension| hash.write_u32(series.keys[*dimension][row]));
            hash.finish()
        };
        (0..series.len()).map(hash).collect::<HashSet<u64>>().len()
    }

    fn level(&self, dimensions: Vec<usize>) -> Level {
        let (series, mut level) = (&self.0[0], Level::new(dimensions));
        for row in 0..series.len() {
            let key: Vec<u32> = series.keys.iter().map(|keys| keys[row]).collect();
            level.place(&key);
        }
        level
    }

    /// Which cells have these values, by the numbers of their dimensions, in the coarsest level
    /// that has all of them.
    pub(super) fn wanted(&self, filters: &[(usize, u32)]) -> Wanted<'_> {
        let has_all = |level: &Level| filters.iter().all(|(dimension, _)| level.dimensions.contains(dimension));
        let number = self.0.iter().rposition(has_all).unwrap_or_default();
        let level = &self.0[number];
        let mut cells = level.with(filters);
        let part = cells.first().map_or(0, |(cell, _)| level.part(*cell));
        let mut bits = vec![0_u64; level.len().div_ceil(64)];
        for (cell, _) in &mut cells {
            bits[*cell as usize / 64] |= 1 << (*cell % 64);
            *cell = level.parts.ranks[*cell as usize];
        }
        Wanted { level: number, part, cell_of: &level.cell_of, groups: &level.keys[0], cells, bits }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let of_level = |level: &Level| level.len() * (level.keys.len() * size_of::<u32>() * 3 + size_of::<u32>() + 64);
        self.0.iter().map(|level| of_level(level) + level.cell_of.len() * size_of::<u32>()).sum()
    }
}

impl Level {
    fn new(dimensions: Vec<usize>) -> Self {
        let keys = vec![Arc::default(); dimensions.len()];
        Self {
            dimensions,
            keys,
            numbers: Numbers::default(),
            cell_of: Arc::default(),
            places: Arc::default(),
            parts: Parts::default(),
        }
    }

    /// How many cells each part has.
    pub(super) fn parts(&self) -> &[u32] {
        &self.parts.counts
    }

    /// Whether there is more than one.
    pub(super) fn has_parts(&self) -> bool {
        self.parts.place.is_some()
    }

    /// The part that a series is in, and the number of its cell there.
    pub(super) fn place_of(&self, series: u32) -> (usize, usize) {
        let cell = self.cell(series);
        (self.part(cell), self.parts.ranks[cell as usize] as usize)
    }

    fn part(&self, cell: u32) -> usize {
        self.parts.place.map_or(0, |place| self.keys[place][cell as usize] as usize)
    }

    /// Puts cells together that have the same value of this dimension.
    fn part_by(&mut self, place: Option<usize>) {
        self.parts = Parts { place, ..Parts::default() };
        for cell in 0..self.len() as u32 {
            self.parts.add(self.part(cell));
        }
    }

    fn len(&self) -> usize {
        self.keys[0].len()
    }

    fn cell(&self, series: u32) -> u32 {
        self.cell_of.get(series as usize).copied().unwrap_or(series)
    }

    /// The number of a combination, and whether it is a new one.
    fn number(&mut self, key: &[u32]) -> (u32, bool) {
        if let Some(number) = self.numbers.known.get(key).or_else(|| self.numbers.new.get(key)) {
            return (*number, false);
        }
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX);
        for (keys, value) in self.keys.iter_mut().zip(key) {
            Arc::make_mut(keys).push(*value);
        }
        self.numbers.new.insert(key.into(), number);
        self.parts.add(self.part(number));
        (number, true)
    }

    /// The cell of the next series.
    fn place(&mut self, series: &[u32]) {
        let key: Vec<u32> = self.dimensions.iter().map(|dimension| series[*dimension]).collect();
        let (cell, _) = self.number(&key);
        Arc::make_mut(&mut self.cell_of).push(cell);
    }

    fn settle(&mut self) {
        if !self.numbers.new.is_empty() {
            Arc::make_mut(&mut self.numbers.known).extend(std::mem::take(&mut self.numbers.new));
        }
        if self.places.count < self.len() {
            self.places = Arc::new(Places::of(&self.keys));
        }
    }

    /// The cells that have these values, and their groups.
    fn with(&self, filters: &[(usize, u32)]) -> Vec<(u32, u32)> {
        let groups = &self.keys[0];
        let place = |dimension: &usize| self.dimensions.iter().position(|own| own == dimension);
        let filters: Vec<(usize, u32)> =
            filters.iter().filter_map(|(dimension, value)| Some((place(dimension)?, *value))).collect();
        let has_all = |cell: &u32| filters.iter().all(|(place, value)| self.keys[*place][*cell as usize] == *value);
        let with_group = |cell: u32| (cell, groups[cell as usize]);
        let few = filters.iter().map(|(place, value)| self.places.of_value(*place, *value));
        let Some(few) = few.min_by_key(|cells| cells.len()) else {
            return (0..self.len() as u32).filter(has_all).map(with_group).collect();
        };
        // Those that have come since are looked at one by one.
        let new = self.places.count as u32..self.len() as u32;
        few.iter().copied().chain(new).filter(has_all).map(with_group).collect()
    }
}

impl Parts {
    /// The next cell is in this part.
    fn add(&mut self, part: usize) {
        let counts = Arc::make_mut(&mut self.counts);
        if counts.len() <= part {
            counts.resize(part + 1, 0);
        }
        Arc::make_mut(&mut self.ranks).push(counts[part]);
        counts[part] += 1;
    }
}

impl Places {
    fn of(keys: &[Arc<Vec<u32>>]) -> Self {
        let cells = keys.iter().map(|values| {
            let mut cells = Vec::new();
            for (cell, value) in (0_u32..).zip(values.iter()) {
                let value = *value as usize;
                if cells.len() <= value {
                    cells.resize(value + 1, Vec::new());
                }
                cells[value].push(cell);
            }
            cells
        });
        Self { count: keys[0].len(), cells: cells.collect() }
    }

    fn of_value(&self, place: usize, value: u32) -> &[u32] {
        self.cells.get(place).and_then(|cells| cells.get(value as usize)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups 0 to 9 in category `group % 2`, in each of 20 places, in one of two currencies each.
    fn levels() -> Levels {
        let mut levels = Levels::new(4);
        for group in 0..10 {
            for place in 0..20 {
                levels.series(&[group, group % 2, place, place % 2]);
            }
        }
        levels
    }

    #[test]
    fn a_filter_is_left_out_where_that_makes_a_level_much_smaller() {
        let mut levels = levels();
        let cells = |levels: &Levels| levels.iter().map(Level::len).collect::<Vec<_>>();
        assert_eq!(cells(&levels), [200]);
        levels.settle(true);
        // Places are; categories and currencies are not worth it.
        assert_eq!(cells(&levels), [200, 20]);
        let wanted = |filters: &[(usize, u32)]| {
            let wanted = levels.wanted(filters);
            (wanted.level, wanted.cells.len())
        };
        assert_eq!(wanted(&[]), (1, 20));
        assert_eq!(wanted(&[(1, 0)]), (1, 10));
        assert_eq!(wanted(&[(1, 0), (3, 1)]), (1, 5));
        assert_eq!(wanted(&[(2, 7)]), (0, 10));
        assert_eq!(wanted(&[(2, 7), (3, 0)]), (0, 0));
        assert_eq!(wanted(&[(0, 3), (2, 7)]), (0, 1));
        assert_eq!(wanted(&[(2, 99)]), (0, 0));
    }

    #[test]
    fn what_comes_later_is_found_in_each_level() {
        let mut levels = levels();
        levels.settle(true);
        let before = levels.clone();
        let series = levels.series(&[11, 0, 7, 1]);
        assert_eq!((series, levels.series(&[11, 0, 7, 1])), (200, 200));
        for (filters, level, count) in [(vec![], 1, 21), (vec![(2, 7)], 0, 11), (vec![(1, 0), (3, 1)], 1, 6)] {
            let wanted = levels.wanted(&filters);
            assert_eq!((wanted.level, wanted.cells.len(), wanted.group(series)), (level, count, Some(11)));
            assert_eq!(before.wanted(&filters).cells.len(), count - 1, "a copy stays as it was");
        }
        assert_eq!(levels.wanted(&[(1, 1)]).group(series), None);
        levels.settle(false);
        assert_eq!(levels.iter().map(Level::len).collect::<Vec<_>>(), [201, 21]);
        assert_eq!(levels.wanted(&[(2, 7)]).cells.len(), 11);
    }

    #[test]
    fn cells_with_one_value_of_what_the_next_level_leaves_out_are_together() {
        let mut levels = levels();
        levels.settle(true);
        levels.series(&[12, 0, 7, 1]);
        let parts: Vec<_> = levels.iter().map(|level| (level.has_parts(), level.parts().to_vec())).collect();
        let by_place: Vec<u32> = (0..20).map(|place| if place == 7 { 11 } else { 10 }).collect();
        assert_eq!(parts, [(true, by_place), (false, vec![21])]);
        let wanted = levels.wanted(&[(2, 7)]);
        assert_eq!(wanted.part, 7);
        let groups: Vec<_> = (0..11).zip((0..10).chain([12])).collect();
        assert_eq!(wanted.cells, groups);
        assert_eq!(levels.iter().map(|level| level.place_of(200)).collect::<Vec<_>>(), [(7, 10), (0, 20)]);
    }
}
