//! The port through which a pipeline reaches its topic: what it reads from, and where refused messages go.

use std::fmt;

use async_trait::async_trait;
use vitral_schemas::topic::Topic;

use crate::{ConnectError, DeadLetters, Source};

#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// For people: `Kafka at broker:9092`.
    fn name(&self) -> String;

    /// Opens a topic for reading. Neither the topic nor its broker need to be there yet.
    fn source(&self, topic: &Topic) -> Result<Box<dyn Source>, ConnectError>;

    /// Where the topic's refused messages go; made if it is not there.
    async fn dead_letters(&self, topic: &Topic) -> Result<Box<dyn DeadLetters>, ConnectError>;
}
