//! Questions about a topic that may be asked on any thread, alongside the reading.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use vitral_connect::{ConnectError, RetryHint, Source, TopicLog};
use vitral_schemas::position::{Offset, PartitionId};

use crate::attended::{self, Attended};
use crate::config::KafkaConfig;
use crate::error::ClientError;
use crate::identity::log_identity;
use crate::problem::{Problem, ProblemKind};
use crate::reach::unreadable_until;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_WAIT: Duration = Duration::from_secs(3);

/// Opens the topic once more, for what only reading finds out.
pub(crate) type Reopen = Box<dyn Fn() -> Result<Box<dyn Source>, ConnectError> + Send + Sync>;

/// A topic's log as its broker describes it.
pub(crate) struct KafkaLog {
    consumer: Arc<Attended<BaseConsumer>>,
    topic: String,
    config: KafkaConfig,
    reopen: Reopen,
    /// A connection of its own for the identity, which each commit asks for: on the reader's
    /// connection it would wait for fetches.
    identity: Mutex<Option<Attended<BaseConsumer>>>,
}

impl TopicLog for KafkaLog {
    fn partitions(&self) -> Result<Vec<PartitionId>, ConnectError> {
        self.known_partitions().map_err(|error| {
            // Whatever else is wrong, the topic may exist the next time.
            let hint = match error.retry_hint() {
                RetryHint::Permanent if !self.is_refused() => RetryHint::Passing,
                _ if self.is_refused() => RetryHint::Permanent,
                hint => hint,
            };
            ConnectError::new(hint, error)
        })
    }

    fn range(&self, partition: PartitionId, wait: Duration) -> Result<Range<Offset>, ConnectError> {
        let range = self.consumer.fetch_watermarks(&self.topic, partition.0, wait);
        let (begin, end) = range.map_err(|source| self.failed("asking where a partition ends", source))?;
        self.consumer.connection().let_in();
        Ok(Offset(begin)..Offset(end))
    }

    fn identity(&self) -> Result<String, ConnectError> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.is_none() {
            *identity = Some(attended::consumer(&self.config, &[])?);
        }
        let consumer =
            identity.as_ref().ok_or(ClientError::Ended("the connection that asks for a topic's identity"))?;
        Ok(log_identity(consumer, &self.topic)?)
    }

    fn unreadable_until(
        &self,
        partition: PartitionId,
        within: Offset,
        end: Offset,
    ) -> Result<Option<Offset>, ConnectError> {
        let mut source = (self.reopen)()?;
        unreadable_until(source.as_mut(), partition, within, end)
    }
}

impl KafkaLog {
    pub(crate) fn new(
        consumer: Arc<Attended<BaseConsumer>>,
        topic: String,
        config: KafkaConfig,
        reopen: Reopen,
    ) -> Self {
        Self { consumer, topic, config, reopen, identity: Mutex::new(None) }
    }

    fn known_partitions(&self) -> Result<Vec<PartitionId>, ClientError> {
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
        let ids = partitions.flat_map(|topic| topic.partitions().iter().map(|each| PartitionId(each.id())));
        let mut ids: Vec<PartitionId> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Splits the wait, so that no caller waits longer than necessary for a broker that refuses us.
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

    fn failed(&self, action: &'static str, source: KafkaError) -> ClientError {
        self.consumer.connection().failed(action, source)
    }
}
