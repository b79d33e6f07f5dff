//! Everything that speaks Kafka's protocol.

mod admin;
mod attendant;
#[cfg(feature = "kafka-tls")]
mod certificate;
mod connection;
mod dead_letters;
mod identity;
#[cfg(feature = "kafka-tls")]
mod msk;
#[cfg(feature = "kafka-tls")]
mod oidc;
mod probe;
mod problem;
mod producer;
mod settings;
mod source;
mod tokens;

pub use admin::create_topic;
pub use dead_letters::{DeadLetters, Delivery};
pub use identity::{TopicIdentity, log_identity};
pub use probe::{ProbedCluster, ProbedTopic, probe};
pub use problem::{Problem, ProblemKind};
pub use producer::EventProducer;
pub use settings::client;
pub use source::{End, Message, Polled, Source};
