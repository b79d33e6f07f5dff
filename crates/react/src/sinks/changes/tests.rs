use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use vitral_connect::{Epoch, Sink, memory::MemorySink};
use vitral_store::sinks::SinkEpoch;

use super::*;

const KEY: [&str; 1] = ["p"];

fn key() -> Vec<String> {
    KEY.map(str::to_owned).to_vec()
}

fn rows(rows: &[(Option<&str>, i64)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("p", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))) as ArrayRef, true),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef, true),
    ])
    .expect("rows")
}

fn shape() -> Shape {
    Shape::new(&rows(&[]).schema(), &key()).expect("a shape")
}

fn changes(known: &mut Known, of: &[(Option<&str>, i64)], max: usize) -> Changes {
    let mut round = known.round();
    // In two parts.
    let (first, second) = of.split_at(of.len() / 2);
    round.add(&rows(first)).expect("rows");
    round.add(&rows(second)).expect("rows");
    round.finish(max).expect("changes")
}

#[test]
fn what_is_new_has_changed_or_is_deleted_is_found_once() {
    let mut known = Known::new(shape());
    let first = changes(&mut known, &[(Some("a"), 1), (Some("b"), 2), (None, 3)], 100);
    assert_eq!((first.upserts, first.deletes, first.keyless, first.has_more), (2, 0, 1, false));
    known.apply(&first);
    assert!(changes(&mut known, &[(Some("b"), 2), (Some("a"), 1)], 100).is_empty());
    let second = changes(&mut known, &[(Some("b"), 20)], 100);
    assert_eq!((second.upserts, second.deletes), (1, 1));
    assert!(!changes(&mut known, &[(Some("b"), 20)], 100).is_empty(), "it is not committed yet");
    known.apply(&second);
    assert!(changes(&mut known, &[(Some("b"), 20)], 100).is_empty());
}

#[test]
fn a_key_that_several_rows_have_stays_as_it_is() {
    let mut known = Known::new(shape());
    let first = changes(&mut known, &[(Some("a"), 1), (Some("b"), 2), (Some("b"), 3)], 100);
    assert_eq!((first.upserts, first.repeated), (1, 1));
    known.apply(&first);
    let second = changes(&mut known, &[(Some("a"), 4), (Some("a"), 5), (Some("b"), 3)], 100);
    assert_eq!((second.upserts, second.deletes, second.repeated), (1, 0, 1));
}

#[test]
fn many_changes_come_in_several_epochs() {
    let mut known = Known::new(shape());
    let names: Vec<String> = (0..25).map(|index| format!("p{index}")).collect();
    let all: Vec<_> = names.iter().map(|name| (Some(name.as_str()), 1)).collect();
    let mut sizes = Vec::new();
    loop {
        let found = changes(&mut known, &all, 10);
        known.apply(&found);
        sizes.push(found.upserts);
        if !found.has_more {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    let deleted = changes(&mut known, &[], 10);
    assert_eq!((deleted.deletes, deleted.has_more), (10, true));
}

#[test]
fn all_keys_may_change_at_once_and_what_is_known_stays_bounded() {
    let mut known = Known { rows_max: 20, ..Known::new(shape()) };
    let names = |day: i64, count: i64| (0..count).map(|index| format!("{day}-{index}")).collect::<Vec<_>>();
    for day in 0..3 {
        let names = names(day, 15);
        let all: Vec<_> = names.iter().map(|name| (Some(name.as_str()), 1)).collect();
        let (mut has_more, mut epochs) = (true, 0);
        while has_more {
            let mut round = known.round();
            round.add(&rows(&all)).expect("rows");
            assert!(!round.is_too_much(), "the view has 15 rows on day {day}");
            let found = round.finish(4).expect("changes");
            assert!(found.upserts + found.deletes <= 4);
            known.apply(&found);
            (has_more, epochs) = (found.has_more, epochs + 1);
            assert!(known.len() <= 24 && epochs < 20, "{} are known after {epochs} epochs", known.len());
        }
        assert_eq!(known.len(), 15);
    }
    let names = names(9, 21);
    let mut round = known.round();
    round.add(&rows(&names.iter().map(|name| (Some(name.as_str()), 1)).collect::<Vec<_>>())).expect("rows");
    assert!(round.is_too_much());
}

#[tokio::test]
async fn what_is_known_is_made_again_from_a_base_and_epochs() {
    let mut known = Known::new(shape());
    let first = changes(&mut known, &[(Some("a"), 1), (Some("b"), 2)], 100);
    known.apply(&first);
    let base = SinkEpoch { number: 1, rows: known.base().expect("a base"), ..SinkEpoch::default() };
    let second = changes(&mut known, &[(Some("b"), 3), (Some("c"), 4)], 100);
    let epoch = SinkEpoch { number: 2, rows: second.batches, ..SinkEpoch::default() };
    let state = SinkState { base: Some(base), epochs: vec![epoch.clone()] };
    let mut again = Known::load(shape(), &state).expect("loaded");
    assert!(changes(&mut again, &[(Some("b"), 3), (Some("c"), 4)], 100).is_empty());
    assert_eq!(again.len(), 2);

    // What was sent says the same to those who have nothing but the epochs.
    let sink = MemorySink::new();
    sink.write(Epoch(1), &first.batches).await.expect("written");
    sink.write(Epoch(2), &epoch.rows).await.expect("written");
    let rows: Vec<_> = sink.rows(&key()).into_values().collect();
    assert_eq!(rows, [r#"{"p":"b","n":3}"#, r#"{"p":"c","n":4}"#]);
}

#[test]
fn columns_may_come_and_must_not_go() {
    let described = shape().describe();
    let more = RecordBatch::try_from_iter([
        ("p", Arc::new(StringArray::from_iter_values(["a"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("m", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
    ])
    .expect("rows");
    let wider = Shape::new(&more.schema(), &key()).expect("a shape");
    assert_eq!(wider.differs_from(&described), None);
    let reason = shape().differs_from(&wider.describe()).expect("a column is missing");
    assert!(reason.contains("its column m was copied"), "{reason}");
    let by_both = Shape::new(&more.schema(), &["p".to_owned(), "n".to_owned()]).expect("a shape");
    assert!(by_both.differs_from(&described).expect("another key").contains("its key was"));

    // Every row has changed.
    let mut known = Known::new(shape());
    let first = changes(&mut known, &[(Some("a"), 1)], 100);
    let epoch = SinkEpoch { number: 1, rows: first.batches, ..SinkEpoch::default() };
    let mut known = Known::load(wider, &SinkState { base: None, epochs: vec![epoch] }).expect("loaded");
    let mut round = known.round();
    round.add(&more).expect("rows");
    let found = round.finish(100).expect("changes");
    assert_eq!((found.upserts, found.deletes), (1, 0));
}
