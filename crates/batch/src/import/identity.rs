//! What tells a row of a file from any other: its event id, else its cells as the file writes them,
//! hashed.
//!
//! Neither depends on how numbers and dates are understood, nor on the line: a file that grew, was
//! sorted or saved again has the same rows.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};
use vitral_catalog::ImportTarget;
use vitral_schemas::event_id::is_none;
use vitral_schemas::topic::{ColumnKind, Topic};

use super::mapping::{Mapping, id_columns};
use super::source::Row;

/// What tells one row apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// All of its cells.
    pub(super) cells: u128,
    /// The cells of the key.
    pub(super) key: u128,
    /// The cells of the key without its amounts; none where the key's first column is blank.
    pub(super) item: Option<u128>,
    pub(super) event_id: Option<u128>,
}

impl Marks {
    /// What stays the same when a row's amounts change.
    pub(super) fn lasting(&self) -> Option<u128> {
        self.event_id.or(self.item)
    }
}

/// A map by marks.
pub(super) type ByMark<V> = std::collections::HashMap<u128, V, BuildHasherDefault<MarkHasher>>;

/// Marks are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct MarkHasher(u64);

impl Hasher for MarkHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, mark: u128) {
        // Half of a hash is a hash.
        self.0 = mark as u64;
    }
}

/// A column of the file that is hashed: its place, and what is hashed before a cell of it.
#[derive(Debug)]
struct Hashed {
    index: usize,
    name: String,
    prefix: Vec<u8>,
}

impl Hashed {
    fn new(index: usize, name: String) -> Self {
        let mut prefix = Vec::new();
        put(&mut prefix, &name);
        Self { index, name, prefix }
    }
}

/// Marks the rows of one file.
#[derive(Debug)]
pub(super) struct Marker {
    /// What every row of the table has: the same cells are another row elsewhere.
    base: SipHasher13,
    /// The header's columns in the order of their names: columns that change places change no row.
    cells: Vec<Hashed>,
    /// Columns that are used, in the order of the topic's names that they fill.
    used: Vec<(Hashed, Part)>,
    /// Columns that must be filled for the key to be of its columns alone.
    key_first: Vec<usize>,
    event_id: Option<usize>,
    /// Columns in which words for nothing are as good as an empty cell.
    ids: Vec<usize>,
    buffer: Vec<u8>,
}

/// What of a row a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Of the key, and no amount.
    Item,
    /// An amount of the key.
    Amount,
    Other,
}

impl Marker {
    pub(super) fn new(header: &[String], mapping: &Mapping, topic: &Topic, target: &ImportTarget) -> Self {
        let mut base = Vec::new();
        let mut constants = target.constants.clone();
        constants.sort();
        for (column, text) in &constants {
            put(&mut base, column);
            put(&mut base, text);
        }
        let named = |(index, name): (usize, &String)| Hashed::new(index, heading(name, index));
        let mut cells: Vec<Hashed> = header.iter().enumerate().map(named).collect();
        cells.sort_by(|a, b| (&a.name, a.index).cmp(&(&b.name, b.index)));
        let filled = |name: &str| -> Vec<usize> {
            mapping.filled().filter(|(_, column)| *column == name).map(|(index, _)| index).collect()
        };
        let is_of_key = |name: &str| target.key.iter().any(|key| key == name);
        let is_amount = |name: &str| {
            let kind = topic.columns.iter().find(|column| column.name == name).map(|column| column.kind);
            matches!(kind, Some(ColumnKind::Integer | ColumnKind::Decimal { .. }))
        };
        // A time of day in a column of its own is a part of the event time.
        let has_time = is_of_key(&topic.columns[topic.event_time].name);
        let part = |index: usize, column: &str| match is_of_key(column) || (has_time && mapping.is_clock(index)) {
            true if is_amount(column) => Part::Amount,
            true => Part::Item,
            false => Part::Other,
        };
        let mut used: Vec<(Hashed, Part)> = mapping
            .filled()
            .map(|(index, column)| (Hashed::new(index, column.to_owned()), part(index, column)))
            .collect();
        used.sort_by(|(a, _), (b, _)| (&a.name, a.index).cmp(&(&b.name, b.index)));
        let key_first = target.key.first().map(|first| filled(first)).unwrap_or_default();
        let event_id = topic.event_id.and_then(|index| filled(&topic.columns[index].name).first().copied());
        let ids = id_columns(topic, target).iter().flat_map(|name| filled(name)).collect();
        Self { base: hasher_of(&base), cells, used, key_first, event_id, ids, buffer: Vec::new() }
    }

    pub(super) fn marks(&mut self, row: &Row) -> Marks {
        let text = |index: usize| row.cells.get(index).and_then(Option::as_ref).map_or("", |cell| cell.text.trim());
        let Self { base, cells, used, key_first, event_id: id, ids, buffer } = self;
        // As the row is understood: an order called `-` is none.
        let used_text = |index: usize| {
            let text = text(index);
            if ids.contains(&index) && is_none(text.as_bytes()) { "" } else { text }
        };
        let mark = |buffer: &[u8]| {
            let mut hasher = *base;
            hasher.write(buffer);
            hasher.finish128().as_u128()
        };
        buffer.clear();
        buffer.push(0);
        for column in cells.iter() {
            put_cell(buffer, &column.prefix, text(column.index));
        }
        for index in cells.len()..row.cells.len() {
            put_cell(buffer, &Hashed::new(index, heading("", index)).prefix, text(index));
        }
        let cells = mark(buffer);
        let has_key = key_first.iter().any(|index| !used_text(*index).is_empty());
        buffer.clear();
        buffer.push(1 + u8::from(has_key));
        for (column, _) in used.iter().filter(|(_, part)| *part != Part::Other || !has_key) {
            put_cell(buffer, &column.prefix, used_text(column.index));
        }
        let key = mark(buffer);
        let item = has_key.then(|| {
            buffer.clear();
            buffer.push(3);
            for (column, _) in used.iter().filter(|(_, part)| *part == Part::Item) {
                put_cell(buffer, &column.prefix, used_text(column.index));
            }
            mark(buffer)
        });
        let id = id.map(used_text).filter(|id| !id.is_empty());
        Marks { cells, key, item, event_id: id.map(event_id) }
    }

    /// What people call a row, by its event id or else its order, with what the topic calls that.
    pub(super) fn name(&self, row: &Row) -> String {
        let text = |index: usize| row.cells.get(index).and_then(Option::as_ref).map(|cell| cell.text.trim().to_owned());
        let places = self.event_id.iter().chain(&self.key_first);
        let is_name =
            |index: usize, text: &str| !(text.is_empty() || self.ids.contains(&index) && is_none(text.as_bytes()));
        let filled = places.filter_map(|index| Some((*index, text(*index).filter(|text| is_name(*index, text))?)));
        let named = filled.map(|(index, text)| {
            let column = self.used.iter().find(|(column, _)| column.index == index);
            format!("{} {text}", column.map_or("", |(column, _)| column.name.as_str()))
        });
        named.into_iter().next().unwrap_or_default()
    }

    /// The columns whose cells say which item of which order, or which event, a row is.
    pub(super) fn lasting(&self) -> Vec<usize> {
        let items = self.used.iter().filter(|(_, part)| *part == Part::Item).map(|(column, _)| column.index);
        items.chain(self.key_first.iter().copied()).chain(self.event_id).collect()
    }

    /// What [`Self::marks`] gives for cells that are kept as JSON, by their headings.
    pub(super) fn cells_of_json(&self, text: &str) -> Option<u128> {
        let mut pairs: Vec<(String, String)> = serde_json::from_str::<serde_json::Map<_, _>>(text)
            .ok()?
            .into_iter()
            .map(|(heading, cell)| (heading, cell.as_str().unwrap_or_default().to_owned()))
            .collect();
        let known = self.cells.iter().enumerate().rev().map(|(place, column)| (column.name.as_str(), place));
        let places: HashMap<&str, usize> = known.collect();
        let place = |heading: &str| places.get(heading).copied().unwrap_or(usize::MAX);
        pairs.sort_by_cached_key(|(heading, _)| (place(heading), heading.clone()));
        let mut cells = vec![0];
        for (heading, cell) in &pairs {
            let mut prefix = Vec::new();
            put(&mut prefix, heading);
            put_cell(&mut cells, &prefix, cell.trim());
        }
        let mut hasher = self.base;
        hasher.write(&cells);
        Some(hasher.finish128().as_u128())
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
    let mut buffer = Vec::new();
    texts.for_each(|text| put(&mut buffer, text));
    hasher_of(&buffer).finish128().as_u128()
}

fn hasher_of(bytes: &[u8]) -> SipHasher13 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher
}

/// An empty cell is as good as none.
fn put_cell(buffer: &mut Vec<u8>, prefix: &[u8], cell: &str) {
    if !cell.is_empty() {
        buffer.extend_from_slice(prefix);
        put(buffer, cell);
    }
}

fn put(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What histories have stored stays the same, however the bytes are put together.
    #[test]
    fn a_hash_is_of_the_bytes_and_not_of_how_they_come() {
        let texts = ["e1", "", "caf\u{e9}", "a text of more than eight bytes"];
        let mut parts = SipHasher13::new();
        for text in texts {
            parts.write_u64(text.len() as u64);
            parts.write(text.as_bytes());
        }
        assert_eq!(hash(texts.into_iter()), parts.finish128().as_u128());
    }
}
