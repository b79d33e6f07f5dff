//! Files in any order and any overlap are the set of their rows.

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
    let same =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, stored.len()))) };
    let items = stored.iter().map(|(marks, _)| marks.item.map(u128::to_be_bytes));
    let items: ArrayRef = Arc::new(items.collect::<BinaryArray>());
    let ids: ArrayRef = Arc::new(stored.iter().map(|(_, id)| id.clone()).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([
        ("import", same("one"), false),
        ("verdict", same(Verdict::Counted.name()), false),
        ("cells", hashes(&|marks| marks.cells), true),
        ("key", hashes(&|marks| marks.key), true),
        ("id", ids, true),
        ("item", items, true),
    ])
    .expect("a batch")
}

/// A row of a key, with one of the ways to write its other cells; or of an event id.
fn row((key, other, has_id): (u8, u8, bool)) -> (Marks, Option<String>) {
    let id = has_id.then(|| format!("e{key}"));
    let cells = u128::from(key) << 16 | u128::from(other) << 8 | u128::from(has_id);
    let item = Some(u128::from(key / 2) << 1 | u128::from(has_id));
    let key = u128::from(key) << 64 | u128::from(has_id);
    (Marks { cells, key, item, event_id: id.as_deref().map(identity::event_id) }, id)
}

fn import(file: &[(u8, u8, bool)], stored: &mut Stored) {
    import_by(false, file, stored);
}

fn import_by(is_by_item: bool, file: &[(u8, u8, bool)], stored: &mut Stored) {
    let mut known = Known::new(is_by_item);
    let rows: Vec<_> = file.iter().copied().map(row).collect();
    rows.iter().for_each(|(marks, _)| known.add(marks));
    known.learn(&batch(stored), &[]);
    known.settle();
    for (marks, id) in rows {
        if matches!(known.standing(&marks), Standing::New | Standing::NewAmounts) && known.is_first(&marks) {
            stored.push((marks, id));
        }
    }
}

proptest! {
    /// Whatever the files overlap in, and in whatever order they come: of rows that are alike there
    /// are as many as the file has that has most of them, and each event id counts once.
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

proptest! {
    /// Where amounts change, there are as many rows of an item as the file has that has most of
    /// them.
    #[test]
    fn items_of_orders_count_once_whatever_their_amounts(
        files in prop::collection::vec(prop::collection::vec((0..4_u8, 0..3_u8), 0..12), 1..6)
    ) {
        let mut stored = Stored::new();
        let files: Vec<Vec<_>> =
            files.into_iter().map(|file| file.into_iter().map(|(key, other)| (key, other, false)).collect()).collect();
        files.iter().for_each(|file| import_by(true, file, &mut stored));
        for item in 0..2_u8 {
            let of_item = |file: &Vec<(u8, u8, bool)>| file.iter().filter(|(key, ..)| key / 2 == item).count();
            let most = files.iter().map(of_item).max().unwrap_or_default();
            let wanted = row((item * 2, 0, false)).0.item;
            prop_assert_eq!(stored.iter().filter(|(marks, _)| marks.item == wanted).count(), most);
        }
    }
}

#[test]
fn what_is_taken_back_meanwhile_was_known() {
    let mut stored = Stored::new();
    import(&[(1, 0, false)], &mut stored);
    let mut known = Known::default();
    known.add(&row((1, 0, false)).0);
    assert!(known.learn(&batch(&stored), &[]));
    let undone = |import: &str| {
        let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
        let nothing: ArrayRef = Arc::new(BinaryArray::from_iter([None::<&[u8]>]));
        RecordBatch::try_from_iter_with_nullable([
            ("import", column(import), false),
            ("verdict", column(history_columns::UNDONE), false),
            ("cells", Arc::clone(&nothing), true),
            ("key", Arc::clone(&nothing), true),
            ("id", Arc::new(StringArray::from_iter([None::<&str>])), true),
            ("item", nothing, true),
        ])
        .expect("a batch")
    };
    assert!(!known.learn(&undone("another"), &[]));
    assert!(known.learn(&undone("one"), &[]));
}
