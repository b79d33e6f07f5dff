//! The port for rows that are written to other systems, and the form that they have.
//!
//! A batch has the columns of what is copied, each of a type that [`written_type`] gives. Rows are
//! known by a key, which an implementation is made with; a row replaces the one with its key. A
//! batch may have one more column, [`DELETED_COLUMN`]: where that is true, the row is deleted, and
//! all but its key is null. An epoch has each key once.

use std::fmt;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use async_trait::async_trait;
pub use vitral_schemas::written::{DELETED_COLUMN, EPOCH_COLUMN, written_type};

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// A number that rises with each write. What it covers is fixed before it is written, so that a
/// repeat writes the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Which rows of a batch are deleted; none if it does not say.
pub fn deleted(batch: &RecordBatch) -> Option<&BooleanArray> {
    batch.column_by_name(DELETED_COLUMN)?.as_boolean_opt()
}

/// Writes rows to another system, each epoch once however often it is repeated.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// The last epoch whose rows are all there; none before the first.
    ///
    /// # Errors
    /// The other side failed or did not answer.
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError>;

    /// Writes the rows of an epoch, all or none. An epoch that is there already, or is older than
    /// one that is, changes nothing: after a crash the writer repeats the last one.
    ///
    /// # Errors
    /// The other side failed or did not answer. The epoch may be there all the same; a repeat finds
    /// out.
    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError>;

    /// Whether rows of earlier epochs have lost some of their values, as a column was dropped and
    /// added again: all rows are to be sent once more. It stays so until an epoch after that is
    /// written.
    ///
    /// # Errors
    /// The other side failed or did not answer.
    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        Ok(false)
    }
}

/// What callers put around a sink.
pub trait SinkExt: Sink + Sized {
    /// Repeats calls that failed with an error that may pass.
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// Calls that take longer than `limit` fail with an error that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Sink> SinkExt for T {}

#[async_trait]
impl<T: Sink + ?Sized> Sink for Box<T> {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        (**self).last_epoch().await
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        (**self).write(epoch, batches).await
    }

    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        (**self).lacks_values().await
    }
}
