//! Against one look at every row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::super::changes::{Asked, Changes};
use super::*;

/// Group, two further dimensions, time, key that is counted once, units, cents.
type Row = (u8, Place, i64, Option<u8>, i64, i64);
/// Values of the further dimensions.
type Place = (Option<u8>, Option<u8>);

fn shape() -> Shape {
    Shape {
        dimensions: vec!["produto".into(), "regiao".into(), "canal".into()],
        time: "instante".into(),
        once: Some("pedido".into()),
        sums: vec!["unidades".into(), "receita".into()],
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let text = |value: Option<u8>| value.map(|value| format!("v{value}"));
    let products: StringArray = rows.iter().map(|row| text(Some(row.0))).collect();
    let regions: StringArray = rows.iter().map(|row| text(row.1.0)).collect();
    let channels: StringArray = rows.iter().map(|row| text(row.1.1)).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.2)).collect();
    let orders: StringArray = rows.iter().map(|row| text(row.3)).collect();
    let units: Int64Array = rows.iter().map(|row| Some(row.4)).collect();
    let cents: Decimal128Array = rows.iter().map(|row| Some(i128::from(row.5))).collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("produto", Arc::new(products)),
        ("regiao", Arc::new(regions)),
        ("canal", Arc::new(channels)),
        ("instante", Arc::new(times.with_timezone("UTC"))),
        ("pedido", Arc::new(orders)),
        ("unidades", Arc::new(units)),
        ("receita", Arc::new(cents.with_precision_and_scale(18, 2).expect("a decimal"))),
    ];
    RecordBatch::try_from_iter(columns).expect("rows")
}

/// Units, cents, orders.
type Group = (i128, i128, i64);

fn expected(rows: &[Row], (from, until): (Option<i64>, Option<i64>), wanted: Place) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, (i128, i128, BTreeSet<u8>)> = BTreeMap::new();
    for (product, place, time, order, units, cents) in rows {
        let is_in = from.is_none_or(|from| from <= *time) && until.is_none_or(|until| *time < until);
        let is_wanted = |wanted: Option<u8>, own: Option<u8>| wanted.is_none() || own == wanted;
        if is_in && is_wanted(wanted.0, place.0) && is_wanted(wanted.1, place.1) {
            let group = groups.entry(format!("v{product}")).or_default();
            group.0 += i128::from(*units);
            group.1 += i128::from(*cents);
            group.2.extend(order);
        }
    }
    let group = |(value, (units, cents, orders)): (String, (i128, i128, BTreeSet<u8>))| {
        (value, (units, cents, i64::try_from(orders.len()).expect("few")))
    };
    groups.into_iter().map(group).collect()
}

fn found(sums: &Sums, range: (Option<i64>, Option<i64>), wanted: Place) -> BTreeMap<String, Group> {
    let groups = sums.of(range, &filters(wanted));
    let value = |(place, value): (usize, Option<&str>)| {
        let sums = (groups.sums[0][place], groups.sums[1][place], groups.once[place]);
        (value.expect("a product").to_owned(), sums)
    };
    groups.values.iter().enumerate().map(value).collect()
}

fn filters(wanted: Place) -> Vec<(usize, String)> {
    let filter = |(dimension, value): (usize, Option<u8>)| Some((dimension, format!("v{}", value?)));
    [(1, wanted.0), (2, wanted.1)].into_iter().filter_map(filter).collect()
}

prop_compose! {
    fn row()(
        product in 0..3_u8,
        place in (prop::option::of(0..4_u8), prop::option::of(0..6_u8)),
        time in 0..12_i64,
        order in prop::option::of(0..9_u8),
        units in 0..5_i64,
        cents in 0..100_i64,
    ) -> Row {
        (product, place, time, order, units, cents)
    }
}

proptest! {
    #[test]
    fn any_range_has_the_sums_of_its_rows(
        parts in prop::collection::vec((prop::collection::vec(row(), 0..120), 0..3_u8), 0..6),
        from in prop::option::of(0..13_i64),
        until in prop::option::of(0..13_i64),
        wanted in (prop::option::of(0..5_u8), prop::option::of(0..7_u8)),
        step in 1..30_usize,
    ) {
        let mut sums = Sums::with_steps(shape(), step);
        let mut all = Vec::new();
        for (rows, settled) in parts {
            let before = (sums.clone(), found(&sums, (from, until), wanted));
            let mut touched = Touched::default();
            sums.add(&batch(&rows), &mut touched).expect("added");
            match settled {
                0 => {}
                1 => sums.settle().expect("settled"),
                _ => sums.settle_all().expect("settled"),
            }
            all.extend_from_slice(&rows);
            prop_assert_eq!(found(&sums, (from, until), wanted), expected(&all, (from, until), wanted));
            // A copy stays as it was.
            prop_assert_eq!(found(&before.0, (from, until), wanted), before.1);
            // An answer has another version as soon as one of its rows has come, and never for rows
            // of other values.
            let mut changes = Changes::loaded();
            changes.add(touched);
            let numbers = sums.numbers(&filters(wanted));
            let asked = Asked::new((from, until), numbers.as_deref(), sums.dimensions());
            let has_rows = |range| !expected(&rows, range, wanted).is_empty();
            let is_touched = changes.last_of(asked) > 0;
            prop_assert!(is_touched || !has_rows((from, until)));
            prop_assert!(!is_touched || has_rows((None, None)));
        }
    }
}

#[test]
fn many_keys_are_counted_once_each() {
    let mut sums = Sums::new(shape());
    let row = |number: i64| {
        let order = format!("pedido {number}");
        (order, number % 7, number)
    };
    for part in 0..4 {
        // Each order comes twice: at once in one part, and at another time in the next.
        let orders: Vec<_> = (0..10_000).map(|number| row(number + part * 5_000)).collect();
        let products: StringArray = orders.iter().map(|(_, product, _)| Some(format!("p{product}"))).collect();
        let regions: StringArray = orders.iter().map(|_| Some("SP")).collect();
        let times: TimestampMicrosecondArray = orders.iter().map(|(_, _, time)| Some(time * 10 + part)).collect();
        let texts: StringArray = orders.iter().map(|(order, ..)| Some(order.as_str())).collect();
        let ones: Int64Array = orders.iter().map(|_| Some(1)).collect();
        let columns: [(&str, ArrayRef); 7] = [
            ("produto", Arc::new(products)),
            ("regiao", Arc::new(regions.clone())),
            ("canal", Arc::new(regions)),
            ("instante", Arc::new(times.with_timezone("UTC"))),
            ("pedido", Arc::new(texts)),
            ("unidades", Arc::new(ones.clone())),
            ("receita", Arc::new(ones)),
        ];
        let rows = RecordBatch::try_from_iter(columns).expect("rows");
        sums.add(&rows, &mut Touched::default()).expect("added");
        sums.settle().expect("settled");
    }
    let groups = sums.of((None, None), &[]);
    assert_eq!(groups.once.iter().sum::<i64>(), 25_000);
    assert_eq!(groups.sums[0].iter().sum::<i128>(), 40_000);
}

#[test]
fn a_sum_that_does_not_fit_is_said() {
    let mut sums = Sums::with_steps(shape(), 1);
    let rows = batch(&[(0, (None, None), 1, None, i64::MAX, 0), (0, (None, None), 2, None, 1, 0)]);
    sums.add(&rows, &mut Touched::default()).expect("they wait");
    assert!(matches!(sums.settle(), Err(Unusable::TooLarge)));
}
