//! Everything that speaks Kafka's protocol.

mod admin;
mod dead_letters;
mod identity;
mod probe;
mod producer;
mod source;

use rdkafka::ClientConfig;

pub use admin::create_topic;
pub use dead_letters::{DeadLetters, Delivery};
pub use identity::{TopicIdentity, log_identity};
pub use probe::{ProbedCluster, ProbedTopic, probe};
pub use producer::EventProducer;
pub use source::{End, Message, Polled, Source};

use crate::config::KafkaConfig;

/// The client's settings that producer and consumer share.
pub fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers).set("client.id", "vitral");
    for (key, value) in &config.options {
        client.set(key, value);
    }
    client
}
