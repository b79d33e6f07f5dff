//! Kafka behind the ports of [`vitral_connect`]: [`KafkaConnector`] opens sources and dead letters;
//! [`EventProducer`] and [`KafkaPublisher`] send events, [`KafkaSink`] rows of views that are
//! copied.
//!
//! Partitions are assigned by hand and read from the offsets that the caller has committed with its
//! work; Kafka's own committed offsets are not used. Dead letters are sent at least once.
//!
//! Architecture invariant: only this crate knows Kafka's client library.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod admin;
mod attendant;
mod attended;
#[cfg(feature = "kafka-tls")]
mod aws_keys;
#[cfg(feature = "kafka-tls")]
mod certificate;
mod config;
mod connection;
mod connector;
mod dead_letters;
mod doctor;
mod error;
mod identity;
mod log;
mod message;
#[cfg(feature = "kafka-tls")]
mod msk;
mod notifier;
#[cfg(feature = "kafka-tls")]
mod oidc;
mod probe;
mod problem;
mod producer;
mod publisher;
mod reach;
mod said;
mod settings;
mod sink;
mod source;
mod token;
mod tokens;

pub use admin::create_topic;
pub use config::KafkaConfig;
pub use connector::KafkaConnector;
pub use dead_letters::KafkaDeadLetters;
pub use doctor::examine;
pub use error::ClientError;
pub use identity::log_identity;
pub use notifier::KafkaNotifier;
pub use probe::{ProbedCluster, ProbedTopic, probe};
pub use problem::{Problem, ProblemKind};
pub use producer::EventProducer;
pub use publisher::KafkaPublisher;
pub use settings::client;
pub use sink::KafkaSink;
pub use source::KafkaSource;
