//! What is counted once in each group, such as the orders of a product: how often, in any range.
//!
//! A key that occurs in one cell alone, a cell being a series at one time, adds up like a sum. One
//! that occurs in several is left out of these sums, and its cells are kept one by one.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::common::{HashMap, HashSet};
use siphasher::sip128::{Hasher128, SipHasher13};

/// Where keys occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) time: i64,
    pub(super) series: u32,
}

/// What a new occurrence does to the sums of keys that occur in one cell alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was known in this cell.
    None,
    /// One more in this cell.
    First(Cell),
    /// One fewer in this cell, as it occurs in another too.
    NoLonger(Cell),
}

/// So many keys are put into an immutable run together.
const FRESH_MAX: usize = 4096;

/// Keys by their hashes, with the cell in which they were seen first. Copies share what is old.
#[derive(Debug, Clone)]
pub(super) struct CountedOnce {
    hash_keys: (u64, u64),
    runs: Vec<Arc<Run>>,
    fresh: HashMap<u128, Cell>,
    repeated: Arc<Repeated>,
    /// Repeated keys that `repeated` does not have yet, or has with fewer cells.
    fresh_repeated: BTreeMap<u128, Vec<Cell>>,
}

/// Keys in the order of their hashes.
#[derive(Debug)]
struct Run {
    hashes: Vec<u128>,
    cells: Vec<Cell>,
    marks: Marks,
}

/// One bit for each hash, of eight times as many: most keys that are not in a run are not searched
/// for.
#[derive(Debug)]
struct Marks(Vec<u64>);

/// Keys that occur in several cells.
#[derive(Debug, Default)]
struct Repeated {
    cells: HashMap<u128, Vec<Cell>>,
    /// The same in the order of their times.
    by_time: Vec<(Cell, u128)>,
}

impl CountedOnce {
    pub(super) fn new() -> Self {
        let random = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            hash_keys: random,
            runs: Vec::new(),
            fresh: HashMap::new(),
            repeated: Arc::default(),
            fresh_repeated: BTreeMap::new(),
        }
    }

    /// A key of a group. Two of so many bits are never the same for different keys.
    pub(super) fn hash(&self, group: u32, key: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.hash_keys.0, self.hash_keys.1);
        group.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    /// Takes in one occurrence.
    pub(super) fn add(&mut self, hash: u128, cell: Cell) -> Change {
        let Some(first) = self.first_cell(hash) else {
            self.fresh.insert(hash, cell);
            if self.fresh.len() >= FRESH_MAX {
                self.settle();
            }
            return Change::First(cell);
        };
        if let Some(cells) = self.repeated_cells(hash) {
            if !cells.contains(&cell) {
                let mut cells = cells.to_vec();
                cells.push(cell);
                self.fresh_repeated.insert(hash, cells);
            }
            return Change::None;
        }
        if first == cell {
            return Change::None;
        }
        self.fresh_repeated.insert(hash, vec![first, cell]);
        if self.fresh_repeated.len() >= FRESH_MAX {
            self.settle_repeated();
        }
        Change::NoLonger(first)
    }

    fn first_cell(&self, hash: u128) -> Option<Cell> {
        let in_run = |run: &Arc<Run>| run.cell(hash);
        self.fresh.get(&hash).copied().or_else(|| self.runs.iter().rev().find_map(in_run))
    }

    fn repeated_cells(&self, hash: u128) -> Option<&[Cell]> {
        let cells = self.fresh_repeated.get(&hash).or_else(|| self.repeated.cells.get(&hash));
        cells.map(Vec::as_slice)
    }

    /// Makes a run of what is fresh, and one of runs that are of about the same size: there are few
    /// of them, and each key is moved few times.
    fn settle(&mut self) {
        let mut fresh: Vec<_> = self.fresh.drain().collect();
        fresh.sort_unstable_by_key(|(hash, _)| *hash);
        let (hashes, cells) = fresh.into_iter().unzip();
        let mut run = Run::new(hashes, cells);
        while self.runs.last().is_some_and(|last| last.hashes.len() < 2 * run.hashes.len()) {
            if let Some(last) = self.runs.pop() {
                run = last.merged(&run);
            }
        }
        self.runs.push(Arc::new(run));
    }

    fn settle_repeated(&mut self) {
        let mut cells = self.repeated.cells.clone();
        cells.extend(std::mem::take(&mut self.fresh_repeated));
        let mut by_time: Vec<_> =
            cells.iter().flat_map(|(hash, cells)| cells.iter().map(|cell| (*cell, *hash))).collect();
        by_time.sort_unstable();
        self.repeated = Arc::new(Repeated { cells, by_time });
    }

    /// Each key that occurs in several cells and in one of the series that are wanted, in this
    /// range, with one of these series.
    pub(super) fn repeated_in(
        &self,
        (from, until): (Option<i64>, Option<i64>),
        is_wanted: impl Fn(u32) -> bool,
        mut found: impl FnMut(u32),
    ) {
        let mut seen = HashSet::new();
        let is_in =
            |cell: &Cell| from.is_none_or(|from| from <= cell.time) && until.is_none_or(|until| cell.time < until);
        for (hash, cells) in &self.fresh_repeated {
            if let Some(cell) = cells.iter().find(|cell| is_in(cell) && is_wanted(cell.series)) {
                found(cell.series);
            }
            // What is older of it has fewer cells.
            seen.insert(*hash);
        }
        let by_time = &self.repeated.by_time;
        let first = from.map_or(0, |from| by_time.partition_point(|(cell, _)| cell.time < from));
        for (cell, hash) in by_time[first..].iter().take_while(|(cell, _)| is_in(cell)) {
            if is_wanted(cell.series) && seen.insert(*hash) {
                found(cell.series);
            }
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let known: usize = self.runs.iter().map(|run| run.hashes.len()).sum();
        let repeated = self.repeated.by_time.len();
        (known + self.fresh.len()) * (size_of::<u128>() + size_of::<Cell>()) + repeated * 96
    }
}

impl Run {
    fn new(hashes: Vec<u128>, cells: Vec<Cell>) -> Self {
        let marks = Marks::of(&hashes);
        Self { hashes, cells, marks }
    }

    fn cell(&self, hash: u128) -> Option<Cell> {
        if !self.marks.may_have(hash) {
            return None;
        }
        self.hashes.binary_search(&hash).ok().map(|place| self.cells[place])
    }

    fn merged(&self, other: &Self) -> Self {
        let count = self.hashes.len() + other.hashes.len();
        let (mut hashes, mut cells) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut own, mut others) = (0, 0);
        while own < self.hashes.len() || others < other.hashes.len() {
            // No key is in two runs.
            let is_own =
                others >= other.hashes.len() || own < self.hashes.len() && self.hashes[own] < other.hashes[others];
            let (run, place) = if is_own { (self, &mut own) } else { (other, &mut others) };
            hashes.push(run.hashes[*place]);
            cells.push(run.cells[*place]);
            *place += 1;
        }
        Self::new(hashes, cells)
    }
}

impl Marks {
    fn of(hashes: &[u128]) -> Self {
        let words = (hashes.len() / 8).next_power_of_two();
        let mut marks = Self(vec![0; words]);
        for hash in hashes {
            let (word, bit) = marks.place(*hash);
            marks.0[word] |= bit;
        }
        marks
    }

    fn may_have(&self, hash: u128) -> bool {
        let (word, bit) = self.place(hash);
        self.0[word] & bit != 0
    }

    /// Hashes are spread evenly over every number of places.
    fn place(&self, hash: u128) -> (usize, u64) {
        let low = hash as u64;
        ((low >> 6) as usize & (self.0.len() - 1), 1 << (low & 63))
    }
}
