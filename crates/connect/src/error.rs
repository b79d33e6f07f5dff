//! What every port fails with: the cause in words, and whether another attempt may succeed.

use std::error::Error;
use std::fmt;

/// Whether the same attempt may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// The other side is away and may come back at any time: worth trying for as long as it takes.
    Outage,
    /// The answer may be of the moment: worth some attempts.
    Passing,
    /// Nothing changes until somebody changes a setting, a right, or what is asked for.
    Permanent,
}

/// Why a port failed. It reads like its cause, which [`Self::cause`] has with its type.
#[derive(Debug)]
pub struct ConnectError {
    hint: RetryHint,
    cause: Box<dyn Error + Send + Sync + 'static>,
}

impl ConnectError {
    pub fn new(hint: RetryHint, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { hint, cause: cause.into() }
    }

    pub fn outage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Outage, cause)
    }

    pub fn passing(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Passing, cause)
    }

    pub fn permanent(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Permanent, cause)
    }

    pub fn retry_hint(&self) -> RetryHint {
        self.hint
    }

    /// Whether another attempt may succeed without anybody changing anything.
    pub fn is_worth_a_retry(&self) -> bool {
        self.hint != RetryHint::Permanent
    }

    pub fn is_outage(&self) -> bool {
        self.hint == RetryHint::Outage
    }

    /// The implementation's own error, for `downcast_ref`.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

/// An error and its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
