//! The port for notifications.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// One message to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The same at each attempt, so that a receiver can recognise a repeat.
    pub id: String,
    /// One line that says what happened.
    pub title: String,
    /// The details, as plain text.
    pub text: String,
}

/// Delivers notifications to people, at least once each.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Returns once the other side has it. A failed attempt may have arrived all the same: the next one has the same id.
    ///
    /// # Errors
    /// The other side refused it or did not answer.
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError>;
}

/// What callers put around a notifier.
pub trait NotifierExt: Notifier + Sized {
    /// Repeats calls that failed with an error that may pass.
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// Calls that take longer than `limit` fail with an error that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Notifier> NotifierExt for T {}
