//! The port for rows that leave.

use std::fmt;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// A number that rises with each write. What it stands for is fixed before it is written, so a repeat writes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// The last epoch whose rows are there, whole; none before the first.
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError>;

    /// Writes the rows of an epoch, all or none. An epoch that is there already, or is older than one that is, changes nothing: after
    /// a crash the writer repeats the last one.
    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError>;
}

/// What callers put around a sink.
pub trait SinkExt: Sink + Sized {
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// What takes longer fails as something that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Sink> SinkExt for T {}
