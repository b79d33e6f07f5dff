//! Refused messages, sent on to `<topic>.dlq`.
//!
//! At least once: the archive commit that holds the refusal waits until the broker has acknowledged
//! the dead letter.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use vitral_connect::{ConnectError, DeadLetter, DeadLetters, Delivery};

use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::tokens::TokenKeeper;

const SENDING: &str = "sending a dead letter";

/// Dead letters in a topic of the cluster that messages are read from.
pub struct KafkaDeadLetters {
    // Dropped before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: FutureProducer<Connection>,
    connection: Connection,
    /// The topic that they go to.
    topic: String,
}

impl KafkaDeadLetters {
    /// A producer for the dead-letter topic `topic`, which must exist before the first letter.
    ///
    /// # Errors
    /// Settings that cannot connect, or that the client library does not know.
    pub fn new(config: &KafkaConfig, topic: String) -> Result<Self, ClientError> {
        let connection = Connection::new(config)?;
        let producer: FutureProducer<Connection> = crate::client(config)
            .set("enable.idempotence", "false")
            .set("acks", "all")
            .set("linger.ms", "20")
            // No limit: the commit waits until the broker has it, and the reading waits for the
            // commit.
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", "100000000")
            .create_with_context(connection.clone())
            .map_err(|source| connection.failed("connecting", source))?;
        let tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        Ok(Self { _tokens: tokens, producer, connection, topic })
    }

    /// Resolves once the broker has acknowledged a letter.
    async fn delivered(
        producer: FutureProducer<Connection>,
        connection: Connection,
        delivery: impl Future<Output = Result<OwnedDeliveryResult, futures::channel::oneshot::Canceled>>,
    ) -> Result<(), ConnectError> {
        let outcome = match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, message))) if is_too_large(&error) => without_payload(&producer, message).await,
            Ok(Err((error, _))) => Err(error),
            Err(_) => Err(KafkaError::Canceled),
        };
        Ok(outcome.map_err(|source| connection.failed(SENDING, source))?)
    }
}

impl DeadLetters for KafkaDeadLetters {
    fn send(&mut self, letter: &DeadLetter<'_>) -> Result<Delivery, ConnectError> {
        let headers = letter
            .headers()
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(&value) }));
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).payload(letter.payload).headers(headers);
        if let Some(key) = letter.key {
            record = record.key(key);
        }
        loop {
            match self.producer.send_result(record) {
                Ok(delivery) => {
                    let (producer, connection) = (self.producer.clone(), self.connection.clone());
                    return Ok(Box::pin(Self::delivered(producer, connection, delivery)));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    // Blocks the reading: the bound is the producer's queue.
                    std::thread::sleep(Duration::from_millis(20));
                    record = back;
                }
                // Larger than anything that this producer sends.
                Err((error, back)) if is_too_large(&error) && record_bytes(&back) > 0 => {
                    let bytes = record_bytes(&back).to_string();
                    let headers = back.headers.unwrap_or_default();
                    let headers = headers.insert(Header { key: DeadLetter::TRUNCATED, value: Some(&bytes) });
                    record = FutureRecord::to(&self.topic).payload(&[][..]).headers(headers);
                    if let Some(key) = letter.key {
                        record = record.key(key);
                    }
                }
                Err((source, _)) => return Err(self.connection.failed(SENDING, source).into()),
            }
        }
    }
}

fn record_bytes(record: &FutureRecord<'_, [u8], [u8]>) -> usize {
    record.payload.map_or(0, <[u8]>::len)
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// The dead-letter topic refuses the size of the message: the letter is sent without its bytes,
/// which the archive keeps.
async fn without_payload(producer: &FutureProducer<Connection>, message: OwnedMessage) -> Result<(), KafkaError> {
    let bytes = message.payload().map_or(0, <[u8]>::len).to_string();
    let headers = message.headers().cloned().unwrap_or_default();
    let headers = headers.insert(Header { key: DeadLetter::TRUNCATED, value: Some(&bytes) });
    let mut record = FutureRecord::<[u8], [u8]>::to(message.topic()).payload(&[]).headers(headers);
    if let Some(key) = message.key() {
        record = record.key(key);
    }
    producer.send(record, Timeout::Never).await.map(|_| ()).map_err(|(error, _)| error)
}
