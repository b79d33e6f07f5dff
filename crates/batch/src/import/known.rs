//! Which rows of a file are in already.
//!
//! The file's rows are counted first, then what is stored passes by once and marks them: memory is
//! bounded by the file (about 150 bytes for each row), not by the history. Of rows that are alike,
//! as many are in as are stored: a row is known by its number among its equals.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::identity::{ByMark, Marks, event_id};

/// What is known of a file's rows.
#[derive(Debug, Default)]
pub(super) struct Known {
    cells: ByMark<Cells>,
    keys: ByMark<Key>,
    items: ByMark<Item>,
    /// Whether a row of an item that is in is in too, whatever its amounts.
    is_by_item: bool,
    /// Event ids of the file, with the import that has them.
    ids: ByMark<Option<u32>>,
    /// Ids of rows of this file that were accepted.
    accepted_ids: ByMark<()>,
    imports: Vec<String>,
    /// By import, how many rows of the file it has.
    by_import: BTreeMap<u32, u64>,
}

/// Rows with the same cells.
#[derive(Debug, Default, Clone, Copy)]
struct Cells {
    key: Option<u128>,
    /// In this file, in the history, and refused there.
    in_file: u32,
    stored: u32,
    refused: u32,
    /// Of those in the file: how many have been asked for.
    asked: u32,
    refused_asked: u32,
    import: u32,
}

/// Rows with the same key: how many are stored whose cells are not those of a row of the file.
#[derive(Debug, Default, Clone, Copy)]
struct Key {
    in_file: u32,
    stored: u32,
    import: u32,
    item: Option<u128>,
}

/// Rows of the same item of an order: how many are stored that no row of the file is like.
#[derive(Debug, Default, Clone, Copy)]
struct Item {
    stored: u32,
    import: u32,
}

/// The archive's place among the imports.
const STREAM: &str = "";

/// Whether a row is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// With the same cells.
    In,
    /// With the same key, item or event id and other cells.
    InDiffering,
    /// It is new, though a row is in that differs from it in its amounts alone.
    NewAmounts,
    New,
}

impl Known {
    pub(super) fn new(is_by_item: bool) -> Self {
        Self { is_by_item, ..Self::default() }
    }

    /// Takes a row of the file into account.
    pub(super) fn add(&mut self, marks: &Marks) {
        let cells = self.cells.entry(marks.cells).or_default();
        cells.in_file = cells.in_file.saturating_add(1);
        match marks.event_id {
            Some(id) => {
                self.ids.entry(id).or_default();
            }
            None => {
                cells.key = Some(marks.key);
                let key = self.keys.entry(marks.key).or_default();
                (key.in_file, key.item) = (key.in_file.saturating_add(1), marks.item);
                if let Some(item) = marks.item {
                    self.items.entry(item).or_default();
                }
            }
        }
    }

    /// Takes a row into account that the file has, and that is not to come in.
    pub(super) fn add_left_out(&mut self, marks: &Marks) {
        match (marks.event_id, marks.item) {
            (Some(id), _) => {
                self.ids.entry(id).or_default();
            }
            (None, Some(item)) => {
                self.items.entry(item).or_default();
            }
            (None, None) => {}
        }
    }

    /// Marks what stored rows say, in the columns of `History::identities`; those of `without` are
    /// passed over. True if any of them is like a row of the file, or was taken back from what was
    /// known.
    pub(super) fn learn(&mut self, rows: &RecordBatch, without: &[String]) -> bool {
        let (imports, verdicts) = (rows.column(0).as_string::<i32>(), rows.column(1).as_string::<i32>());
        let (cells, keys) = (rows.column(2).as_binary::<i32>(), rows.column(3).as_binary::<i32>());
        let (ids, items) = (rows.column(4).as_string::<i32>(), rows.column(5).as_binary::<i32>());
        let hash = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).unwrap_or_default();
        let mut is_touched = false;
        let mut last = (String::new(), 0);
        for row in 0..rows.num_rows() {
            let (import, verdict) = (imports.value(row), verdicts.value(row));
            if without.iter().any(|without| without == import) {
                continue;
            }
            if verdict == history_columns::UNDONE {
                let index = self.imports.iter().position(|known| known == import);
                is_touched |= index.is_some_and(|index| self.has_any_of(u32::try_from(index).unwrap_or(u32::MAX)));
                continue;
            }
            if last.0 != import {
                last = (import.to_owned(), self.index(import));
            }
            let is_counted = verdict == Verdict::Counted.name();
            if cells.is_valid(row)
                && let Some(found) = self.cells.get_mut(&hash(cells.value(row)))
            {
                is_touched = true;
                if verdict == Verdict::Refused.name() {
                    found.refused = found.refused.saturating_add(1);
                } else {
                    found.stored = found.stored.saturating_add(1);
                    found.import = last.1;
                }
            }
            if is_counted
                && keys.is_valid(row)
                && let Some(found) = self.keys.get_mut(&hash(keys.value(row)))
            {
                is_touched = true;
                (found.stored, found.import) = (found.stored.saturating_add(1), last.1);
            }
            if is_counted
                && items.is_valid(row)
                && let Some(found) = self.items.get_mut(&hash(items.value(row)))
            {
                is_touched = true;
                *found = Item { stored: found.stored.saturating_add(1), import: last.1 };
            }
            if is_counted && ids.is_valid(row) {
                is_touched |= self.learn_id(ids.value(row), last.1);
            }
        }
        is_touched
    }

    /// Ids that the stream has counted.
    pub(super) fn learn_streamed<'a>(&mut self, ids: impl Iterator<Item = &'a str>) {
        let stream = self.index(STREAM);
        for id in ids {
            self.learn_id(id, stream);
        }
    }

    /// Cells of a refused row of a version that kept no hashes.
    pub(super) fn learn_refused(&mut self, cells: u128) {
        if let Some(found) = self.cells.get_mut(&cells) {
            found.refused = found.refused.saturating_add(1);
        }
    }

    pub(super) fn has_ids(&self) -> bool {
        !self.ids.is_empty()
    }

    /// To be called once, after everything was learnt: a row that is known by its cells is not to
    /// be known by its key once more, nor one that is known by its key by its item.
    pub(super) fn settle(&mut self) {
        let mut known_by_key = |key: &Key, rows: u32| {
            if let Some(item) = key.item.and_then(|item| self.items.get_mut(&item)) {
                item.stored = item.stored.saturating_sub(rows);
            }
        };
        for cells in self.cells.values() {
            if let Some(key) = cells.key.and_then(|key| self.keys.get_mut(&key)) {
                let rows = cells.in_file.min(cells.stored);
                (key.stored, key.in_file) = (key.stored.saturating_sub(rows), key.in_file.saturating_sub(rows));
                known_by_key(key, rows);
            }
        }
        for key in self.keys.values() {
            known_by_key(key, key.in_file.min(key.stored));
        }
    }

    /// How many rows of the file have these cells.
    pub(super) fn in_file(&self, cells: u128) -> u32 {
        self.cells.get(&cells).map_or(0, |cells| cells.in_file)
    }

    /// Whether a row of the file has this key.
    pub(super) fn has_key(&self, key: u128) -> bool {
        self.keys.contains_key(&key)
    }

    /// The import that has a row which the file leaves out, to be asked once for each, after all
    /// others.
    pub(super) fn left_out(&mut self, marks: &Marks) -> Option<&str> {
        let import = match marks.event_id {
            Some(id) => self.ids.get_mut(&id).and_then(Option::take)?,
            None => {
                let item = self.items.get_mut(&marks.item?).filter(|item| item.stored > 0)?;
                item.stored -= 1;
                item.import
            }
        };
        Some(self.imports[import as usize].as_str()).filter(|import| *import != STREAM)
    }

    /// Whether the file's next row of these marks is in. Each row is asked for once, in the file's
    /// order.
    pub(super) fn standing(&mut self, marks: &Marks) -> Standing {
        let Some(cells) = self.cells.get_mut(&marks.cells) else { return Standing::New };
        cells.asked += 1;
        if cells.asked <= cells.stored {
            *self.by_import.entry(cells.import).or_default() += 1;
            return Standing::In;
        }
        let import = match marks.event_id {
            Some(id) => self.ids.get(&id).copied().flatten(),
            None => self.keys.get_mut(&marks.key).filter(|key| key.stored > 0).map(|key| {
                key.stored -= 1;
                key.import
            }),
        };
        let Some(import) = import else {
            return match marks.event_id {
                None => self.standing_by_item(marks),
                Some(_) => Standing::New,
            };
        };
        *self.by_import.entry(import).or_default() += 1;
        Standing::InDiffering
    }

    fn standing_by_item(&mut self, marks: &Marks) -> Standing {
        let item = marks.item.and_then(|item| self.items.get_mut(&item)).filter(|item| item.stored > 0);
        let Some(item) = item else { return Standing::New };
        item.stored -= 1;
        if !self.is_by_item {
            return Standing::NewAmounts;
        }
        *self.by_import.entry(item.import).or_default() += 1;
        Standing::InDiffering
    }

    /// Whether an accepted row is the first of the file with its event id.
    pub(super) fn is_first(&mut self, marks: &Marks) -> bool {
        marks.event_id.is_none_or(|id| self.accepted_ids.insert(id, ()).is_none())
    }

    /// Whether the file's next row of these marks, which is refused, is in the ledger already.
    pub(super) fn is_refused_again(&mut self, marks: &Marks) -> bool {
        let Some(cells) = self.cells.get_mut(&marks.cells) else { return false };
        cells.refused_asked += 1;
        cells.refused_asked <= cells.refused
    }

    /// Whether a row with these cells was refused before.
    pub(super) fn was_refused(&self, marks: &Marks) -> bool {
        self.cells.get(&marks.cells).is_some_and(|cells| cells.refused > 0)
    }

    /// The cells of rows of a batch that count now and had been refused.
    pub(super) fn read_rightly(&self, batch: &RecordBatch) -> Vec<u128> {
        let column = |name: &str| batch.column_by_name(name);
        let (Some(verdicts), Some(cells)) = (column(history_columns::VERDICT), column(history_columns::CELLS)) else {
            return Vec::new();
        };
        let rows = verdicts.as_string::<i32>().iter().zip(cells.as_binary::<i32>().iter());
        let counted = rows.filter(|(verdict, _)| *verdict == Some(Verdict::Counted.name()));
        let cells = counted.filter_map(|(_, cells)| <[u8; 16]>::try_from(cells?).ok().map(u128::from_be_bytes));
        cells.filter(|cells| self.cells.get(cells).is_some_and(|cells| cells.refused > 0)).collect()
    }

    /// By import, how many rows of the file were in; under an empty name those that the stream has.
    pub(super) fn by_import(&self) -> BTreeMap<String, u64> {
        self.by_import.iter().map(|(index, rows)| (self.imports[*index as usize].clone(), *rows)).collect()
    }

    fn learn_id(&mut self, id: &str, import: u32) -> bool {
        let Some(found) = self.ids.get_mut(&event_id(id)) else { return false };
        found.get_or_insert(import);
        true
    }

    fn has_any_of(&self, import: u32) -> bool {
        self.cells.values().any(|cells| cells.stored > 0 && cells.import == import)
            || self.keys.values().any(|key| key.stored > 0 && key.import == import)
            || self.items.values().any(|item| item.stored > 0 && item.import == import)
            || self.ids.values().any(|id| *id == Some(import))
            || self.by_import.contains_key(&import)
    }

    fn index(&mut self, import: &str) -> u32 {
        let index = self.imports.iter().position(|known| known == import).unwrap_or_else(|| {
            self.imports.push(import.to_owned());
            self.imports.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }
}
