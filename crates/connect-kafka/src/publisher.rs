//! Messages of others, sent to topics: what the API takes.
//!
//! The producer is idempotent and waits for all replicas. It is made at the first message, and
//! again after an error that it cannot get over.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use vitral_connect::{Outgoing, Placed, Publisher, Unsent};
use vitral_schemas::position::{Offset, PartitionId};

use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::tokens::TokenKeeper;

const SENDING: &str = "sending messages";
/// Twice what one request may have: whether a topic takes it is the broker's to say.
const MESSAGE_BYTES_MAX: &str = "2097152";
/// Messages that wait for the broker at once, of all requests together.
const WAITING_MAX: &str = "20000";
/// What they may hold in memory, in KiB.
const WAITING_KIB_MAX: &str = "65536";

/// Sends messages to the topics of a cluster.
#[derive(Clone)]
pub struct KafkaPublisher(Arc<Inner>);

struct Inner {
    config: KafkaConfig,
    timeout: Duration,
    /// None until something is sent.
    session: Mutex<Option<Arc<Session>>>,
}

/// What is connected.
struct Session {
    // Dropped before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: FutureProducer<Connection>,
    connection: Connection,
}

impl KafkaPublisher {
    /// A message that the broker has not acknowledged within `timeout` has failed. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// Settings that cannot connect.
    pub fn new(config: &KafkaConfig, timeout: Duration) -> Result<Self, ClientError> {
        Connection::new(config)?;
        Ok(Self(Arc::new(Inner { config: config.clone(), timeout, session: Mutex::default() })))
    }
}

impl Inner {
    fn session(&self) -> Result<Arc<Session>, ClientError> {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = held.as_ref().filter(|session| session.producer.client().fatal_error().is_none());
        if let Some(session) = usable {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::open(&self.config, self.timeout)?);
        *held = Some(Arc::clone(&session));
        Ok(session)
    }
}

impl Session {
    fn open(config: &KafkaConfig, timeout: Duration) -> Result<Self, ClientError> {
        let connection = Connection::new(config)?;
        let producer: FutureProducer<Connection> = crate::client(config)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            // The partitioner of the other clients: equal keys meet in the same partition.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", timeout.as_millis().max(1).to_string())
            .set("message.max.bytes", MESSAGE_BYTES_MAX)
            .set("queue.buffering.max.messages", WAITING_MAX)
            .set("queue.buffering.max.kbytes", WAITING_KIB_MAX)
            .create_with_context(connection.clone())
            .map_err(|source| connection.failed("connecting", source))?;
        let tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        Ok(Self { _tokens: tokens, producer, connection })
    }

    /// Queues a message; the error is of one that was not taken.
    fn queue(&self, topic: &str, message: &Outgoing) -> Result<DeliveryFuture, Unsent> {
        let headers = message
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).payload(&message.payload).headers(headers);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        self.producer.send_result(record).map_err(|(source, _)| self.unsent(source, false))
    }

    fn unsent(&self, source: KafkaError, may_have_arrived: bool) -> Unsent {
        Unsent { error: self.connection.failed(SENDING, source).into(), may_have_arrived }
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn publish(&self, topic: &str, messages: Vec<Outgoing>) -> Vec<Result<Placed, Unsent>> {
        let session = match self.0.session() {
            Ok(session) => session,
            Err(error) => {
                let reason = error.to_string();
                let unsent = |_| {
                    let error = vitral_connect::ConnectError::outage(reason.clone());
                    Err(Unsent { error, may_have_arrived: false })
                };
                return messages.iter().map(unsent).collect();
            }
        };
        // All are queued before the first is waited for: they go in as few batches as can be.
        let queued: Vec<_> = messages.iter().map(|message| session.queue(topic, message)).collect();
        let mut placed = Vec::with_capacity(queued.len());
        for queued in queued {
            placed.push(match queued {
                Err(unsent) => Err(unsent),
                Ok(delivery) => match delivery.await {
                    Ok(Ok(delivered)) => {
                        Ok(Placed { partition: PartitionId(delivered.partition), offset: Offset(delivered.offset) })
                    }
                    Ok(Err((source, _))) => {
                        let may_have_arrived = !is_refused(&source);
                        Err(session.unsent(source, may_have_arrived))
                    }
                    Err(_) => Err(session.unsent(KafkaError::Canceled, true)),
                },
            });
        }
        placed
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher").field("brokers", &self.0.config.brokers).finish_non_exhaustive()
    }
}

/// Whether the broker, or the client library before it, has said that it does not take a message.
fn is_refused(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        InvalidMessageSize, MessageSizeTooLarge, TopicAuthorizationFailed, UnknownPartition, UnknownTopic,
        UnknownTopicOrPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            InvalidMessageSize
                | MessageSizeTooLarge
                | TopicAuthorizationFailed
                | UnknownPartition
                | UnknownTopic
                | UnknownTopicOrPartition
        )
    )
}
