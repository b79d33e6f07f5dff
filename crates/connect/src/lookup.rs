//! The port for rows found by key.

use std::fmt;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::breaker::CircuitBreaker;
use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// How much is asked for at once. What is more is asked for in portions, each with a time limit and
/// attempts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Keys of one call.
    pub keys: usize,
    /// Calls that wait for their answers at the same time, of all callers together.
    pub calls: usize,
}

impl Portion {
    /// All keys by one call.
    pub const WHOLE: Self = Self { keys: usize::MAX, calls: 16 };
}

/// Finds rows by key, many at once.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The columns of what is found, the key's among them; all are nullable.
    fn schema(&self) -> SchemaRef;

    /// One row for each key, in the keys' order; a row of nulls for a key that is null or unknown,
    /// or whose row cannot be used.
    ///
    /// # Errors
    /// The other side failed or did not answer. Then no key has a row. An error [of
    /// keys](ConnectError::of_keys) says that fewer of them may be answered.
    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError>;

    /// Every row as it stands, in no order, in batches of the columns of [`Self::schema`] that are
    /// small enough to be held.
    ///
    /// # Errors
    /// The last item: the other side failed, a row has a value that its column cannot hold exactly,
    /// or rows are found by key alone.
    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        stream::iter([Err(ConnectError::permanent("its rows are found by key alone"))]).boxed()
    }

    /// Whether it knows that what it answers now is not what its system has, and answers all the
    /// same.
    fn is_stale(&self) -> bool {
        false
    }

    /// How much it is asked for at once.
    fn portion(&self) -> Portion {
        Portion::WHOLE
    }
}

/// What callers put around a look-up.
pub trait LookupExt: Lookup + Sized {
    /// Repeats calls that failed with an error that may pass.
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// Calls that take longer than `limit` fail with an error that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }

    /// After some failures in a row, calls fail at once for a while.
    fn with_breaker(self) -> CircuitBreaker<Self> {
        CircuitBreaker::new(self)
    }
}

impl<T: Lookup> LookupExt for T {}

#[async_trait]
impl<T: Lookup + ?Sized> Lookup for Box<T> {
    fn schema(&self) -> SchemaRef {
        (**self).schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        (**self).get(keys).await
    }

    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        (**self).all()
    }

    fn is_stale(&self) -> bool {
        (**self).is_stale()
    }

    fn portion(&self) -> Portion {
        (**self).portion()
    }
}
