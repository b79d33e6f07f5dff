//! The port through which messages of others are sent to a topic.
//!
//! Delivery: a message counts as sent once the broker has it on all replicas that it waits for.
//! Repeats of the client library itself do not show. What failed may have arrived all the same:
//! [`Unsent::may_have_arrived`] says so.

use std::fmt;

use async_trait::async_trait;
use vitral_schemas::position::{Offset, PartitionId};

use crate::ConnectError;

/// A message that is to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Equal keys meet in the same partition.
    pub key: Option<Vec<u8>>,
    /// What the message says.
    pub payload: Vec<u8>,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The partition that its key has led to.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: Offset,
}

/// A message of which the broker has not said that it has it.
#[derive(Debug)]
pub struct Unsent {
    /// Why.
    pub error: ConnectError,
    /// Whether it may lie in the topic nevertheless: it was on its way when the error came.
    pub may_have_arrived: bool,
}

/// Sends messages to the topics of one cluster, as one user. Nothing is connected before the first.
#[async_trait]
pub trait Publisher: fmt::Debug + Send + Sync {
    /// Sends messages to a topic and waits for the broker's word on each, in their order. How many
    /// wait at once, and for how long, is bounded by the implementation.
    async fn publish(&self, topic: &str, messages: Vec<Outgoing>) -> Vec<Result<Placed, Unsent>>;
}
