//! Reads a topic in large batches.
//!
//! Partitions are assigned by hand and read from the offsets that the archive has committed; Kafka's own committed offsets play no
//! part. What the broker never delivers (aborted, control, compacted) shows as a step in the offsets.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;

use super::connection::{self, Attended};
use super::problem::{Problem, ProblemKind};
use crate::config::KafkaConfig;
use crate::error::StreamError;

/// librdkafka unpacks a batch of zstd to no more than it would receive; what is highly compressible is a thousand times larger.
const UNPACKED_BYTES_MAX: usize = 1 << 30;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_WAIT: Duration = Duration::from_secs(3);

pub struct Source {
    /// Before the consumer: the library wants its handles back in this order.
    queue: Queue,
    consumer: Attended<BaseConsumer>,
    topic: String,
    topic_name: CString,
    /// Scratch for the client library to put messages into.
    slots: Vec<*mut ffi::rd_kafka_message_t>,
}

// SAFETY: the client library's handles may be used from any thread; `slots` is only filled within `poll`.
unsafe impl Send for Source {}

/// What one poll brought.
#[derive(Default)]
pub struct Polled {
    /// Ordered by partition, then by offset.
    pub messages: Vec<Message>,
    pub ends: Vec<End>,
}

/// The end of a partition was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub partition: i32,
    /// The offset after the last one, delivered or not.
    pub next_offset: i64,
    /// Nothing lies behind it, such as an open transaction.
    pub is_high_watermark: bool,
}

/// A message owned by the client library; its bytes are not copied.
///
/// What every row is asked for several times stands here: the library's own structs lie far apart, and a batch of them is larger than
/// the processor's caches.
pub struct Message {
    raw: NonNull<ffi::rd_kafka_message_t>,
    partition: i32,
    offset: i64,
    payload: *const u8,
    payload_bytes: usize,
}

// SAFETY: a message is immutable and its memory is reference-counted with atomics.
unsafe impl Send for Message {}

impl Message {
    /// Takes a message over.
    fn new(raw: NonNull<ffi::rd_kafka_message_t>) -> Self {
        // SAFETY: the library handed the message out, so all of it is there.
        let message = unsafe { raw.as_ref() };
        Self {
            raw,
            partition: message.partition,
            offset: message.offset,
            payload: message.payload.cast(),
            payload_bytes: message.len,
        }
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// None is a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        bytes(self.payload, self.payload_bytes)
    }

    pub fn key(&self) -> Option<&[u8]> {
        bytes(self.raw().key.cast(), self.raw().key_len)
    }

    /// Names and values, as text.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = std::ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: headers, names and values belong to the message; they are copied before it can go.
        unsafe {
            if ffi::rd_kafka_message_headers(self.raw.as_ptr(), &mut headers)
                != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return found;
            }
            loop {
                let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
                let answer = ffi::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut len);
                if answer != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return found;
                }
                let value = bytes(value.cast(), len).unwrap_or_default();
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push((name, String::from_utf8_lossy(value).into_owned()));
            }
        }
    }

    fn raw(&self) -> &ffi::rd_kafka_message_t {
        // SAFETY: the message lives until it is dropped.
        unsafe { self.raw.as_ref() }
    }
}

fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the library says that `len` bytes are there; the caller ties them to the message's life.
    Some(unsafe { std::slice::from_raw_parts(start, len) })
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: each message is destroyed once.
        unsafe { ffi::rd_kafka_message_destroy(self.raw.as_ptr()) }
    }
}

struct Queue(NonNull<ffi::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle was obtained once.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

impl Source {
    pub fn new(config: &KafkaConfig, topic: &str, message_bytes_max: usize) -> Result<Self, StreamError> {
        // Messages over the limit must arrive to be refused.
        let received_bytes_max = (100_000_000 + 4 * message_bytes_max).max(UNPACKED_BYTES_MAX).to_string();
        let consumer = connection::consumer(
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
                // The default, a second, leaves the pipeline waiting each time that the bound was reached.
                ("fetch.queue.backoff.ms", "5"),
                // Of each partition; all that a broker leads come in one answer, which should fit into memory that is used again.
                ("fetch.message.max.bytes", "1048576"),
                ("fetch.wait.max.ms", "50"),
                ("receive.message.max.bytes", &received_bytes_max),
            ],
        )?;
        // SAFETY: the client outlives the queue, which is dropped before it.
        let queue = unsafe { ffi::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).map(Queue).ok_or(StreamError::Gone("the consumer's queue"))?;
        let topic_name = CString::new(topic).map_err(|_| StreamError::Describe {
            topic: topic.to_owned(),
            reason: "its name holds a zero byte".to_owned(),
        })?;
        Ok(Self { queue, consumer, topic: topic.to_owned(), topic_name, slots: Vec::new() })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The identity of the topic's log.
    pub fn log_identity(&self) -> Result<String, StreamError> {
        super::log_identity(&self.consumer, &self.topic)
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
        self.problem().is_some_and(|problem| problem.is_refusal())
    }

    /// What was last in the way to the broker, since it last answered.
    pub fn problem(&self) -> Option<Problem> {
        self.consumer.connection().problem()
    }

    /// The offset behind the last message of a partition, as of the last fetch; none before any.
    pub fn known_end(&self, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: both are valid for the call; the answer comes from the client's memory.
        let answer = unsafe {
            ffi::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                self.topic_name.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// The offset behind the last message that can be read, asked of the broker: where a transaction is open, that of its first.
    pub fn end(&self, partition: i32, wait: Duration) -> Result<i64, StreamError> {
        let (_, high) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, wait)
            .map_err(|source| self.failed("asking for a partition's end", source))?;
        Ok(high)
    }

    /// Reads these partitions from now on, each from its offset, or from its beginning.
    pub fn assign(&mut self, offsets: &[(i32, Option<i64>)]) -> Result<(), StreamError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, offset.map_or(Offset::Beginning, Offset::Offset))
                .map_err(|source| self.failed("assigning partitions", source))?;
        }
        self.consumer.assign(&list).map_err(|source| self.failed("assigning partitions", source))
    }

    /// Waits until `max` messages are there, or for `wait`.
    pub fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, StreamError> {
        self.slots.resize(max, std::ptr::null_mut());
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `slots` has room for `max` messages.
        let count =
            unsafe { ffi::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait_ms, self.slots.as_mut_ptr(), max) };
        let count = usize::try_from(count)
            .map_err(|_| self.failed("reading", KafkaError::MessageConsumption(last_error().into())))?;
        let mut polled = Polled::default();
        let mut by_partition: Vec<(i32, Vec<Message>)> = Vec::new();
        // All are owned before any is looked at, so that an error leaks none.
        let messages: Vec<Message> =
            self.slots[..count].iter().filter_map(|message| NonNull::new(*message)).map(Message::new).collect();
        for message in messages {
            match message.raw().err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    let partition = message.partition();
                    match by_partition.iter_mut().find(|(known, _)| *known == partition) {
                        Some((_, messages)) => messages.push(message),
                        None => by_partition.push((partition, vec![message])),
                    }
                }
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => polled.ends.push(self.mark(&message)),
                error => self.judge_error(&message, error)?,
            }
        }
        by_partition.sort_by_key(|(partition, _)| *partition);
        for (_, mut messages) in by_partition {
            // They are in order already; what is sorted costs one look at each.
            messages.sort_by_key(Message::offset);
            polled.messages.append(&mut messages);
        }
        Ok(polled)
    }

    fn mark(&self, message: &Message) -> End {
        let is_high_watermark = self.known_end(message.partition()) == Some(message.offset());
        End { partition: message.partition(), next_offset: message.offset(), is_high_watermark }
    }

    /// The client library goes on after most errors by itself; some mean that messages are lost.
    fn judge_error(&self, message: &Message, error: RDKafkaRespErr) -> Result<(), StreamError> {
        // SAFETY: the text belongs to the message and is copied here.
        let text = unsafe { ffi::rd_kafka_message_errstr(message.raw.as_ptr()) };
        let reason = if text.is_null() {
            String::new()
        } else {
            // SAFETY: the library hands out a text that ends with a zero byte.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => Err(StreamError::OffsetsGone {
                topic: self.topic.clone(),
                partition: message.partition(),
                offset: message.offset(),
                reason,
            }),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION => {
                Err(StreamError::Compression { topic: self.topic.clone(), partition: message.partition(), reason })
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => {
                Err(self.failed("reading", KafkaError::MessageConsumption(error.into())))
            }
            // Taken away meanwhile: the client goes on once it is given back.
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
                let detail = format!("topic {}, partition {}: {reason}", self.topic, message.partition());
                self.consumer.connection().observe(Problem::new(ProblemKind::TopicAuthorization, detail));
                Ok(())
            }
            _ => {
                tracing::warn!(topic = self.topic, partition = message.partition(), reason, "kafka reports a problem");
                Ok(())
            }
        }
    }

    fn failed(&self, action: &'static str, source: KafkaError) -> StreamError {
        self.consumer.connection().failed(action, source)
    }
}

fn last_error() -> RDKafkaRespErr {
    // SAFETY: reads a thread-local of the library.
    unsafe { ffi::rd_kafka_last_error() }
}
