//! The port for rows found by key.

use std::fmt;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// Of what is found; every column may be null.
    fn schema(&self) -> SchemaRef;

    /// One row for each key, in the keys' order; of a key that is null or not known, nulls.
    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError>;
}

/// What callers put around a look-up.
pub trait LookupExt: Lookup + Sized {
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// What takes longer fails as something that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Lookup> LookupExt for T {}
