//! Rows kept by epoch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::{ConnectError, Epoch, Sink, deleted, key_text, row_json};

/// Keeps the rows of each epoch.
#[derive(Debug, Default)]
pub struct MemorySink(Mutex<BTreeMap<Epoch, Vec<RecordBatch>>>);

impl MemorySink {
    /// A sink without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written, by epoch.
    pub fn written(&self) -> BTreeMap<Epoch, Vec<RecordBatch>> {
        self.lock().clone()
    }

    /// What is there: each row as JSON, by the text of its key.
    pub fn rows(&self, key: &[String]) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        for batch in self.lock().values().flatten() {
            let deleted = deleted(batch);
            for row in 0..batch.num_rows() {
                let text = key_text(batch, key, row);
                if deleted.is_some_and(|deleted| deleted.value(row)) {
                    rows.remove(&text);
                } else {
                    rows.insert(text, String::from_utf8_lossy(&row_json(batch, row)).into_owned());
                }
            }
        }
        rows
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Epoch, Vec<RecordBatch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        Ok(self.lock().keys().next_back().copied())
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        let mut written = self.lock();
        if written.keys().next_back().is_none_or(|last| *last < epoch) {
            written.insert(epoch, batches.to_vec());
        }
        Ok(())
    }
}
