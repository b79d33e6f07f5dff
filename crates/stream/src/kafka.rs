//! Everything that speaks Kafka's protocol.

mod admin;
mod asker;
mod attendant;
#[cfg(feature = "kafka-tls")]
mod certificate;
mod connection;
mod dead_letters;
mod doctor;
mod identity;
mod message;
#[cfg(feature = "kafka-tls")]
mod msk;
#[cfg(feature = "kafka-tls")]
mod oidc;
mod probe;
mod problem;
mod producer;
mod reach;
mod settings;
mod source;
mod tokens;

pub use admin::create_topic;
pub use asker::Asker;
pub use dead_letters::{DeadLetters, Delivery};
pub use doctor::examine;
pub use identity::{TopicIdentity, log_identity};
pub use message::Message;
pub use problem::{Problem, ProblemKind};
pub use producer::EventProducer;
pub use reach::batch_end;
pub use settings::client;
pub use source::{End, Polled, Source, Trouble, TroubleKind};
