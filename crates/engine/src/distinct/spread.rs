//! The texts of states, spread over buckets by their hash.
//!
//! Equal texts share a bucket, so that buckets can be worked through one after the other, each with
//! a small table: a window with millions of texts is counted in the memory of its states and little
//! more.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};

/// About how many texts share a bucket: their table fits in a processor's cache.
const BUCKET_TEXTS: usize = if cfg!(test) { 4 } else { 64 << 10 };
const BUCKETS_MAX: usize = 256;
/// Other than the seeds of the tables, which would else meet texts of similar hashes.
const SEED: u64 = 0x7669_7472_616c;

/// Lists of texts as they came, each with its group, and the order in which buckets hold the texts.
pub(super) struct Spread {
    lists: ListArray,
    groups: Vec<u64>,
    /// Rows of the lists' values: those of the first bucket, ascending, then those of the second.
    order: Vec<u32>,
    /// Where in `order` each bucket begins, and its end.
    starts: Vec<usize>,
    /// Each list is one text.
    are_single: bool,
}

/// How many buckets suit this many texts.
pub(super) fn bucket_count(texts: usize) -> usize {
    texts.div_ceil(BUCKET_TEXTS).clamp(1, BUCKETS_MAX)
}

impl Spread {
    /// Every text of `lists`, of which each has its group.
    pub(super) fn new(lists: ListArray, groups: Vec<u64>, buckets: usize) -> Result<Self> {
        let texts = texts_of(&lists);
        let mut hashes = vec![0; texts.len()];
        create_hashes([&texts], &RandomState::with_seed(SEED), &mut hashes)?;
        let bucket_of = |hash: u64| ((u128::from(hash) * buckets as u128) >> 64) as usize;
        let mut starts = vec![0; buckets + 1];
        for hash in &hashes {
            starts[bucket_of(*hash) + 1] += 1;
        }
        for bucket in 0..buckets {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut order = vec![0; texts.len()];
        for (row, hash) in (0_u32..).zip(&hashes) {
            let place = &mut next[bucket_of(*hash)];
            order[*place] = row;
            *place += 1;
        }
        let are_single = lists.offsets().lengths().all(|length| length == 1);
        Ok(Self { lists, groups, order, starts, are_single })
    }

    /// The texts of one bucket, and the group of each.
    pub(super) fn bucket(&self, bucket: usize) -> Result<(Vec<u64>, ArrayRef)> {
        let rows = &self.order[self.starts[bucket]..self.starts[bucket + 1]];
        let groups = if self.are_single {
            rows.iter().map(|row| self.groups[*row as usize]).collect()
        } else {
            self.groups_of(rows)
        };
        let rows = UInt32Array::from_iter_values(rows.iter().copied());
        Ok((groups, compute::take(&texts_of(&self.lists), &rows, None)?))
    }

    /// The rows ascend, and so do their lists.
    fn groups_of(&self, rows: &[u32]) -> Vec<u64> {
        let offsets = self.lists.value_offsets();
        let mut list = 0;
        let groups = rows.iter().map(|row| {
            while offsets[list + 1] - offsets[0] <= *row as i32 {
                list += 1;
            }
            self.groups[list]
        });
        groups.collect()
    }
}

/// The texts of all lists, one after the other.
pub(super) fn texts_of(lists: &ListArray) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (start, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
    lists.values().slice(start, end - start)
}

/// The lists of a state's column.
pub(super) fn lists_of(column: &ArrayRef) -> ListArray {
    column.as_list::<i32>().clone()
}
