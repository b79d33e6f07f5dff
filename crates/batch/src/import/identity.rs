//! What tells a row of a file from any other: its event id, else its cells as the file writes them, hashed.
//!
//! Neither depends on how numbers and dates are understood, nor on the line: a file that grew, was sorted or saved again has the same rows.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use vitral_catalog::ImportTarget;
use vitral_schemas::topic::Topic;

use super::mapping::Mapping;
use super::source::Row;

/// What tells one row apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// All of its cells.
    pub(super) cells: u128,
    /// The cells of the key.
    pub(super) key: u128,
    pub(super) event_id: Option<u128>,
}

/// Marks the rows of one file.
#[derive(Debug)]
pub(super) struct Marker {
    /// What every row of the table has: the same cells are another row elsewhere.
    base: SipHasher13,
    /// The header's columns in the order of their names: columns that change places change no row.
    cells: Vec<(usize, String)>,
    /// Columns that are used, in the order of the topic's names that they fill, with whether they are of the key.
    used: Vec<(usize, String, bool)>,
    /// Columns that must be filled for the key to be of its columns alone.
    key_first: Vec<usize>,
    event_id: Option<usize>,
}

impl Marker {
    pub(super) fn new(header: &[String], mapping: &Mapping, topic: &Topic, target: &ImportTarget) -> Self {
        let mut base = SipHasher13::new();
        let mut constants = target.constants.clone();
        constants.sort();
        for (column, text) in &constants {
            put(&mut base, column);
            put(&mut base, text);
        }
        let named = |(index, name): (usize, &String)| (index, heading(name, index));
        let mut cells: Vec<(usize, String)> = header.iter().enumerate().map(named).collect();
        cells.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let filled = |name: &str| -> Vec<usize> {
            mapping.filled().filter(|(_, column)| *column == name).map(|(index, _)| index).collect()
        };
        let is_of_key = |name: &str| target.key.iter().any(|key| key == name);
        // A time of day in a column of its own is a part of the event time.
        let has_time = is_of_key(&topic.columns[topic.event_time].name);
        let mut used: Vec<(usize, String, bool)> = mapping
            .filled()
            .map(|(index, column)| {
                (index, column.to_owned(), is_of_key(column) || (has_time && mapping.is_clock(index)))
            })
            .collect();
        used.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let key_first = target.key.first().map(|first| filled(first)).unwrap_or_default();
        let event_id = topic.event_id.and_then(|index| filled(&topic.columns[index].name).first().copied());
        Self { base, cells, used, key_first, event_id }
    }

    pub(super) fn marks(&self, row: &Row) -> Marks {
        let text = |index: usize| row.cells.get(index).and_then(Option::as_ref).map_or("", |cell| cell.text.trim());
        let mut cells = self.base;
        cells.write_u8(0);
        for (index, name) in &self.cells {
            put_cell(&mut cells, name, text(*index));
        }
        for index in self.cells.len()..row.cells.len() {
            put_cell(&mut cells, &heading("", index), text(index));
        }
        let has_key = self.key_first.iter().any(|index| !text(*index).is_empty());
        let mut key = self.base;
        key.write_u8(1 + u8::from(has_key));
        for (index, column, _) in self.used.iter().filter(|(.., is_of_key)| *is_of_key || !has_key) {
            put_cell(&mut key, column, text(*index));
        }
        let id = self.event_id.map(text).filter(|id| !id.is_empty());
        Marks { cells: cells.finish128().as_u128(), key: key.finish128().as_u128(), event_id: id.map(event_id) }
    }

    /// What [`Self::marks`] gives for cells that are kept as JSON, by their headings.
    pub(super) fn cells_of_json(&self, text: &str) -> Option<u128> {
        let mut pairs: Vec<(String, String)> = serde_json::from_str::<serde_json::Map<_, _>>(text)
            .ok()?
            .into_iter()
            .map(|(heading, cell)| (heading, cell.as_str().unwrap_or_default().to_owned()))
            .collect();
        let place = |heading: &str| self.cells.iter().position(|(_, known)| known == heading);
        pairs.sort_by_cached_key(|(heading, _)| (place(heading).unwrap_or(usize::MAX), heading.clone()));
        let mut cells = self.base;
        cells.write_u8(0);
        for (heading, cell) in &pairs {
            put_cell(&mut cells, heading, cell.trim());
        }
        Some(cells.finish128().as_u128())
    }
}

/// What a column is called, also one without a name.
pub(super) fn heading(name: &str, index: usize) -> String {
    if name.is_empty() { format!("#{}", index + 1) } else { name.to_owned() }
}

/// The mark of an event id as messages have it.
pub(super) fn event_id(text: &str) -> u128 {
    hash(std::iter::once(text))
}

/// The mark of some texts.
pub(super) fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> u128 {
    let mut hasher = SipHasher13::new();
    texts.for_each(|text| put(&mut hasher, text));
    hasher.finish128().as_u128()
}

/// An empty cell is as good as none.
fn put_cell(hasher: &mut SipHasher13, column: &str, cell: &str) {
    if !cell.is_empty() {
        put(hasher, column);
        put(hasher, cell);
    }
}

fn put(hasher: &mut SipHasher13, text: &str) {
    hasher.write_u64(text.len() as u64);
    hasher.write(text.as_bytes());
}
