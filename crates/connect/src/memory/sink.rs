//! Rows kept by epoch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::{ConnectError, Epoch, Sink};

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
