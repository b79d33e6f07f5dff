//! Why a Kafka client fails, and whether another attempt may succeed.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use vitral_connect::{ConnectError, RetryHint};

use crate::problem::Problem;

/// Why a client of Kafka failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ClientError {
    #[error("kafka at {brokers}: {action} failed")]
    Kafka { brokers: String, action: &'static str, source: KafkaError },
    /// The same where the client library has said why.
    #[error("kafka at {brokers}: {action} failed: {problem}")]
    Connection { brokers: String, action: &'static str, problem: Problem },
    #[error("the connection to kafka: {0}")]
    Settings(String),
    #[error("kafka: topic {topic} cannot be described: {reason}")]
    Describe { topic: String, reason: String },
    #[error("{0} stopped unexpectedly")]
    Ended(&'static str),
}

impl ClientError {
    /// Whether, and for how long, another attempt is worth it.
    pub fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Connection { problem, .. } if problem.is_refusal() => RetryHint::Permanent,
            Self::Connection { .. } => RetryHint::Outage,
            Self::Kafka { source, .. } if is_of_the_network(source) => RetryHint::Outage,
            Self::Describe { .. } => RetryHint::Passing,
            Self::Kafka { .. } | Self::Settings(_) | Self::Ended(_) => RetryHint::Permanent,
        }
    }
}

/// Whether the broker was not reached, or is being replaced.
fn is_of_the_network(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        error.rdkafka_error_code(),
        Some(
            BrokerTransportFailure
                | AllBrokersDown
                | Resolve
                | OperationTimedOut
                | RequestTimedOut
                | NetworkException
                | BrokerNotAvailable
                | LeaderNotAvailable
                | NotLeaderForPartition
        )
    )
}

impl From<ClientError> for ConnectError {
    fn from(error: ClientError) -> Self {
        Self::new(error.retry_hint(), error)
    }
}
