//! Answers in this process's memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::{Cache, Entry, Key};

/// Answers that are kept; beyond these the one that was not asked for the longest goes.
const KEPT_MAX: usize = 64;

/// Answers kept in this process.
#[derive(Debug, Default)]
pub struct MemoryCache(Mutex<HashMap<Key, (Arc<Entry>, Instant)>>);

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (entry, used) = kept.get_mut(key)?;
        *used = Instant::now();
        Some(Arc::clone(entry))
    }

    async fn put(&self, key: Key, entry: Entry) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            let oldest = kept.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.map(|oldest| kept.remove(&oldest));
        }
        kept.insert(key, (Arc::new(entry), Instant::now()));
    }
}

impl MemoryCache {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
