//! The error of every port: its cause, and whether another attempt may succeed.

use std::error::Error;
use std::fmt;

/// Whether the same attempt may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// The other side is away and may come back at any time: worth trying for as long as it takes.
    Outage,
    /// The failure may be transient: worth a few attempts.
    Passing,
    /// Nothing changes until somebody changes a setting, a right, or what is asked for.
    Permanent,
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The other side as a whole.
    System,
    /// What was asked for: the other side is there, and answers others.
    Keys,
    /// Nothing: the other side was left alone.
    Unasked,
}

/// Why a port failed. It displays as its cause, which [`Self::cause`] returns with its type.
#[derive(Debug)]
pub struct ConnectError {
    hint: RetryHint,
    of: Of,
    cause: Box<dyn Error + Send + Sync + 'static>,
}

impl ConnectError {
    /// An error with this hint.
    pub fn new(hint: RetryHint, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { hint, of: Of::System, cause: cause.into() }
    }

    /// The other side is away: [`RetryHint::Outage`].
    pub fn outage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Outage, cause)
    }

    /// May be transient: [`RetryHint::Passing`].
    pub fn passing(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Passing, cause)
    }

    /// Waiting cannot help: [`RetryHint::Permanent`].
    pub fn permanent(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(RetryHint::Permanent, cause)
    }

    /// The same, about what was asked for: the other side is there, and may answer for others.
    #[must_use]
    pub fn of_keys(self) -> Self {
        Self { of: Of::Keys, ..self }
    }

    /// The other side is believed to be away and was not asked.
    pub(crate) fn unasked(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { of: Of::Unasked, ..Self::outage(cause) }
    }

    /// Whether it is about what was asked for alone.
    pub fn is_of_keys(&self) -> bool {
        self.of == Of::Keys
    }

    /// Whether the other side was left alone.
    pub(crate) fn is_unasked(&self) -> bool {
        self.of == Of::Unasked
    }

    /// Whether, and for how long, another attempt is worth it.
    pub fn retry_hint(&self) -> RetryHint {
        self.hint
    }

    /// Whether another attempt may succeed although nobody changes anything.
    pub fn is_worth_a_retry(&self) -> bool {
        self.hint != RetryHint::Permanent
    }

    /// Whether the other side is away.
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

/// An error and its causes, in one line; a cause with which an error's own words end is not
/// repeated.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.ends_with(&cause) { text } else { format!("{text}: {cause}") })
}
