//! The port for refused messages.
//!
//! Delivery: at least once. The commit that holds a refusal waits for its [`Delivery`].

use futures::future::BoxFuture;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::Reason;

use crate::ConnectError;

/// Resolves when the letter is kept.
pub type Delivery = BoxFuture<'static, Result<(), ConnectError>>;

pub trait DeadLetters: Send {
    /// Sends a refused message on. Waits while as many as may be are under way: the reading waits with it.
    fn send(&mut self, letter: &DeadLetter<'_>) -> Result<Delivery, ConnectError>;
}

/// A refused message, with what people need to fix it.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The name that the topic has where it was read.
    pub topic: &'a str,
    pub partition: PartitionId,
    pub offset: Offset,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
    /// How many bytes the payload had, if this is only its beginning.
    pub truncated_bytes: Option<usize>,
    pub reason: Reason,
    pub detail: &'a str,
}

impl DeadLetter<'_> {
    pub const TRUNCATED: &'static str = "vitral.truncated";

    /// Names and values that travel with the payload, the same for every implementation.
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
