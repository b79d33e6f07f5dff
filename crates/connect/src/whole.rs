//! Tables of other systems that are read as a whole, as they stand then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;

use crate::{ConnectError, Lookup, LookupExt, RetryPolicy, retry};

/// How long a batch of rows is waited for: a view of a large table takes longer than the rows of
/// some keys.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// A table is held in memory while a job runs.
const BYTES_MAX: usize = 512 << 20;
/// What fails half-way is read again from its beginning.
const POLICY: RetryPolicy = RetryPolicy::times(2, Duration::from_millis(500), Duration::from_secs(5));

/// Tables by the names that the catalog has for them.
#[derive(Debug, Clone, Default)]
pub struct WholeTables(BTreeMap<String, Result<Arc<dyn Lookup>, String>>);

impl WholeTables {
    /// The tables by their names, or why they could not be opened: that is said where one is read.
    pub fn new(tables: impl IntoIterator<Item = (String, Result<Box<dyn Lookup>, String>)>) -> Self {
        let bounded = |lookup: Box<dyn Lookup>| Arc::new(lookup.timed_out(BATCH_TIMEOUT)) as Arc<dyn Lookup>;
        Self(tables.into_iter().map(|(name, table)| (name, table.map(bounded))).collect())
    }

    /// The names of all tables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every row of a table.
    ///
    /// # Errors
    /// It is not one of these, its system does not answer, or a value is not of its column's type.
    pub async fn rows(&self, name: &str) -> Result<RecordBatch, ConnectError> {
        let table = match self.0.get(name) {
            None => return Err(ConnectError::permanent(format!("{name} is not open"))),
            Some(Err(why)) => return Err(ConnectError::permanent(why.clone())),
            Some(Ok(table)) => table,
        };
        retry(&POLICY, || async {
            let (mut batches, mut bytes, mut all) = (Vec::new(), 0, table.all());
            while let Some(batch) = all.try_next().await? {
                bytes += batch.get_array_memory_size();
                if bytes > BYTES_MAX {
                    let words = format!("its rows need more than the {} MiB that they may have here", BYTES_MAX >> 20);
                    return Err(ConnectError::permanent(words));
                }
                batches.push(batch);
            }
            concat_batches(&table.schema(), &batches).map_err(ConnectError::permanent)
        })
        .await
    }
}
