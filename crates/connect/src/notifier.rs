//! The port for notifications.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// One message to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The same at each attempt, so that who receives it twice can tell.
    pub id: String,
    pub title: String,
    pub text: String,
}

#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Returns once the other side has it. An attempt that fails may have arrived all the same: the next bears the same id.
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError>;
}

/// What callers put around a notifier.
pub trait NotifierExt: Notifier + Sized {
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// What takes longer fails as something that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Notifier> NotifierExt for T {}
