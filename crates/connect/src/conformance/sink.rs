//! What a sink must do.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::{Epoch, Sink};

/// Rows with one column, `numero`.
fn rows(numbers: &[i64]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("numero", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers.to_vec()))]).expect("rows")
}

/// Each epoch is written once, however often it is repeated; `sum` asks the other side for the sum of `numero` over all rows.
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
