//! Notifications as messages of a topic, under their ids as keys.
//!
//! Delivery: at least once, acknowledged by all replicas that are in step. An attempt without an
//! answer may have arrived, and the next one has the same key; a compacted topic keeps one of them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use vitral_connect::{ConnectError, Notification, Notifier};

use crate::admin::create_topic;
use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::tokens::TokenKeeper;

/// A broker that has not answered in this time is tried again later.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same for the client library, which retries by itself within it.
const MESSAGE_TIMEOUT_MS: &str = "10000";

/// Sends notifications to one topic.
pub struct KafkaNotifier {
    // Dropped before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: FutureProducer<Connection>,
    connection: Connection,
    topic: String,
    /// Whether the topic is, as far as is known since the last failure.
    is_there: AtomicBool,
}

impl KafkaNotifier {
    /// A producer for `topic`, which is created before the first notification if it does not exist.
    ///
    /// # Errors
    /// Settings that cannot connect, or that the client library does not know.
    pub fn new(config: &KafkaConfig, topic: &str) -> Result<Self, ClientError> {
        let connection = Connection::new(config)?;
        let producer: FutureProducer<Connection> = crate::client(config)
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
            .create_with_context(connection.clone())
            .map_err(|source| connection.failed("connecting", source))?;
        let tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        Ok(Self { _tokens: tokens, producer, connection, topic: topic.to_owned(), is_there: AtomicBool::new(false) })
    }
}

impl fmt::Debug for KafkaNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaNotifier").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for KafkaNotifier {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        if !self.is_there.load(Ordering::Acquire) {
            create_topic(self.connection.config(), &self.topic, 1, &[]).await?;
            self.is_there.store(true, Ordering::Release);
        }
        let body = notification.to_json();
        let headers = [("vitral.id", notification.id.as_str()), ("vitral.evento", notification.event.name())]
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record = FutureRecord::to(&self.topic).key(&notification.id).payload(&body).headers(headers);
        match self.producer.send(record, Timeout::After(PATIENCE)).await {
            Ok(_) => Ok(()),
            Err((source, _)) => {
                // Somebody may have deleted it.
                self.is_there.store(false, Ordering::Release);
                let failed = self.connection.failed("sending a notification", source);
                // A topic that does not exist yet, or a full queue, is worth waiting for as well as
                // a broker that is away.
                match failed.retry_hint() {
                    vitral_connect::RetryHint::Permanent if is_of_the_message(&failed) => Err(failed.into()),
                    vitral_connect::RetryHint::Permanent => Err(ConnectError::passing(failed)),
                    _ => Err(failed.into()),
                }
            }
        }
    }
}

/// Whether the broker will never take this one.
fn is_of_the_message(error: &ClientError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{InvalidMessage, MessageSizeTooLarge};
    let ClientError::Kafka { source, .. } = error else { return false };
    matches!(source.rdkafka_error_code(), Some(InvalidMessage | MessageSizeTooLarge))
}
