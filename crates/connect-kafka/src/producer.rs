//! Sends events to a topic: for the simulator and for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::tokens::TokenKeeper;

/// Sends events to one topic, many at once, and counts what the broker acknowledges.
pub struct EventProducer {
    // Before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: ThreadedProducer<Outcomes>,
    outcomes: Outcomes,
    topic: String,
}

/// Counts what the broker took and what it refused.
#[derive(Clone)]
struct Outcomes {
    connection: Connection,
    delivered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Outcomes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.connection.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(error, reason);
    }
}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
                // A broker that is away refuses thousands a second; all are counted.
                if failed.is_power_of_two() {
                    tracing::warn!(%error, failed, "events were not accepted by the broker");
                }
            }
        }
    }
}

impl EventProducer {
    /// A producer for `topic`, which need not exist yet.
    ///
    /// # Errors
    /// Settings that cannot connect, or that the client library does not know.
    pub fn new(config: &KafkaConfig, topic: &str) -> Result<Self, ClientError> {
        let connection = Connection::new(config)?;
        let outcomes = Outcomes { connection, delivered: Arc::default(), failed: Arc::default() };
        let producer: ThreadedProducer<Outcomes> = crate::client(config)
            .set("linger.ms", "20")
            // The partitioner of the other clients: equal keys meet in the same partition.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "500000")
            .set("message.max.bytes", "100000000")
            .create_with_context(outcomes.clone())
            .map_err(|source| outcomes.connection.failed("connecting", source))?;
        let tokens = TokenKeeper::start(&outcomes.connection, producer.client().native_ptr())?;
        Ok(Self { _tokens: tokens, producer, outcomes, topic: topic.to_owned() })
    }

    /// Queues one event; blocks while the queue is full.
    ///
    /// # Errors
    /// The client library did not take it. Whether the broker does shows in [`Self::undelivered`].
    pub fn send(&self, key: &str, payload: &[u8]) -> Result<(), ClientError> {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    std::thread::sleep(Duration::from_millis(5));
                    record = back;
                }
                Err((source, _)) => return Err(self.failed("sending", source)),
            }
        }
    }

    /// Waits until the broker has answered for every event, for at most `timeout`.
    ///
    /// # Errors
    /// Events were still without an answer after that time.
    pub fn flush(&self, timeout: Duration) -> Result<(), ClientError> {
        self.producer.flush(timeout).map_err(|source| self.failed("sending", source))
    }

    /// How many events the broker has acknowledged.
    pub fn delivered(&self) -> u64 {
        self.outcomes.delivered.load(Ordering::Relaxed)
    }

    /// How many events the broker has refused, or not acknowledged in time.
    pub fn undelivered(&self) -> u64 {
        self.outcomes.failed.load(Ordering::Relaxed)
    }

    fn failed(&self, action: &'static str, source: KafkaError) -> ClientError {
        self.outcomes.connection.failed(action, source)
    }
}
