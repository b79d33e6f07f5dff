//! Questions about a topic that may be asked on any thread, beside the reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::connection::Attended;
use super::problem::{Problem, ProblemKind};
use crate::error::StreamError;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_WAIT: Duration = Duration::from_secs(3);

/// Asks for a topic's partitions, and where they begin and end.
#[derive(Clone)]
pub struct Asker {
    consumer: Arc<Attended<BaseConsumer>>,
    topic: String,
}

impl Asker {
    pub(super) fn new(consumer: Arc<Attended<BaseConsumer>>, topic: String) -> Self {
        Self { consumer, topic }
    }

    /// The first offset that the broker has, and the one behind the last message that can be read: where a transaction is open, that of
    /// its first.
    pub fn range(&self, partition: i32, wait: Duration) -> Result<(i64, i64), StreamError> {
        let range = self
            .consumer
            .fetch_watermarks(&self.topic, partition, wait)
            .map_err(|source| self.failed("asking where a partition ends", source))?;
        self.consumer.connection().let_in();
        Ok(range)
    }

    /// The topic's partitions; none while the topic does not exist.
    pub fn partitions(&self) -> Result<Vec<i32>, StreamError> {
        let metadata = self.metadata().map_err(|source| self.failed("asking for the topic's partitions", source))?;
        let is_refused = |topic: &&MetadataTopic| {
            topic.error().map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
        };
        if let Some(topic) = metadata.topics().iter().find(is_refused) {
            let code = RDKafkaErrorCode::TopicAuthorizationFailed;
            let detail = format!("topic {}: {code}", topic.name());
            self.consumer.connection().observe(Problem::new(ProblemKind::TopicAuthorization, detail));
            return Err(self.failed("asking for the topic's partitions", KafkaError::MetadataFetch(code)));
        }
        self.consumer.connection().answered();
        let partitions = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let mut ids: Vec<i32> = partitions.flat_map(|topic| topic.partitions().iter().map(|each| each.id())).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Asks in parts of the time, so that nobody waits longer for a broker that refuses us.
    fn metadata(&self) -> KafkaResult<Metadata> {
        let deadline = Instant::now() + METADATA_TIMEOUT;
        loop {
            match self.consumer.fetch_metadata(Some(&self.topic), METADATA_WAIT) {
                Err(_) if Instant::now() < deadline && !self.is_refused() => {}
                outcome => return outcome,
            }
        }
    }

    fn is_refused(&self) -> bool {
        self.consumer.connection().problem().is_some_and(|problem| problem.is_refusal())
    }

    fn failed(&self, action: &'static str, source: KafkaError) -> StreamError {
        self.consumer.connection().failed(action, source)
    }
}
