//! The port to what processes share.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Where processes keep answers for each other. An implementation may forget any of them at any
/// time, is never waited for longer than an answer is worth, and fails at once while it is away.
#[async_trait]
pub trait SharedCache: std::fmt::Debug + Send + Sync {
    /// What was put under this name, if it is still there.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, SharedCacheError>;

    /// Keeps the bytes for at most so long.
    async fn put(&self, name: &str, bytes: Bytes, ttl: Duration) -> Result<(), SharedCacheError>;
}

/// Why nothing was found or kept: queries are run instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SharedCacheError(pub String);
