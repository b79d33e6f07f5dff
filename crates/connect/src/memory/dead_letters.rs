//! Refused messages, kept in a topic of a [`MemoryBroker`].

use futures::FutureExt;
use vitral_schemas::position::PartitionId;

use super::{MemoryBroker, MemoryMessage};
use crate::{ConnectError, DeadLetter, DeadLetters, Delivery};

/// Dead letters in a topic of a [`MemoryBroker`].
pub struct MemoryDeadLetters {
    broker: MemoryBroker,
    topic: String,
}

impl MemoryDeadLetters {
    /// Letters go to the topic's first partition.
    pub fn new(broker: MemoryBroker, topic: String) -> Self {
        Self { broker, topic }
    }
}

impl DeadLetters for MemoryDeadLetters {
    fn send(&mut self, letter: &DeadLetter<'_>) -> Result<Delivery, ConnectError> {
        let message = MemoryMessage {
            key: letter.key.map(Into::into),
            payload: Some(letter.payload.into()),
            headers: letter.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let kept = self.broker.append(&self.topic, PartitionId(0), message).map(|_| ());
        Ok(std::future::ready(kept).boxed())
    }
}
