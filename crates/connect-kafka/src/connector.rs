//! The connector to Kafka: sources, dead letters, and messages of others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vitral_connect::{ConnectError, Connector, DeadLetters, Publisher, Source};
use vitral_schemas::topic::Topic;

use crate::{KafkaConfig, KafkaDeadLetters, KafkaPublisher, KafkaSource, create_topic};

/// A refused message may be larger than its topic allows.
const DEAD_LETTER_SETTINGS: [(&str, &str); 1] = [("max.message.bytes", "104857600")];

/// One cluster, as one user.
#[derive(Clone)]
pub struct KafkaConnector {
    config: KafkaConfig,
}

impl KafkaConnector {
    /// Nothing is connected or checked until a topic is opened.
    pub fn new(config: KafkaConfig) -> Self {
        Self { config }
    }
}

/// Without its options, which contain passwords.
impl fmt::Debug for KafkaConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConnector").field("brokers", &self.config.brokers).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for KafkaConnector {
    fn name(&self) -> String {
        format!("Kafka at {}", self.config.brokers)
    }

    fn source(&self, topic: &Topic) -> Result<Box<dyn Source>, ConnectError> {
        Ok(Box::new(KafkaSource::new(&self.config, &topic.kafka_topic, topic.message_bytes_max)?))
    }

    async fn dead_letters(&self, topic: &Topic) -> Result<Box<dyn DeadLetters>, ConnectError> {
        let name = topic.dead_letter_topic();
        let dead_letters = KafkaDeadLetters::new(&self.config, name.clone())?;
        create_topic(&self.config, &name, 1, &DEAD_LETTER_SETTINGS).await?;
        Ok(Box::new(dead_letters))
    }

    fn publisher(&self, timeout: Duration) -> Result<Arc<dyn Publisher>, ConnectError> {
        Ok(Arc::new(KafkaPublisher::new(&self.config, timeout)?))
    }
}
