//! The port through which topics are reached: what they are read from, where refused messages go,
//! and how messages of others are sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vitral_schemas::topic::Topic;

use crate::{ConnectError, DeadLetters, Publisher, Source};

/// Opens what a pipeline needs of a topic. One value stands for one cluster, reached as one user.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// For people: `Kafka at broker:9092`.
    fn name(&self) -> String;

    /// Opens a topic for reading. Neither the topic nor its broker has to exist yet: what is
    /// missing shows when the source is asked.
    ///
    /// # Errors
    /// Settings that cannot connect, which are permanent.
    fn source(&self, topic: &Topic) -> Result<Box<dyn Source>, ConnectError>;

    /// Where the topic's refused messages go; created if it does not exist.
    ///
    /// # Errors
    /// Settings that cannot connect, missing rights, or a broker that is away; the error says
    /// whether waiting can help.
    async fn dead_letters(&self, topic: &Topic) -> Result<Box<dyn DeadLetters>, ConnectError>;

    /// Sends messages of others to topics; one that was not acknowledged within `timeout` has
    /// failed. Nothing is connected before the first.
    ///
    /// # Errors
    /// Settings that cannot connect, which are permanent.
    fn publisher(&self, timeout: Duration) -> Result<Arc<dyn Publisher>, ConnectError>;
}
