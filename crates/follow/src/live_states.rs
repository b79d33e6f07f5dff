//! The port to the stream: what it shows and has not stored yet.

use async_trait::async_trait;
use vitral_query::remote::LivePart;

/// A stream that can be asked.
#[async_trait]
pub trait LiveStates: Send {
    /// The newest live part, as soon as there is one besides that of this name; none if there is
    /// none for a while.
    ///
    /// # Errors
    /// What the stream has not stored is not known now.
    async fn next(&mut self, known: Option<&str>) -> Result<Option<LivePart>, NotLive>;
}

/// Why only stored rows can be shown, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotLive {
    /// The stream does not answer, or not with what was asked for.
    Away(String),
    /// It answers in a way that this process does not understand.
    OtherVersion(String),
}

impl NotLive {
    /// What is wrong.
    pub fn reason(&self) -> &str {
        match self {
            Self::Away(reason) | Self::OtherVersion(reason) => reason,
        }
    }
}
