//! Refused messages, sent on to `<topic>.dlq`.
//!
//! At least once: the archive commit that holds the refusal waits until the broker has acknowledged the dead letter.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use vitral_schemas::kept_payload::Kept;
use vitral_schemas::verdict::Reason;

use super::Message;
use super::connection::Connection;
use super::tokens::TokenKeeper;
use crate::config::KafkaConfig;
use crate::error::StreamError;

pub struct DeadLetters {
    // Before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: FutureProducer<Connection>,
    connection: Connection,
    topic: String,
    dead_letter_topic: String,
    payload_bytes_max: usize,
}

/// Resolves when the broker has the dead letter.
pub type Delivery = futures::future::BoxFuture<'static, Result<(), KafkaError>>;

impl DeadLetters {
    /// Of a payload beyond `payload_bytes_max` the beginning is sent on.
    pub fn new(
        config: &KafkaConfig,
        topic: &str,
        dead_letter_topic: String,
        payload_bytes_max: usize,
    ) -> Result<Self, StreamError> {
        let connection = Connection::new(config)?;
        let producer: FutureProducer<Connection> = super::client(config)
            .set("enable.idempotence", "false")
            .set("acks", "all")
            .set("linger.ms", "20")
            // Until the broker has it: the commit waits, and with it the reading.
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", "100000000")
            .create_with_context(connection.clone())
            .map_err(|source| connection.failed("connecting", source))?;
        let tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        Ok(Self {
            _tokens: tokens,
            producer,
            connection,
            topic: topic.to_owned(),
            dead_letter_topic,
            payload_bytes_max,
        })
    }

    /// Sends a refused message on; waits while the producer's own queue is full.
    pub fn send(&self, message: &Message, reason: Reason, detail: &str) -> Result<Delivery, StreamError> {
        let partition = message.partition().to_string();
        let offset = message.offset().to_string();
        let headers = OwnedHeaders::new()
            .insert(Header { key: "vitral.reason", value: Some(reason.name()) })
            .insert(Header { key: "vitral.topic", value: Some(&self.topic) })
            .insert(Header { key: "vitral.partition", value: Some(&partition) })
            .insert(Header { key: "vitral.offset", value: Some(&offset) })
            .insert(Header { key: "vitral.detail", value: Some(detail) });
        let payload = message.payload().unwrap_or_default();
        let kept = Kept::of(payload, self.payload_bytes_max);
        let headers = match kept.is_cut {
            true => headers.insert(Header { key: "vitral.truncated", value: Some(&payload.len().to_string()) }),
            false => headers,
        };
        let mut record =
            FutureRecord::<[u8], [u8]>::to(&self.dead_letter_topic).payload(&kept.bytes[..]).headers(headers);
        if let Some(key) = message.key() {
            record = record.key(key);
        }
        loop {
            match self.producer.send_result(record) {
                Ok(delivery) => {
                    let producer = self.producer.clone();
                    return Ok(Box::pin(async move {
                        let outcome: Result<OwnedDeliveryResult, _> = delivery.await;
                        match outcome {
                            Ok(Ok(_)) => Ok(()),
                            Ok(Err((error, message))) if is_too_large(&error) => {
                                without_payload(&producer, message).await
                            }
                            Ok(Err((error, _))) => Err(error),
                            Err(_) => Err(KafkaError::Canceled),
                        }
                    }));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    // The reading waits with it: its bound is the producer's queue.
                    std::thread::sleep(Duration::from_millis(20));
                    record = back;
                }
                // More than this producer sends at all.
                Err((error, back)) if is_too_large(&error) && record_bytes(&back) > 0 => {
                    let bytes = record_bytes(&back).to_string();
                    let headers = back.headers.unwrap_or_default();
                    let headers = headers.insert(Header { key: "vitral.truncated", value: Some(&bytes) });
                    record = FutureRecord::to(&self.dead_letter_topic).payload(&[][..]).headers(headers);
                    if let Some(key) = message.key() {
                        record = record.key(key);
                    }
                }
                Err((source, _)) => {
                    return Err(self.connection.failed("sending a dead letter", source));
                }
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

/// The dead-letter topic refuses the message's size: what it was is said without its bytes, which the archive keeps.
async fn without_payload(producer: &FutureProducer<Connection>, message: OwnedMessage) -> Result<(), KafkaError> {
    let bytes = message.payload().map_or(0, <[u8]>::len).to_string();
    let headers = message.headers().cloned().unwrap_or_default();
    let headers = headers.insert(Header { key: "vitral.truncated", value: Some(&bytes) });
    let mut record = FutureRecord::<[u8], [u8]>::to(message.topic()).payload(&[]).headers(headers);
    if let Some(key) = message.key() {
        record = record.key(key);
    }
    producer.send(record, Timeout::Never).await.map(|_| ()).map_err(|(error, _)| error)
}
