//! Decorators for any implementation of a port: retries and time limits.

use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::{ConnectError, Epoch, Lookup, Notification, Notifier, Portion, RetryPolicy, Sink, retry};

/// Repeats what failed with an error that may pass.
#[derive(Debug)]
pub struct Retrying<T> {
    inner: T,
    policy: RetryPolicy,
}

impl<T> Retrying<T> {
    /// Repeats calls of `inner` by `policy`.
    pub fn new(inner: T, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

/// Gives up an attempt that takes too long.
#[derive(Debug)]
pub struct TimedOut<T> {
    inner: T,
    limit: Duration,
}

impl<T> TimedOut<T> {
    /// Gives each call of `inner` at most `limit`; what takes longer is an error that may pass.
    pub fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit }
    }

    async fn within<V>(&self, work: impl Future<Output = Result<V, ConnectError>>) -> Result<V, ConnectError> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> ConnectError {
        ConnectError::passing(format!("no answer within {:?}", self.limit))
    }
}

#[async_trait]
impl<T: Lookup> Lookup for Retrying<T> {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        retry(&self.policy, || self.inner.get(keys)).await
    }

    /// Not repeated: what was read is with the caller already.
    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        self.inner.all()
    }

    fn is_stale(&self) -> bool {
        self.inner.is_stale()
    }

    fn portion(&self) -> Portion {
        self.inner.portion()
    }
}

#[async_trait]
impl<T: Lookup> Lookup for TimedOut<T> {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        self.within(self.inner.get(keys)).await
    }

    /// Each batch has the limit.
    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        let batches = stream::unfold(Some(self.inner.all()), move |batches| async move {
            let mut batches = batches?;
            match tokio::time::timeout(self.limit, batches.next()).await {
                Ok(next) => next.map(|batch| (batch, Some(batches))),
                Err(_) => Some((Err(self.late()), None)),
            }
        });
        batches.boxed()
    }

    fn is_stale(&self) -> bool {
        self.inner.is_stale()
    }

    fn portion(&self) -> Portion {
        self.inner.portion()
    }
}

#[async_trait]
impl<T: Sink> Sink for Retrying<T> {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        retry(&self.policy, || self.inner.last_epoch()).await
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        retry(&self.policy, || self.inner.write(epoch, batches)).await
    }

    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        retry(&self.policy, || self.inner.lacks_values()).await
    }
}

#[async_trait]
impl<T: Sink> Sink for TimedOut<T> {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        self.within(self.inner.last_epoch()).await
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        self.within(self.inner.write(epoch, batches)).await
    }

    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        self.within(self.inner.lacks_values()).await
    }
}

#[async_trait]
impl<T: Notifier> Notifier for Retrying<T> {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        retry(&self.policy, || self.inner.deliver(notification)).await
    }
}

#[async_trait]
impl<T: Notifier> Notifier for TimedOut<T> {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        self.within(self.inner.deliver(notification)).await
    }
}
