//! Copies of views as messages of a topic: a JSON object under its row's key, and an empty message
//! (a tombstone) for a row that is deleted.
//!
//! Delivery: an epoch is one transaction, together with its number, which is kept as the offset of
//! a consumer group. So readers of committed messages see each epoch whole and once, and a process
//! that was replaced is fenced by the `transactional.id`. Where the broker takes no transactions
//! from this client, messages come at least once: an epoch that was interrupted is sent again, with
//! the same header `vitral.id`.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use vitral_connect::{ConnectError, Epoch, Sink, deleted, key_text, row_json, with_causes};

use crate::admin::create_topic;
use crate::attended::{Attended, consumer};
use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::tokens::TokenKeeper;

/// A broker that has not answered in this time is tried again later.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for the client library, which retries by itself within it.
const MESSAGE_TIMEOUT_MS: &str = "30000";
/// A transaction of a process that died blocks readers of committed messages for so long, or until
/// the next process is there.
const TRANSACTION_TIMEOUT_MS: &str = "60000";
/// Messages that are on their way at once.
const WINDOW: usize = 10_000;
/// Brokers drop a group's offsets a week after their last commit (`offsets.retention.minutes`).
const KEEP_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The same after a failure.
const KEEP_AGAIN: Duration = Duration::from_secs(3600);

/// A topic that a view is copied to.
#[derive(Clone)]
pub struct KafkaSink(Arc<Inner>);

struct Inner {
    config: KafkaConfig,
    sink: String,
    topic: String,
    key: Vec<String>,
    /// Whether the topic is, as far as is known since the last failure.
    is_there: AtomicBool,
    /// Whether its progress is kept.
    is_kept: AtomicBool,
    /// None until it is connected, and after a failure.
    session: Mutex<Option<Session>>,
}

/// What is connected.
struct Session {
    // Dropped before the producer, which it uses.
    _tokens: Option<TokenKeeper>,
    producer: FutureProducer<Connection>,
    connection: Connection,
    progress: Attended<BaseConsumer>,
    has_transactions: bool,
    last: Option<u64>,
}

impl KafkaSink {
    /// A copy of the view `sink` in `topic`, which is created before the first rows if it does not
    /// exist. Nothing is connected yet.
    pub fn new(config: &KafkaConfig, sink: &str, topic: &str, key: &[String]) -> Self {
        Self(Arc::new(Inner {
            config: config.clone(),
            sink: sink.to_owned(),
            topic: topic.to_owned(),
            key: key.to_vec(),
            is_there: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            session: Mutex::default(),
        }))
    }

    /// Does something with what is connected; whatever fails is connected again for the next
    /// attempt.
    async fn with_session<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Session) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let inner = Arc::clone(&self.0);
        if !inner.is_there.load(Ordering::Acquire) {
            create_topic(&inner.config, &inner.topic, 1, &[]).await?;
            inner.is_there.store(true, Ordering::Release);
        }
        let done: JoinHandle<Result<T, ClientError>> = tokio::task::spawn_blocking(move || {
            let outcome = inner.attempt(work);
            if outcome.is_err() {
                // Somebody may have deleted it.
                inner.is_there.store(false, Ordering::Release);
            }
            outcome
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(ClientError::Ended("a sink's session").into()),
        }
    }

    /// Commits the number of the last epoch once more, so that the broker does not drop it where
    /// nothing changes for a long time. A sink that is used does that by itself, once a day.
    ///
    /// # Errors
    /// The broker failed or did not answer.
    pub async fn keep_progress(&self) -> Result<(), ConnectError> {
        self.with_session(|inner, session| session.keep(inner)).await
    }

    /// Keeps the progress for as long as the sink lives.
    fn keep(&self) {
        if self.0.is_kept.swap(true, Ordering::Relaxed) {
            return;
        }
        let sink = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut wait = KEEP_EVERY;
            loop {
                tokio::time::sleep(wait).await;
                let Some(inner) = sink.upgrade() else { return };
                let sink = Self(inner);
                wait = match sink.keep_progress().await {
                    Ok(()) => KEEP_EVERY,
                    Err(error) => {
                        let (sink, reason) = (&sink.0.sink, with_causes(&error));
                        tracing::warn!(sink, reason, "the sink's progress was not committed again");
                        KEEP_AGAIN
                    }
                };
            }
        });
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("sink", &self.0.sink).field("topic", &self.0.topic).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        self.keep();
        Ok(self.with_session(|_, session| Ok(session.last)).await?.map(Epoch))
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        self.keep();
        let batches = batches.to_vec();
        self.with_session(move |inner, session| session.write(inner, epoch.0, &batches)).await
    }
}

impl Inner {
    /// As transactions and progress are called: of one view in one topic.
    fn identity(&self) -> String {
        format!("vitral-sink-{}-{}", self.topic, self.sink)
    }

    /// Does something with what is connected, or connects first. After a failure, nothing is.
    fn attempt<T>(&self, work: impl FnOnce(&Self, &mut Session) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = match held.take() {
            Some(session) => session,
            None => Session::open(self)?,
        };
        let value = work(self, &mut session)?;
        *held = Some(session);
        Ok(value)
    }

    /// Where the number of the last epoch is kept.
    fn place(&self, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, 0, offset)?;
        Ok(place)
    }
}

impl Session {
    fn open(inner: &Inner) -> Result<Self, ClientError> {
        let connection = Connection::new(&inner.config)?;
        let identity = inner.identity();
        let client = |transactional: bool| {
            let mut client = crate::client(&inner.config);
            client
                .set("acks", "all")
                .set("enable.idempotence", "true")
                .set("linger.ms", "5")
                .set("partitioner", "murmur2_random")
                .set("message.timeout.ms", MESSAGE_TIMEOUT_MS);
            if transactional {
                client.set("transactional.id", &identity).set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
            }
            let producer: Result<FutureProducer<Connection>, _> = client.create_with_context(connection.clone());
            producer.map_err(|source| connection.failed("connecting", source))
        };
        let mut producer = client(true)?;
        let mut tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        let has_transactions = match producer.init_transactions(PATIENCE) {
            Ok(()) => true,
            Err(source) if is_without_transactions(&source) => {
                let (sink, topic) = (&inner.sink, &inner.topic);
                tracing::warn!(
                    sink,
                    topic,
                    "the broker does not accept transactions from this client: rows are delivered at least once"
                );
                false
            }
            Err(source) => return Err(connection.failed("beginning transactions", source)),
        };
        if !has_transactions {
            // The keeper of tokens goes before the client that it uses.
            drop(tokens.take());
            producer = client(false)?;
            tokens = TokenKeeper::start(&connection, producer.client().native_ptr())?;
        }
        let settings =
            [("group.id", identity.as_str()), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")];
        let progress = consumer(&inner.config, &settings)?;
        let last = committed(&progress, inner);
        let last = last.map_err(|source| connection.failed("reading a sink's epoch", source))?;
        Ok(Self { _tokens: tokens, producer, connection, progress, has_transactions, last })
    }

    fn write(&mut self, inner: &Inner, epoch: u64, batches: &[RecordBatch]) -> Result<(), ClientError> {
        if self.last.is_some_and(|last| last >= epoch) {
            return Ok(());
        }
        self.commit(inner, epoch, batches)?;
        self.last = Some(epoch);
        Ok(())
    }

    /// Commits the last epoch's number again, unless the broker has another one: that is of a newer
    /// process, or of a topic that was deleted.
    fn keep(&self, inner: &Inner) -> Result<(), ClientError> {
        let Some(last) = self.last else { return Ok(()) };
        let known = committed(&self.progress, inner);
        let known = known.map_err(|source| self.connection.failed("reading a sink's epoch", source))?;
        if known == Some(last) { self.commit(inner, last, &[]) } else { Ok(()) }
    }

    /// Sends rows together with the epoch's number.
    fn commit(&self, inner: &Inner, epoch: u64, batches: &[RecordBatch]) -> Result<(), ClientError> {
        let place = inner.place(Offset::Offset(i64::try_from(epoch).unwrap_or(i64::MAX)));
        let written = place.and_then(|place| match self.has_transactions {
            true => {
                self.producer.begin_transaction()?;
                self.send(inner, epoch, batches)?;
                let group = self.progress.group_metadata();
                let group = group.ok_or(KafkaError::ClientCreation("a consumer without a group".to_owned()))?;
                self.producer.send_offsets_to_transaction(&place, &group, PATIENCE)?;
                // Its answer may be lost: then the next session asks which epoch is there.
                self.producer.commit_transaction(PATIENCE)
            }
            false => {
                self.send(inner, epoch, batches)?;
                self.progress.commit(&place, CommitMode::Sync)
            }
        });
        written.map_err(|source| self.connection.failed("sending rows", source))
    }

    /// Sends all messages, and waits until the broker has them.
    fn send(&self, inner: &Inner, epoch: u64, batches: &[RecordBatch]) -> Result<(), KafkaError> {
        let epoch_text = epoch.to_string();
        let mut number = 0_u64;
        let mut sent: Vec<DeliveryFuture> = Vec::new();
        for batch in batches {
            let deleted = deleted(batch);
            for row in 0..batch.num_rows() {
                let key = key_text(batch, &inner.key, row);
                let body = (!deleted.is_some_and(|deleted| deleted.value(row))).then(|| row_json(batch, row));
                // The same in each attempt: an epoch's rows and their order are fixed.
                let id = format!("{}/{epoch}/{number}", inner.sink);
                number += 1;
                let headers = [("vitral.sink", &inner.sink), ("vitral.epoch", &epoch_text), ("vitral.id", &id)]
                    .into_iter()
                    .fold(OwnedHeaders::new(), |headers, (key, value)| {
                        headers.insert(Header { key, value: Some(value) })
                    });
                let mut record = FutureRecord::<str, [u8]>::to(&inner.topic).key(&key).headers(headers);
                if let Some(body) = &body {
                    record = record.payload(body);
                }
                sent.push(self.producer.send_result(record).map_err(|(error, _)| error)?);
                if sent.len() >= WINDOW {
                    delivered(std::mem::take(&mut sent))?;
                }
            }
        }
        delivered(sent)
    }
}

/// The last epoch whose number is committed.
fn committed(progress: &BaseConsumer, inner: &Inner) -> Result<Option<u64>, KafkaError> {
    let known = progress.committed_offsets(inner.place(Offset::Invalid)?, PATIENCE)?;
    Ok(known.elements().first().and_then(|known| match known.offset() {
        Offset::Offset(epoch) => u64::try_from(epoch).ok(),
        _ => None,
    }))
}

fn delivered(sent: Vec<DeliveryFuture>) -> Result<(), KafkaError> {
    for outcome in futures::executor::block_on(futures::future::join_all(sent)) {
        match outcome {
            Ok(Ok(_)) => {}
            Ok(Err((error, _))) => return Err(error),
            Err(_) => return Err(KafkaError::Canceled),
        }
    }
    Ok(())
}

/// Whether the broker will never take transactions from this client: it has none, or the client may
/// not use them.
fn is_without_transactions(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        InvalidRequest, TransactionalIdAuthorizationFailed, UnsupportedFeature, UnsupportedVersion,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(InvalidRequest | TransactionalIdAuthorizationFailed | UnsupportedFeature | UnsupportedVersion)
    )
}
