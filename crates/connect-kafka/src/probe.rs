//! What `vitral doctor` asks a Kafka cluster.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{Message as _, TopicPartitionList};

use vitral_connect::with_causes;

use crate::attended;
use crate::config::KafkaConfig;
use crate::identity::log_identity;

const TIMEOUT: Duration = Duration::from_secs(8);
const LOOKED_INTO: Duration = Duration::from_secs(1);

/// A cluster that has answered.
#[derive(Debug, Clone, Default)]
pub struct ProbedCluster {
    /// The addresses that its brokers advertise, which clients use after the first response.
    pub brokers: Vec<(String, u16)>,
    /// What it says about the topics that were asked for.
    pub topics: Vec<ProbedTopic>,
}

#[derive(Debug, Clone, Default)]
/// A topic of a cluster that has answered.
pub struct ProbedTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has; 0 if it does not exist, or may not be described.
    pub partitions: usize,
    /// The topic's identity, or why it cannot be asked.
    pub identity: Option<Result<String, String>>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    /// The newest time of a message that was read.
    pub newest_ms: Option<i64>,
}

/// Asks, and reads one message of each topic without leaving a trace. The error says why no broker
/// could be reached.
pub fn probe(config: &KafkaConfig, topics: &[String]) -> Result<ProbedCluster, String> {
    let settings = [("group.id", "vitral-doctor"), ("enable.auto.commit", "false"), ("enable.partition.eof", "true")];
    let consumer = attended::consumer(config, &settings).map_err(|error| with_causes(&error))?;
    let said = |error: KafkaError| {
        // Which check of a certificate fails is found out on another thread.
        std::thread::sleep(LOOKED_INTO);
        with_causes(&consumer.connection().failed("asking for the cluster", error))
    };
    let metadata = consumer.fetch_metadata(None, TIMEOUT).map_err(said)?;
    let brokers = metadata.brokers().iter().map(|broker| {
        let port = u16::try_from(broker.port()).unwrap_or_default();
        (broker.host().to_owned(), port)
    });
    let of_topic = |name: &String| match metadata.topics().iter().find(|topic| topic.name() == name) {
        Some(found) => topic(&consumer, found),
        None => ProbedTopic { name: name.clone(), ..ProbedTopic::default() },
    };
    Ok(ProbedCluster { brokers: brokers.collect(), topics: topics.iter().map(of_topic).collect() })
}

fn topic(consumer: &BaseConsumer, found: &MetadataTopic) -> ProbedTopic {
    let mut probed =
        ProbedTopic { name: found.name().to_owned(), partitions: found.partitions().len(), ..ProbedTopic::default() };
    if let Some(error) = found.error() {
        probed.unreadable = Some(KafkaError::MetadataFetch(error.into()).to_string());
        return probed;
    }
    probed.identity = Some(log_identity(consumer, found.name()).map_err(|error| error.to_string()));
    match newest(consumer, found) {
        Ok(newest_ms) => probed.newest_ms = newest_ms,
        Err(error) => probed.unreadable = Some(error.to_string()),
    }
    probed
}

/// The newest time among the last messages of the partitions; an error if one cannot be read.
fn newest(consumer: &BaseConsumer, found: &MetadataTopic) -> Result<Option<i64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition_offset(found.name(), partition.id(), Offset::OffsetTail(1))?;
    }
    consumer.assign(&list)?;
    let (mut newest, mut ends) = (None, 0);
    let deadline = Instant::now() + TIMEOUT;
    // Each partition ends once, whether it has a message or not.
    while ends < found.partitions().len() {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
        match consumer.poll(left) {
            Some(Ok(message)) => newest = newest.max(message.timestamp().to_millis()),
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::PartitionEOF))) => ends += 1,
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    let complete = ends > 0 || found.partitions().is_empty();
    if complete { Ok(newest) } else { Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)) }
}
