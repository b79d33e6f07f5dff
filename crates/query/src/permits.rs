//! How many requests may have a query run at once, and how many more may wait for that.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QueryError;

/// Copies are of the same permits.
#[derive(Debug, Clone)]
pub(crate) struct Permits {
    running: Arc<Semaphore>,
    /// Running and waiting together.
    admitted: Arc<Semaphore>,
}

/// The right to run one request's queries and to hold their answer; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl Permits {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        let running = running.clamp(1, Semaphore::MAX_PERMITS / 2);
        let admitted = running + waiting.min(Semaphore::MAX_PERMITS / 2);
        Self { running: Arc::new(Semaphore::new(running)), admitted: Arc::new(Semaphore::new(admitted)) }
    }

    /// Waits for its turn; refused at once if too many wait already.
    pub(crate) async fn acquire(&self) -> Result<Permit, QueryError> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| QueryError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| QueryError::Busy)?;
        Ok(Permit { _running: running, _admitted: admitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_bounded() {
        let permits = Permits::new(1, 1);
        let running = permits.acquire().await.expect("free");
        let mut waiting = std::pin::pin!(permits.acquire());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(matches!(permits.acquire().await, Err(QueryError::Busy)));
        drop(running);
        waiting.await.expect("its turn");
        permits.acquire().await.expect("free again");
    }
}
