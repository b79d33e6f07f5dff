//! What has changed among a view's rows since they were sent: found key by key, with a hash for
//! each row that was sent.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::error::ArrowError;
use vitral_connect::deleted;
use vitral_store::sinks::SinkState;

use super::shape::Shape;

/// A view with more rows than this is not copied: give it a condition.
pub(super) const ROWS_MAX: usize = 2_000_000;
/// Rows of a batch that is kept or sent.
const BATCH_ROWS: usize = 16 * 1024;

type Key = Box<[u8]>;

/// The rows that the target holds, or need not hold.
#[derive(Debug)]
pub(super) struct Known {
    pub shape: Shape,
    rows: HashMap<Key, Row>,
    /// Counts the comparisons, so that each can tell what it has seen.
    round: u64,
    rows_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    hash: u128,
    round: u64,
}

/// A comparison of all rows of a view with what is known.
#[derive(Debug)]
pub(super) struct Round<'a> {
    known: &'a mut Known,
    /// How many rows the view has.
    seen: usize,
    fresh: HashSet<Key>,
    repeated: HashSet<Key>,
    changed: Vec<Changed>,
    keyless: u64,
}

/// Rows with their keys and hashes.
#[derive(Debug)]
struct Changed {
    rows: RecordBatch,
    of: Vec<(Key, u128)>,
}

/// What a comparison has found.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub batches: Vec<RecordBatch>,
    pub upserts: u64,
    pub deletes: u64,
    /// Rows without a whole key.
    pub keyless: u64,
    /// Keys that several rows have.
    pub repeated: u64,
    /// There is more than was asked for.
    pub has_more: bool,
    /// What is known once they are committed.
    next: Vec<(Key, Option<u128>)>,
}

impl Known {
    pub fn new(shape: Shape) -> Self {
        Self { shape, rows: HashMap::new(), round: 0, rows_max: ROWS_MAX }
    }

    /// As it was committed.
    pub fn load(shape: Shape, state: &SinkState) -> Result<Self, ArrowError> {
        let mut known = Self::new(shape);
        for batch in state.base.iter().flat_map(|base| &base.rows) {
            let keys = known.shape.keys_of_base(batch)?;
            let hashes = batch.column(batch.num_columns() - 1).as_binary::<i32>();
            for (row, key) in keys.iter().enumerate() {
                let hash = hashes.value(row).try_into().map(u128::from_be_bytes).unwrap_or_default();
                known.rows.insert(key.as_ref().into(), Row { hash, round: 0 });
            }
        }
        for batch in state.epochs.iter().flat_map(|epoch| &epoch.rows) {
            // A column that is new since then makes every row another one, and the key is where it
            // was.
            let columns = known.shape.as_written(batch)?;
            let (keys, _) = known.shape.keys_of(&columns)?;
            let hashes = known.shape.hashes_of(&columns)?;
            let is_deleted = deleted(batch);
            for (row, key) in keys.iter().enumerate() {
                if is_deleted.is_some_and(|deleted| deleted.value(row)) {
                    known.rows.remove(key.as_ref());
                } else {
                    known.rows.insert(key.as_ref().into(), Row { hash: hashes[row], round: 0 });
                }
            }
        }
        Ok(known)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every row is another one from here on; the keys stay known.
    pub fn forget_values(&mut self) {
        self.rows.values_mut().for_each(|row| row.hash = 0);
    }

    pub fn round(&mut self) -> Round<'_> {
        self.round += 1;
        let (fresh, repeated) = (HashSet::new(), HashSet::new());
        Round { known: self, seen: 0, fresh, repeated, changed: Vec::new(), keyless: 0 }
    }

    /// The changes are committed.
    pub fn apply(&mut self, changes: &Changes) {
        for (key, hash) in &changes.next {
            match hash {
                Some(hash) => drop(self.rows.insert(key.clone(), Row { hash: *hash, round: self.round })),
                None => drop(self.rows.remove(key)),
            }
        }
    }

    /// All that is known, to be kept.
    pub fn base(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        let rows: Vec<(&[u8], u128)> = self.rows.iter().map(|(key, row)| (key.as_ref(), row.hash)).collect();
        rows.chunks(BATCH_ROWS).map(|rows| self.shape.base(rows)).collect()
    }
}

impl Round<'_> {
    /// Whether there are more rows than can be copied. Those that are known and have left the view
    /// do not count: all keys may change at once, as those of a day do at midnight.
    pub fn is_too_much(&self) -> bool {
        self.seen > self.known.rows_max
    }

    /// Takes in some of the view's rows.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.seen += batch.num_rows();
        let Known { shape, rows, round, .. } = &mut *self.known;
        let columns = shape.cast(batch)?;
        let (keys, is_null) = shape.keys_of(&columns)?;
        let hashes = shape.hashes_of(&columns)?;
        let (mut places, mut of) = (Vec::new(), Vec::new());
        for (row, key) in keys.iter().enumerate() {
            let (key, hash) = (key.as_ref(), hashes[row]);
            if is_null[row] {
                self.keyless += 1;
                continue;
            }
            let has_changed = match rows.get_mut(key) {
                Some(known) if known.round == *round => {
                    self.repeated.insert(key.into());
                    false
                }
                Some(known) => {
                    known.round = *round;
                    known.hash != hash
                }
                None if self.fresh.contains(key) => {
                    self.repeated.insert(key.into());
                    false
                }
                None => self.fresh.insert(key.into()),
            };
            if has_changed {
                places.push(u32::try_from(row).unwrap_or(u32::MAX));
                of.push((Key::from(key), hash));
            }
        }
        if !places.is_empty() {
            let places = UInt32Array::from(places);
            let columns = columns.iter().map(|column| take(column, &places, None)).collect::<Result<_, _>>()?;
            self.changed.push(Changed { rows: shape.batch(columns, false)?, of });
        }
        Ok(())
    }

    /// What has changed, `max` rows at most. Of a key that several rows have, nothing changes:
    /// which of them would hold is not known.
    pub fn finish(self, max: usize) -> Result<Changes, ArrowError> {
        let mut changes = Changes { keyless: self.keyless, repeated: self.repeated.len() as u64, ..Changes::default() };
        let Known { shape, rows: known, round, rows_max } = &*self.known;
        let mut left: Vec<&[u8]> =
            known.iter().filter(|(_, row)| row.round != *round).map(|(key, _)| key.as_ref()).collect();
        // In one order, whatever process finds them.
        left.sort_unstable();
        // They come last, unless so many are known that those must give way first.
        let mut room = if known.len() > *rows_max { max.saturating_sub(left.len()) } else { max };
        for Changed { rows, of } in self.changed {
            let mut wanted = Vec::with_capacity(of.len());
            for (key, hash) in of {
                let is_wanted = !self.repeated.contains(&key);
                wanted.push(is_wanted && room > 0);
                if is_wanted && room > 0 {
                    room -= 1;
                    changes.upserts += 1;
                    changes.next.push((key, Some(hash)));
                } else if is_wanted {
                    changes.has_more = true;
                }
            }
            let rows = filter_record_batch(&rows, &BooleanArray::from(wanted))?;
            if rows.num_rows() > 0 {
                changes.batches.push(rows);
            }
        }
        let room = max.saturating_sub(usize::try_from(changes.upserts).unwrap_or(usize::MAX));
        changes.has_more |= left.len() > room;
        left.truncate(room);
        for keys in left.chunks(BATCH_ROWS) {
            changes.batches.push(shape.deleted(keys.iter().copied())?);
        }
        changes.deletes = left.len() as u64;
        changes.next.extend(left.into_iter().map(|key| (key.into(), None)));
        Ok(changes)
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

#[cfg(test)]
mod tests;
