//! Messages straight into the topics of a [`MemoryBroker`].

use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;
use vitral_schemas::position::PartitionId;

use super::{MemoryBroker, MemoryMessage};
use crate::{ConnectError, Outgoing, Placed, Publisher, Unsent};

#[async_trait]
impl Publisher for MemoryBroker {
    async fn publish(&self, topic: &str, messages: Vec<Outgoing>) -> Vec<Result<Placed, Unsent>> {
        messages.into_iter().map(|message| self.place(topic, message)).collect()
    }
}

impl MemoryBroker {
    fn place(&self, topic: &str, message: Outgoing) -> Result<Placed, Unsent> {
        let unsent = |error: ConnectError| Unsent { error, may_have_arrived: false };
        self.lock().answer().map_err(unsent)?;
        let partition = self.partition_of(topic, message.key.as_deref());
        let message = MemoryMessage {
            key: message.key.map(Into::into),
            payload: Some(message.payload.into()),
            headers: message.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let offset = self.append(topic, partition, message).map_err(unsent)?;
        Ok(Placed { partition, offset })
    }

    /// Equal keys meet in one partition, as at a broker; without a key it is the first.
    fn partition_of(&self, topic: &str, key: Option<&[u8]>) -> PartitionId {
        let count = self.partition_count(topic).max(1) as u64;
        let number = key.map_or(0, |key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish() % count
        });
        PartitionId(i32::try_from(number).unwrap_or_default())
    }
}
