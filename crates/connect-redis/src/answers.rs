//! Kept answers in Redis.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use vitral_query::{SharedCache, SharedCacheError};

use crate::link::{LinkError, Redis};
use crate::route::Command;

#[async_trait]
impl SharedCache for Redis {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, SharedCacheError> {
        let found: Option<Vec<u8>> = self.run(Command::Plain(redis::cmd("GET").arg(name))).await?;
        Ok(found.map(Bytes::from))
    }

    async fn put(&self, name: &str, bytes: Bytes, ttl: Duration) -> Result<(), SharedCacheError> {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return Ok(());
        }
        let mut command = redis::cmd("SET");
        command.arg(name).arg(&bytes[..]).arg("PX").arg(ms);
        Ok(self.run(Command::Plain(&command)).await?)
    }
}

impl From<LinkError> for SharedCacheError {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}
