//! Which rows of a file are in already.
//!
//! The file's rows are counted first, then what is stored passes by once and marks them: memory is bounded by the file (about 150 bytes for
//! each row), not by the history. Of rows that are alike, as many are in as are stored: a row is known by its number among its equals.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::identity::{Marks, event_id};

/// What is known of a file's rows.
#[derive(Debug, Default)]
pub(super) struct Known {
    cells: HashMap<u128, Cells>,
    keys: HashMap<u128, Key>,
    /// Event ids of the file, with the import that has them.
    ids: HashMap<u128, Option<u32>>,
    /// Ids of rows of this file that were accepted.
    accepted_ids: HashSet<u128>,
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
    /// With the same key or event id and other cells.
    InDiffering,
    New,
}

impl Known {
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
                self.keys.entry(marks.key).or_default();
            }
        }
    }

    /// Marks what stored rows say, in the columns of `History::identities`; those of `without` are passed over. True if any of them is like
    /// a row of the file, or was taken back from what was known.
    pub(super) fn learn(&mut self, rows: &RecordBatch, without: &[String]) -> bool {
        let (imports, verdicts) = (rows.column(0).as_string::<i32>(), rows.column(1).as_string::<i32>());
        let (cells, keys) = (rows.column(2).as_binary::<i32>(), rows.column(3).as_binary::<i32>());
        let ids = rows.column(4).as_string::<i32>();
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
                *found = Key { stored: found.stored.saturating_add(1), import: last.1 };
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

    /// To be called once, after everything was learnt: a row that is known by its cells is not to be known by its key once more.
    pub(super) fn settle(&mut self) {
        for cells in self.cells.values() {
            if let Some(key) = cells.key.and_then(|key| self.keys.get_mut(&key)) {
                key.stored = key.stored.saturating_sub(cells.in_file.min(cells.stored));
            }
        }
    }

    /// Whether the file's next row of these marks is in. Each row is asked for once, in the file's order.
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
        let Some(import) = import else { return Standing::New };
        *self.by_import.entry(import).or_default() += 1;
        Standing::InDiffering
    }

    /// Whether an accepted row is the first of the file with its event id.
    pub(super) fn is_first(&mut self, marks: &Marks) -> bool {
        marks.event_id.is_none_or(|id| self.accepted_ids.insert(id))
    }

    /// Whether the file's next row of these marks, which is refused, stands in the ledger already.
    pub(super) fn is_refused_again(&mut self, marks: &Marks) -> bool {
        let Some(cells) = self.cells.get_mut(&marks.cells) else { return false };
        cells.refused_asked += 1;
        cells.refused_asked <= cells.refused
    }

    /// Whether a row with these cells was refused before.
    pub(super) fn was_refused(&self, marks: &Marks) -> bool {
        self.cells.get(&marks.cells).is_some_and(|cells| cells.refused > 0)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::import::identity;

    /// What is stored: the marks of counted rows, and their event ids.
    type Stored = Vec<(Marks, Option<String>)>;

    fn batch(stored: &Stored) -> RecordBatch {
        let hashes = |hash: &dyn Fn(&Marks) -> u128| -> ArrayRef {
            Arc::new(BinaryArray::from_iter_values(stored.iter().map(|(marks, _)| hash(marks).to_be_bytes())))
        };
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, stored.len())))
        };
        let ids: ArrayRef = Arc::new(stored.iter().map(|(_, id)| id.clone()).collect::<StringArray>());
        RecordBatch::try_from_iter_with_nullable([
            ("import", same("one"), false),
            ("verdict", same(Verdict::Counted.name()), false),
            ("cells", hashes(&|marks| marks.cells), true),
            ("key", hashes(&|marks| marks.key), true),
            ("id", ids, true),
        ])
        .expect("a batch")
    }

    /// A row of a key, with one of the ways to write its other cells; or of an event id.
    fn row((key, other, has_id): (u8, u8, bool)) -> (Marks, Option<String>) {
        let id = has_id.then(|| format!("e{key}"));
        let cells = u128::from(key) << 16 | u128::from(other) << 8 | u128::from(has_id);
        let key = u128::from(key) << 64 | u128::from(has_id);
        (Marks { cells, key, event_id: id.as_deref().map(identity::event_id) }, id)
    }

    fn import(file: &[(u8, u8, bool)], stored: &mut Stored) {
        let mut known = Known::default();
        let rows: Vec<_> = file.iter().copied().map(row).collect();
        rows.iter().for_each(|(marks, _)| known.add(marks));
        known.learn(&batch(stored), &[]);
        known.settle();
        for (marks, id) in rows {
            if known.standing(&marks) == Standing::New && known.is_first(&marks) {
                stored.push((marks, id));
            }
        }
    }

    proptest! {
        /// Whatever the files overlap in, and in whatever order they come: of rows that are alike there are as many as the file has that has
        /// most of them, and each event id counts once.
        #[test]
        fn files_in_any_order_are_the_set_of_their_rows(
            files in prop::collection::vec(prop::collection::vec((0..4_u8, 0..3_u8, any::<bool>()), 0..12), 1..6)
        ) {
            let mut stored = Stored::new();
            files.iter().for_each(|file| import(file, &mut stored));
            for key in 0..4_u8 {
                let with = |has_id: bool, rows: &mut dyn Iterator<Item = (Marks, Option<String>)>| {
                    rows.filter(|(marks, id)| marks.key == row((key, 0, has_id)).0.key && id.is_some() == has_id).count()
                };
                let most = files.iter().map(|file| with(false, &mut file.iter().copied().map(row))).max().unwrap_or_default();
                prop_assert_eq!(with(false, &mut stored.iter().cloned()), most);
                let any = files.iter().any(|file| with(true, &mut file.iter().copied().map(row)) > 0);
                prop_assert_eq!(with(true, &mut stored.iter().cloned()), usize::from(any));
            }
            let before = stored.len();
            files.iter().for_each(|file| import(file, &mut stored));
            prop_assert_eq!(stored.len(), before);
        }
    }

    #[test]
    fn what_is_taken_back_meanwhile_was_known() {
        let mut stored = Stored::new();
        import(&[(1, 0, false)], &mut stored);
        let mut known = Known::default();
        known.add(&row((1, 0, false)).0);
        assert!(known.learn(&batch(&stored), &[]));
        let gone = |import: &str| {
            let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
            let nothing: ArrayRef = Arc::new(BinaryArray::from_iter([None::<&[u8]>]));
            RecordBatch::try_from_iter_with_nullable([
                ("import", column(import), false),
                ("verdict", column(history_columns::UNDONE), false),
                ("cells", Arc::clone(&nothing), true),
                ("key", nothing, true),
                ("id", Arc::new(StringArray::from_iter([None::<&str>])), true),
            ])
            .expect("a batch")
        };
        assert!(!known.learn(&gone("another"), &[]));
        assert!(known.learn(&gone("one"), &[]));
    }
}
