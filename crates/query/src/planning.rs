//! Planning what anybody may have written. It may take long, and cannot be stopped: on a thread of
//! its own it holds up nobody else, and those who wait for it hear of their timeout.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::QueryError;

/// How many statements may be planned at once. Copies are of the same permits.
#[derive(Debug, Clone)]
pub(crate) struct Planning(Arc<Semaphore>);

impl Planning {
    pub(crate) fn new(running: usize) -> Self {
        Self(Arc::new(Semaphore::new(running.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Does the work on a thread of its own. It keeps its permit to its end, though nobody may wait
    /// for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        // `vitral check` plans without a runtime.
        let Ok(handle) = Handle::try_current() else { return work.await };
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|_| QueryError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = handle.block_on(work);
            drop(permit);
            result
        });
        match done.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is ending.
                Err(_) => Err(QueryError::Busy),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_planned_for_long_holds_up_nobody() {
        let planning = Planning::new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let long = planning.run(async move { ended.recv().map_err(|_| QueryError::Busy) });
        // One thread: nothing else would run on it.
        assert!(tokio::time::timeout(Duration::from_millis(20), long).await.is_err());
        let next = planning.run(async { Ok(1) });
        let mut next = std::pin::pin!(next);
        assert!(futures::poll!(next.as_mut()).is_pending(), "the first one is still planned");
        end.send(()).expect("it goes on");
        assert_eq!(next.await.expect("its turn"), 1);
    }
}
