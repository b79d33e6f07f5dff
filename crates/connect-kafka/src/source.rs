//! Reads a topic in large batches.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset as ListOffset;
use rdkafka::types::RDKafkaRespErr;
use vitral_connect::{ConnectError, End, PartitionBatch, Polled, RetryHint, Source, TopicLog, Trouble, TroubleKind};
use vitral_schemas::position::{Offset, PartitionId};

use crate::attended::{self, Attended};
use crate::config::KafkaConfig;
use crate::error::ClientError;
use crate::log::KafkaLog;
use crate::message::{Fetched, Message};
use crate::problem::{Problem, ProblemKind};

/// librdkafka decompresses a zstd batch to at most what it would receive; highly compressible data
/// is a thousand times larger.
const UNPACKED_BYTES_MAX: usize = 1 << 30;

/// Reads one topic of a cluster.
pub struct KafkaSource {
    /// Dropped before the consumer: the library requires its handles back in this order.
    queue: Queue,
    /// Partitions that are held back: their messages wait in queues of their own, which are not
    /// polled.
    held: BTreeMap<PartitionId, Queue>,
    /// Whether any partition ever was: the client library forgets where such a queue is forwarded
    /// when partitions are assigned again.
    has_held: bool,
    message_bytes_max: usize,
    config: KafkaConfig,
    consumer: Arc<Attended<BaseConsumer>>,
    topic: String,
    topic_name: CString,
    /// Scratch for the client library to put messages into.
    slots: Vec<*mut ffi::rd_kafka_message_t>,
}

// SAFETY: the client library's handles may be used from any thread; `slots` is only filled within
// `poll`.
unsafe impl Send for KafkaSource {}

struct Queue(NonNull<ffi::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle was obtained once.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

impl KafkaSource {
    /// A consumer of `topic`, whose messages have at most `message_bytes_max` bytes. Nothing is
    /// read until partitions are assigned.
    ///
    /// # Errors
    /// Settings that cannot connect, or that the client library does not know.
    pub fn new(config: &KafkaConfig, topic: &str, message_bytes_max: usize) -> Result<Self, ClientError> {
        // Messages over the limit must arrive to be refused.
        let received_bytes_max = (100_000_000 + 4 * message_bytes_max).max(UNPACKED_BYTES_MAX).to_string();
        let consumer = attended::consumer(
            config,
            &[
                ("group.id", "vitral"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                // Read ahead, but within bounds: this is what a paused pipeline may hold.
                ("queued.max.messages.kbytes", "8192"),
                // The default, a second, makes the pipeline wait each time the bound is reached.
                ("fetch.queue.backoff.ms", "5"),
                // For each partition; all that a broker leads come in one response, which should
                // fit into memory that is reused.
                ("fetch.message.max.bytes", "1048576"),
                ("fetch.wait.max.ms", "50"),
                // A batch that was damaged on the broker's disk must not be taken for messages.
                ("check.crcs", "true"),
                ("receive.message.max.bytes", &received_bytes_max),
            ],
        )?;
        // SAFETY: the client outlives the queue, which is dropped before it.
        let queue = unsafe { ffi::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).map(Queue).ok_or(ClientError::Ended("the consumer's queue"))?;
        let topic_name = CString::new(topic).map_err(|_| ClientError::Describe {
            topic: topic.to_owned(),
            reason: "its name holds a zero byte".to_owned(),
        })?;
        Ok(Self {
            queue,
            held: BTreeMap::new(),
            has_held: false,
            message_bytes_max,
            config: config.clone(),
            consumer: Arc::new(consumer),
            topic: topic.to_owned(),
            topic_name,
            slots: Vec::new(),
        })
    }

    fn mark(&self, message: &Message) -> End {
        let is_high_watermark = self.known_end(message.partition()) == Some(message.offset());
        End { partition: message.partition(), next_offset: message.offset(), is_high_watermark }
    }

    /// The client library recovers from most errors by itself; some mean that messages are lost or
    /// cannot be read.
    fn classify_consumer_error(
        &self,
        message: &Message,
        error: RDKafkaRespErr,
    ) -> Result<Option<Trouble>, ClientError> {
        let reason = message.error_text();
        let trouble =
            |kind, reason| Ok(Some(Trouble { partition: message.partition(), offset: message.offset(), kind, reason }));
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => trouble(TroubleKind::OffsetsGone, reason),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG => trouble(TroubleKind::Unreadable, reason),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => {
                Err(self.failed("reading", KafkaError::MessageConsumption(error.into())))
            }
            // Revoked meanwhile: the client goes on once it is assigned again.
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
                let detail = format!("topic {}, partition {}: {reason}", self.topic, message.partition());
                self.consumer.connection().observe(Problem::new(ProblemKind::TopicAuthorization, detail));
                Ok(None)
            }
            _ => {
                tracing::warn!(topic = self.topic, partition = %message.partition(), reason, "kafka reports a problem");
                Ok(None)
            }
        }
    }

    fn failed(&self, action: &'static str, source: KafkaError) -> ClientError {
        self.consumer.connection().failed(action, source)
    }
}

impl Source for KafkaSource {
    fn log(&self) -> Arc<dyn TopicLog> {
        let consumer = Arc::clone(&self.consumer);
        let (config, topic, message_bytes_max) = (self.config.clone(), self.topic.clone(), self.message_bytes_max);
        let reopen = move || -> Result<Box<dyn Source>, ConnectError> {
            Ok(Box::new(Self::new(&config, &topic, message_bytes_max)?))
        };
        Arc::new(KafkaLog::new(consumer, self.topic.clone(), self.config.clone(), Box::new(reopen)))
    }

    fn known_end(&self, partition: PartitionId) -> Option<Offset> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: both are valid for the call; the answer comes from the client's memory.
        let answer = unsafe {
            ffi::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                self.topic_name.as_ptr(),
                partition.0,
                &mut low,
                &mut high,
            )
        };
        (answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(Offset(high))
    }

    /// No more is fetched once what waits is `queued.max.messages.kbytes`. Not polling a queue is
    /// the only safe way to pause (docs/adr/0006).
    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) {
        let released: Vec<PartitionId> = self.held.keys().copied().filter(|held| !partitions.contains(held)).collect();
        for partition in released {
            if let Some(queue) = self.held.remove(&partition) {
                // SAFETY: both handles are live; what waits in the first is appended to the second.
                unsafe { ffi::rd_kafka_queue_forward(queue.0.as_ptr(), self.queue.0.as_ptr()) }
            }
        }
        for partition in partitions {
            if self.held.contains_key(partition) {
                continue;
            }
            // SAFETY: the client outlives the queue; without a partition of that number there is
            // none.
            let queue = unsafe {
                ffi::rd_kafka_queue_get_partition(
                    self.consumer.client().native_ptr(),
                    self.topic_name.as_ptr(),
                    partition.0,
                )
            };
            if let Some(queue) = NonNull::new(queue).map(Queue) {
                // SAFETY: the handle is live; without a second one its messages stay in it.
                unsafe { ffi::rd_kafka_queue_forward(queue.0.as_ptr(), null_mut()) }
                self.held.insert(*partition, queue);
                self.has_held = true;
            }
        }
    }

    fn is_held(&self, partition: PartitionId) -> bool {
        self.held.contains_key(&partition)
    }

    fn assign(&mut self, positions: &BTreeMap<PartitionId, Option<Offset>>) -> Result<(), ConnectError> {
        if self.has_held {
            // The old client may still answer questions; it must not fetch anything more.
            self.consumer.unassign().map_err(|source| self.failed("assigning partitions", source))?;
            *self = Self::new(&self.config, &self.topic, self.message_bytes_max)?;
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let offset = offset.map_or(ListOffset::Beginning, |offset| ListOffset::Offset(offset.0));
            list.add_partition_offset(&self.topic, partition.0, offset)
                .map_err(|source| self.failed("assigning partitions", source))?;
        }
        Ok(self.consumer.assign(&list).map_err(|source| self.failed("assigning partitions", source))?)
    }

    fn problem(&self) -> Option<ConnectError> {
        let problem = self.consumer.connection().problem()?;
        let hint = if problem.is_refusal() { RetryHint::Permanent } else { RetryHint::Outage };
        Some(ConnectError::new(hint, problem.to_string()))
    }

    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, ConnectError> {
        self.slots.resize(max, std::ptr::null_mut());
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `slots` has room for `max` messages.
        let count =
            unsafe { ffi::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait_ms, self.slots.as_mut_ptr(), max) };
        let count = usize::try_from(count)
            .map_err(|_| self.failed("reading", KafkaError::MessageConsumption(last_error().into())))?;
        let mut polled = Polled::default();
        let mut by_partition: Vec<(PartitionId, Vec<Message>)> = Vec::new();
        // All are owned before any is inspected, so that an error leaks none.
        let messages: Vec<Message> =
            self.slots[..count].iter().filter_map(|message| NonNull::new(*message)).map(Message::new).collect();
        for message in messages {
            match message.raw().err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    let partition = message.partition();
                    if polled.trouble.as_ref().is_some_and(|trouble| trouble.partition == partition) {
                        continue;
                    }
                    match by_partition.iter_mut().find(|(known, _)| *known == partition) {
                        Some((_, messages)) => messages.push(message),
                        None => by_partition.push((partition, vec![message])),
                    }
                }
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => polled.ends.push(self.mark(&message)),
                error => {
                    let found = self.classify_consumer_error(&message, error)?;
                    polled.trouble = polled.trouble.take().or(found);
                }
            }
        }
        if let Some(trouble) = &polled.trouble {
            polled.ends.retain(|end| end.partition != trouble.partition);
        }
        by_partition.sort_by_key(|(partition, _)| *partition);
        for (partition, mut messages) in by_partition {
            // They are in order already; sorting what is sorted costs one comparison for each.
            messages.sort_by_key(Message::offset);
            polled.batches.push(PartitionBatch::new(partition, Box::new(Fetched(messages))));
        }
        Ok(polled)
    }
}

fn last_error() -> RDKafkaRespErr {
    // SAFETY: reads a thread-local of the library.
    unsafe { ffi::rd_kafka_last_error() }
}
