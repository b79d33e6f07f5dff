//! Counts are those of sets, however rows and states are cut up and in whatever order they come.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use proptest::prelude::*;

use super::accumulator::DistinctAccumulator;

/// Its group, its text, and whether the filter wants it.
type Row = (usize, Option<u32>, bool);

/// Rows of batches whose texts are drawn from so many: from few, which repeat often, up to many,
/// which hardly do.
fn batches() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let texts = prop_oneof![Just(2_u32), Just(20), Just(1_000_000)];
    texts.prop_flat_map(|texts| {
        let row = (0_usize..6, prop::option::weighted(0.9, 0..texts), prop::bool::weighted(0.9));
        prop::collection::vec(prop::collection::vec(row, 0..30), 0..8)
    })
}

fn update(accumulator: &mut DistinctAccumulator, batch: &[Row], groups: usize) {
    let texts: StringArray = batch.iter().map(|(_, text, _)| text.map(|text| format!("text {text}"))).collect();
    let of_rows: Vec<usize> = batch.iter().map(|(group, ..)| *group).collect();
    let filter: BooleanArray = batch.iter().map(|(.., wanted)| Some(*wanted)).collect();
    let texts = [std::sync::Arc::new(texts) as ArrayRef];
    accumulator.update_batch(&texts, &of_rows, Some(&filter), groups).expect("updated");
}

/// What the groups have, by a set for each.
fn expected<'a>(batches: impl IntoIterator<Item = &'a Vec<Row>>, groups: usize) -> Vec<i64> {
    let mut sets = vec![BTreeSet::new(); groups];
    for (group, text, wanted) in batches.into_iter().flatten() {
        if let (Some(text), true) = (text, wanted) {
            sets[*group].insert(*text);
        }
    }
    sets.iter().map(|set| set.len() as i64).collect()
}

fn counts(accumulator: &mut DistinctAccumulator, emit_to: EmitTo) -> Vec<i64> {
    accumulator.evaluate(emit_to).expect("counts").as_primitive::<Int64Type>().values().to_vec()
}

proptest! {
    #[test]
    fn counts_are_those_of_sets(batches in batches(), owns_states: bool) {
        let mut accumulator = DistinctAccumulator::new(owns_states).expect("an accumulator");
        update(&mut accumulator, &[], 6);
        batches.iter().for_each(|batch| update(&mut accumulator, batch, 6));
        prop_assert_eq!(counts(&mut accumulator, EmitTo::All), expected(&batches, 6));
    }

    #[test]
    fn states_of_parts_merge(batches in batches(), owns_states: bool, parts in 1_usize..4) {
        let mut merged = DistinctAccumulator::new(owns_states).expect("an accumulator");
        for part in 0..parts {
            let mut accumulator = DistinctAccumulator::new(owns_states).expect("an accumulator");
            update(&mut accumulator, &[], 6);
            batches.iter().skip(part).step_by(parts).for_each(|batch| update(&mut accumulator, batch, 6));
            let state = accumulator.state(EmitTo::All).expect("a state");
            // In another order of groups.
            merged.merge_batch(&state, &[5, 4, 3, 2, 1, 0], 6).expect("merged");
        }
        let mut expected = expected(&batches, 6);
        expected.reverse();
        prop_assert_eq!(counts(&mut merged, EmitTo::All), expected);
    }

    #[test]
    fn the_first_groups_can_go(before in batches(), after in batches(), owns_states: bool, first in 0_usize..=6, as_state: bool) {
        let mut accumulator = DistinctAccumulator::new(owns_states).expect("an accumulator");
        update(&mut accumulator, &[], 6);
        before.iter().for_each(|batch| update(&mut accumulator, batch, 6));
        let mut all = expected(&before, 6);
        if as_state {
            let state = accumulator.state(EmitTo::First(first)).expect("a state");
            let mut merged = DistinctAccumulator::new(owns_states).expect("an accumulator");
            merged.merge_batch(&state, &(0..first).collect::<Vec<_>>(), first).expect("merged");
            prop_assert_eq!(&counts(&mut merged, EmitTo::All), &all[..first]);
        } else {
            prop_assert_eq!(&counts(&mut accumulator, EmitTo::First(first)), &all[..first]);
        }
        // Those that are left have new numbers, and rows go on coming.
        let moved = |batch: &Vec<Row>| batch.iter().map(|(group, text, wanted)| (group + first, *text, *wanted)).collect();
        let moved: Vec<Vec<Row>> = after.iter().map(moved).collect();
        update(&mut accumulator, &[], 6);
        after.iter().for_each(|batch| update(&mut accumulator, batch, 6));
        all = expected(before.iter().chain(&moved), 6 + first);
        prop_assert_eq!(&counts(&mut accumulator, EmitTo::All), &all[first..]);
    }
}
