//! How Kafka is reached.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Further settings of the client library (`security.protocol`, `sasl.username`, ...).
    pub options: BTreeMap<String, String>,
}
