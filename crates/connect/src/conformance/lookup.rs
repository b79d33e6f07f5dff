//! What a look-up must do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};

use crate::Lookup;

/// The look-up must know `a` with the string `1` and `b` with the string `2` in `column`, and nothing else.
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
