//! Kept answers are what would be computed, whatever is committed, repaired and forgotten.

mod walk;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_query::{Cache, CatalogVersion, SharedCache, SharedCacheError};

use crate::walk::Walk;

/// A second level in memory that forgets, and is away now and then.
#[derive(Debug, Default)]
struct Forgetful {
    kept: Mutex<HashMap<String, Bytes>>,
    asked: AtomicUsize,
}

#[async_trait]
impl SharedCache for Forgetful {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, SharedCacheError> {
        match self.asked.fetch_add(1, Ordering::Relaxed) % 20 {
            3 => Ok(self.kept.lock().await.remove(name).filter(|_| false)),
            7 => Err(SharedCacheError("away".to_owned())),
            9 => Ok(Some(Bytes::from_static(b"not an answer"))),
            _ => Ok(self.kept.lock().await.get(name).cloned()),
        }
    }

    async fn put(&self, name: &str, bytes: Bytes, ttl: Duration) -> Result<(), SharedCacheError> {
        assert!(name.starts_with("vitral:") && ttl > Duration::from_secs(800), "{name} {ttl:?}");
        self.kept.lock().await.insert(name.to_owned(), bytes);
        Ok(())
    }
}

#[tokio::test]
async fn random_reads_commits_and_repairs_are_answered_as_without_a_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = Arc::new(Forgetful::default());
    let version = CatalogVersion::of(&Catalog::default(), &DomainSettings::default());
    let process = |bytes| Cache::with_shared(bytes, Arc::clone(&shared) as _, version.clone());
    // One has no memory of its own, and one little.
    let caches = vec![process(1 << 20), process(0), process(3_000), Cache::new(1 << 20)];
    let mut walk = Walk::new(folder.path(), caches.clone()).await;
    for _ in 0..walk::steps() {
        walk.step().await;
    }
    let [stream, forgetful, _, alone] = &caches[..] else { panic!("four") };
    for cache in [stream, alone] {
        assert!(cache.counts().memory.hits() > 50, "{:?}", cache.counts());
    }
    assert!(forgetful.counts().shared.hits() > 20, "{:?}", forgetful.counts());
    assert!(stream.counts().shared.errors() > 0 && forgetful.counts().memory.hits() == 0);
    assert_eq!(alone.counts().shared.hits() + alone.counts().shared.misses(), 0);
}
