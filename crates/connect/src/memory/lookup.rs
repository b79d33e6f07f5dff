//! Rows found by key in a batch.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::{ConnectError, Lookup};

/// Rows of one batch of the whole table.
const BATCH_ROWS: usize = 8 * 1024;

/// A look-up over the rows of one batch.
#[derive(Debug)]
pub struct MemoryLookup {
    rows: RecordBatch,
    /// The row of each key, which is compared as a string.
    by_key: HashMap<String, u64>,
}

impl MemoryLookup {
    /// Finds `rows` by the column `key`. Of rows with the same key the last one is found; rows
    /// without a key are not.
    ///
    /// # Errors
    /// `rows` has no such column, or its values cannot be written as strings.
    pub fn new(rows: &RecordBatch, key: &str) -> Result<Self, ConnectError> {
        let index = rows.schema().index_of(key).map_err(ConnectError::permanent)?;
        let keys = texts(rows.column(index))?;
        let by_key = keys.as_string::<i32>().iter().zip(0..).filter_map(|(key, row)| Some((key?.to_owned(), row)));
        let by_key = by_key.collect();
        let fields =
            rows.schema().fields().iter().map(|field| Field::clone(field).with_nullable(true)).collect::<Vec<_>>();
        let rows = RecordBatch::try_new(Schema::new(fields).into(), rows.columns().to_vec());
        Ok(Self { rows: rows.map_err(ConnectError::permanent)?, by_key })
    }
}

/// Keys of any type are compared as strings.
fn texts(keys: &ArrayRef) -> Result<ArrayRef, ConnectError> {
    cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)
}

#[async_trait]
impl Lookup for MemoryLookup {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let keys = texts(keys)?;
        let places = keys.as_string::<i32>().iter().map(|key| key.and_then(|key| self.by_key.get(key)).copied());
        let found: Result<RecordBatch, ArrowError> = take_record_batch(&self.rows, &places.collect::<UInt64Array>());
        found.map_err(ConnectError::permanent)
    }

    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        let count = self.rows.num_rows();
        let firsts = (0..count).step_by(BATCH_ROWS);
        stream::iter(firsts.map(move |first| Ok(self.rows.slice(first, BATCH_ROWS.min(count - first))))).boxed()
    }
}
