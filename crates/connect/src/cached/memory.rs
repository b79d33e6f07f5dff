//! What a look-up remembers, within its bounds.

use std::collections::HashMap;
use std::time::Instant;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Keys of both generations together: a large site's active users, at some tens of bytes each.
/// Fewer would ask again for keys that come daily.
const KEYS_MAX: usize = 200_000;
/// Bytes of their rows, for tables with long texts.
const BYTES_MAX: usize = 64 << 20;
/// Batches of a generation: more make gathering rows of them slower, fewer mean that they are put
/// together more often.
const BATCHES_MAX: usize = 32;

/// Rows that were found lately.
#[derive(Debug)]
pub(super) struct Memory {
    schema: SchemaRef,
    young: Generation,
    old: Generation,
    keys_max: usize,
}

#[derive(Debug, Default)]
struct Generation {
    keys: HashMap<Box<str>, Entry>,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Batch and row; none for a key that is unknown there.
    place: Option<(usize, usize)>,
    at: Instant,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    /// Among [`Memory::batches`], counted from 1; none for a key that is unknown there.
    pub(super) place: Option<(usize, usize)>,
    pub(super) at: Instant,
}

impl Memory {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let (young, old) = Default::default();
        Self { schema: SchemaRef::clone(schema), young, old, keys_max: KEYS_MAX }
    }

    #[cfg(test)]
    pub(super) fn of_keys(schema: &SchemaRef, keys_max: usize) -> Self {
        Self { keys_max, ..Self::new(schema) }
    }

    /// How many keys it knows, at most.
    #[cfg(test)]
    pub(super) fn key_count(&self) -> usize {
        self.young.keys.len() + self.old.keys.len()
    }

    /// What is known of the key.
    pub(super) fn find(&self, key: &str) -> Option<Remembered> {
        if let Some(entry) = self.young.keys.get(key) {
            return Some(Remembered { place: entry.place.map(|(batch, row)| (batch + 1, row)), at: entry.at });
        }
        let first = self.young.batches.len() + 1;
        let entry = self.old.keys.get(key)?;
        Some(Remembered { place: entry.place.map(|(batch, row)| (batch + first, row)), at: entry.at })
    }

    /// All batches that places are in, in their order.
    pub(super) fn batches(&self) -> impl Iterator<Item = RecordBatch> + '_ {
        self.young.batches.iter().chain(&self.old.batches).cloned()
    }

    /// Keys with a row each, and whether it is known there.
    pub(super) fn learn<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a str>,
        rows: &RecordBatch,
        is_known: &BooleanArray,
        at: Instant,
    ) -> Result<(), ArrowError> {
        let known = filter_record_batch(rows, is_known)?;
        let batch = self.young.batches.len();
        let mut row = 0;
        for (key, is_known) in keys.zip(is_known.values()) {
            let place = is_known.then(|| {
                row += 1;
                (batch, row - 1)
            });
            self.young.keys.insert(key.into(), Entry { place, at });
        }
        if row > 0 {
            self.young.bytes += known.get_array_memory_size();
            self.young.batches.push(known);
        }
        if self.young.batches.len() >= BATCHES_MAX {
            self.young.put_together(&self.schema)?;
        }
        if self.young.keys.len() > self.keys_max / 2 || self.young.bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }
}

impl Generation {
    /// Makes one batch of the rows that keys still stand for.
    fn put_together(&mut self, schema: &SchemaRef) -> Result<(), ArrowError> {
        let mut places = Vec::with_capacity(self.keys.len());
        for entry in self.keys.values_mut() {
            if let Some(place) = entry.place {
                entry.place = Some((0, places.len()));
                places.push(place);
            }
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = match places.is_empty() {
            true => RecordBatch::new_empty(SchemaRef::clone(schema)),
            false => interleave_record_batch(&batches, &places)?,
        };
        self.bytes = rows.get_array_memory_size();
        self.batches = vec![rows];
        Ok(())
    }
}
