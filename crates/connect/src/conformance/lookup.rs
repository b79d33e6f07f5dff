//! What a look-up must do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use futures::TryStreamExt;

use crate::{Lookup, RetryHint};

/// The look-up must know `a` with the string `1` and `b` with the string `2` in `column`, and
/// nothing else.
pub async fn lookup_conforms(lookup: &impl Lookup, column: &str) {
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("unknown"), Some("a"), Some("b")]));
    let rows = lookup.get(&keys).await.expect("rows");
    assert_eq!(rows.schema(), lookup.schema());
    assert!(rows.schema().fields().iter().all(|field| field.is_nullable()));
    let values = rows.column_by_name(column).expect("the column").as_string::<i32>();
    let values: Vec<Option<&str>> = values.iter().collect();
    assert_eq!(values, [Some("2"), None, None, Some("1"), Some("2")], "one row for each key, in their order");
    let nothing: ArrayRef = Arc::new(StringArray::new_null(0));
    assert_eq!(lookup.get(&nothing).await.expect("no rows").num_rows(), 0);
    let empty = lookup.get(&keys.slice(1, 1)).await.expect("a row");
    assert!(empty.columns().iter().all(|column| column.is_null(0)), "nothing has no key");
}

/// The whole table must have a row with the string `1` and one with the string `2` in `column`, and
/// no other.
pub async fn whole_table_conforms(lookup: &impl Lookup, column: &str) {
    // Each reading begins at the beginning, also after one that was left half-way.
    drop(lookup.all().try_next().await.expect("a batch"));
    for _ in 0..2 {
        let mut values = Vec::new();
        let mut batches = lookup.all();
        while let Some(batch) = batches.try_next().await.expect("rows") {
            assert_eq!(batch.schema(), lookup.schema());
            let column = batch.column_by_name(column).expect("the column").as_string::<i32>();
            values.extend(column.iter().map(|value| value.map(str::to_owned)));
        }
        values.sort_unstable();
        assert_eq!(values, [Some("1".to_owned()), Some("2".to_owned())]);
    }
}

/// A system that is asked for keys, and has no way to tell all of them, says so.
pub async fn found_by_key_alone(lookup: &impl Lookup) {
    let error = lookup.all().try_next().await.expect_err("no rows");
    assert_eq!(error.retry_hint(), RetryHint::Permanent);
    assert!(error.to_string().contains("by key alone"), "{error}");
}
