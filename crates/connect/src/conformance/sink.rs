//! What a sink must do.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use crate::{DELETED_COLUMN, Epoch, Sink};

/// Rows with one column, `numero`.
fn rows(numbers: &[i64]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("numero", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers.to_vec()))]).expect("rows")
}

/// Each epoch is written once, however often it is repeated; `sum` asks the other side for the sum
/// of `numero` over all rows.
pub async fn sink_conforms(sink: &impl Sink, sum: impl AsyncFn() -> i64) {
    assert_eq!(sink.last_epoch().await.expect("no epoch"), None);
    sink.write(Epoch(3), &[rows(&[1, 2]), rows(&[3])]).await.expect("written");
    assert_eq!((sink.last_epoch().await.expect("an epoch"), sum().await), (Some(Epoch(3)), 6));
    sink.write(Epoch(3), &[rows(&[1, 2]), rows(&[3])]).await.expect("a repeat");
    sink.write(Epoch(2), &[rows(&[100])]).await.expect("an older one");
    assert_eq!((sink.last_epoch().await.expect("an epoch"), sum().await), (Some(Epoch(3)), 6), "nothing has changed");
    sink.write(Epoch(9), &[]).await.expect("an epoch without rows");
    sink.write(Epoch(10), &[rows(&[4])]).await.expect("written");
    assert_eq!((sink.last_epoch().await.expect("an epoch"), sum().await), (Some(Epoch(10)), 10));
}

/// Rows of `numero`, known by `chave`; those without a number are deleted.
fn keyed(rows: &[(&str, Option<i64>)]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("chave", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("numero", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))) as ArrayRef),
        (DELETED_COLUMN, Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.1.is_none())))) as ArrayRef),
    ])
    .expect("rows")
}

/// A sink that was made with the key `chave`: rows replace each other, go, and are not changed by
/// repeats; `found` asks the other side for all rows that are there, as `chave` and `numero`, in
/// the order of their keys.
pub async fn keyed_sink_conforms(sink: &impl Sink, found: impl AsyncFn() -> Vec<(String, i64)>) {
    let is = |rows: &[(&str, i64)]| rows.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect::<Vec<_>>();
    assert_eq!(sink.last_epoch().await.expect("no epoch"), None);
    let first = [keyed(&[("a", Some(1)), ("b", Some(2))]), keyed(&[("c", Some(3))])];
    sink.write(Epoch(1), &first).await.expect("written");
    assert_eq!(found().await, is(&[("a", 1), ("b", 2), ("c", 3)]));
    let second = [keyed(&[("a", Some(10)), ("b", None), ("d'\\\n", Some(4)), ("nunca", None)])];
    sink.write(Epoch(2), &second).await.expect("written");
    let after = is(&[("a", 10), ("c", 3), ("d'\\\n", 4)]);
    assert_eq!((found().await, sink.last_epoch().await.expect("an epoch")), (after.clone(), Some(Epoch(2))));
    sink.write(Epoch(2), &second).await.expect("a repeat");
    sink.write(Epoch(1), &first).await.expect("an older one");
    assert_eq!(found().await, after, "nothing has changed");
    sink.write(Epoch(7), &[]).await.expect("an epoch without rows");
    assert_eq!(sink.last_epoch().await.expect("an epoch"), Some(Epoch(7)));
    sink.write(Epoch(8), &[keyed(&[("b", Some(20)), ("c", None)])]).await.expect("one that comes back");
    assert_eq!(found().await, is(&[("a", 10), ("b", 20), ("d'\\\n", 4)]));
}
