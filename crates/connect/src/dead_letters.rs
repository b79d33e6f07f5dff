//! The port for refused messages.
//!
//! Delivery: at least once. The commit that holds a refusal waits for its [`Delivery`].

use futures::future::BoxFuture;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::Reason;

use crate::ConnectError;

/// Resolves when the letter is kept.
pub type Delivery = BoxFuture<'static, Result<(), ConnectError>>;

/// Takes the refused messages of one topic.
pub trait DeadLetters: Send {
    /// Sends a refused message on. Blocks while the largest number of letters is under way, and so
    /// pauses the reading.
    ///
    /// # Errors
    /// The letter was not accepted for sending. What fails later is the error of the [`Delivery`].
    fn send(&mut self, letter: &DeadLetter<'_>) -> Result<Delivery, ConnectError>;
}

/// A refused message, with what people need to fix it.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The name that the topic has where it was read.
    pub topic: &'a str,
    /// The partition that it was read from.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: Offset,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its payload, or the beginning of it.
    pub payload: &'a [u8],
    /// How many bytes the payload had, if this is only its beginning.
    pub truncated_bytes: Option<usize>,
    /// Why it was refused.
    pub reason: Reason,
    /// What is wrong with it, for people.
    pub detail: &'a str,
}

impl DeadLetter<'_> {
    /// The header with the length in bytes of a payload that was cut.
    pub const TRUNCATED: &'static str = "vitral.truncated";

    /// Names and values of the headers, the same for every implementation.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("vitral.reason", self.reason.name().to_owned()),
            ("vitral.topic", self.topic.to_owned()),
            ("vitral.partition", self.partition.to_string()),
            ("vitral.offset", self.offset.to_string()),
            ("vitral.detail", self.detail.to_owned()),
        ];
        headers.extend(self.truncated_bytes.map(|bytes| (Self::TRUNCATED, bytes.to_string())));
        headers
    }
}
