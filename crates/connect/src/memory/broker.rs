//! Topics in memory that behave like a broker's: partitions, offsets, retention, gaps, an identity,
//! damage, delays, outages.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;

use super::{MemoryDeadLetters, MemorySource};
use crate::{ConnectError, Connector, DeadLetters, Publisher, Source, TopicLog};

/// A broker in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals that a message was appended, or can now be read.
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    is_away: bool,
    /// How long a question about a partition's range waits for its answer.
    delay: Duration,
    topics: BTreeMap<String, Log>,
}

struct Log {
    identity: String,
    partitions: Vec<Partition>,
}

#[derive(Default)]
pub(super) struct Partition {
    pub(super) begin: Offset,
    pub(super) end: Offset,
    pub(super) messages: BTreeMap<Offset, MemoryMessage>,
    /// Ranges that cannot be read.
    pub(super) damaged: Vec<Range<Offset>>,
    /// Its end is known, but nothing is delivered.
    pub(super) is_withheld: bool,
    /// Questions about its range fail.
    is_silent: bool,
}

/// A message of a [`MemoryBroker`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryMessage {
    /// Its key, if it has one.
    pub key: Option<Arc<[u8]>>,
    /// Its payload; none for a tombstone.
    pub payload: Option<Arc<[u8]>>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl MemoryMessage {
    /// A message with this payload, without key and headers.
    pub fn new(payload: &[u8]) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// The same message with a key.
    pub fn with_key(self, key: &[u8]) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl MemoryBroker {
    /// A broker without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a topic; one of that name is deleted first, with everything in it.
    pub fn create_topic(&self, name: &str, partitions: usize) {
        let partitions = std::iter::repeat_with(Partition::default).take(partitions).collect();
        let log = Log { identity: uuid::Uuid::new_v4().to_string(), partitions };
        self.change(|state| state.topics.insert(name.to_owned(), log));
    }

    /// Creates a topic unless there is one of that name.
    pub fn ensure_topic(&self, name: &str, partitions: usize) {
        if !self.lock().topics.contains_key(name) {
            self.create_topic(name, partitions);
        }
    }

    /// Adds `count` partitions to a topic; does nothing without the topic.
    pub fn add_partitions(&self, name: &str, count: usize) {
        self.change(|state| {
            if let Some(log) = state.topics.get_mut(name) {
                log.partitions.extend(std::iter::repeat_with(Partition::default).take(count));
            }
        });
    }

    /// Appends a message; its offset, or an error if there is no such partition.
    pub fn append(&self, topic: &str, partition: PartitionId, message: MemoryMessage) -> Result<Offset, ConnectError> {
        self.append_all(topic, partition, std::iter::once(message))
    }

    /// Appends messages that are all seen at once; the offset of the first.
    pub fn append_all(
        &self,
        topic: &str,
        partition: PartitionId,
        messages: impl IntoIterator<Item = MemoryMessage>,
    ) -> Result<Offset, ConnectError> {
        self.change(|state| {
            let partition = state.partition_mut(topic, partition)?;
            let first = partition.end;
            for message in messages {
                partition.messages.insert(partition.end, message);
                partition.end = partition.end + 1;
            }
            Ok(first)
        })
    }

    /// Uses up `count` offsets that are never delivered, as an aborted transaction does.
    pub fn append_gap(&self, topic: &str, partition: PartitionId, count: i64) -> Result<(), ConnectError> {
        self.change(|state| {
            let partition = state.partition_mut(topic, partition)?;
            partition.end = partition.end + count;
            Ok(())
        })
    }

    /// Deletes the messages before an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: PartitionId, offset: Offset) -> Result<(), ConnectError> {
        self.change(|state| {
            let partition = state.partition_mut(topic, partition)?;
            partition.begin = partition.begin.max(offset).min(partition.end);
            partition.messages = partition.messages.split_off(&partition.begin);
            Ok(())
        })
    }

    /// Makes a range of offsets unreadable, like a damaged batch.
    pub fn damage(&self, topic: &str, partition: PartitionId, offsets: Range<Offset>) -> Result<(), ConnectError> {
        self.change(|state| {
            state.partition_mut(topic, partition)?.damaged.push(offsets);
            Ok(())
        })
    }

    /// While the broker is away, nothing is answered or delivered.
    pub fn set_away(&self, is_away: bool) {
        self.change(|state| state.is_away = is_away);
    }

    /// Answers questions about ranges only after `delay`, whatever the caller's own limit is.
    /// Questions that already wait follow it too.
    pub fn delay_answers(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// While a partition is withheld, sources know where it ends, but nothing of it is delivered.
    pub fn withhold(&self, topic: &str, partition: PartitionId, is_withheld: bool) -> Result<(), ConnectError> {
        self.change(|state| {
            state.partition_mut(topic, partition)?.is_withheld = is_withheld;
            Ok(())
        })
    }

    /// While a partition is silent, questions about its range fail.
    pub fn silence(&self, topic: &str, partition: PartitionId, is_silent: bool) -> Result<(), ConnectError> {
        self.change(|state| {
            state.partition_mut(topic, partition)?.is_silent = is_silent;
            Ok(())
        })
    }

    /// How many partitions a topic has; 0 without the topic.
    pub fn partition_count(&self, topic: &str) -> usize {
        self.lock().topics.get(topic).map_or(0, |log| log.partitions.len())
    }

    /// Everything that a partition still holds.
    pub fn messages(&self, topic: &str, partition: PartitionId) -> Vec<(Offset, MemoryMessage)> {
        let state = self.lock();
        let partition = state.partition(topic, partition);
        let messages = partition.iter().flat_map(|partition| &partition.messages);
        messages.map(|(offset, message)| (*offset, message.clone())).collect()
    }

    pub(super) fn open(&self, topic: &str) -> MemorySource {
        MemorySource::new(self.clone(), topic.to_owned())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, for at most `limit`.
    pub(super) fn wait<'a>(&'a self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.0.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.0.changed.notify_all();
        outcome
    }
}

impl State {
    /// An error while the broker is away.
    pub(super) fn answer(&self) -> Result<(), ConnectError> {
        if self.is_away { Err(ConnectError::outage("the broker in memory is away")) } else { Ok(()) }
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    pub(super) fn partition(&self, topic: &str, partition: PartitionId) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition.0).ok()?)
    }

    fn partition_mut(&mut self, topic: &str, partition: PartitionId) -> Result<&mut Partition, ConnectError> {
        let log = self.topics.get_mut(topic).map(|log| &mut log.partitions);
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        log.and_then(|partitions| partitions.get_mut(index)).ok_or_else(|| unknown(topic, partition))
    }
}

/// One topic of a broker, for questions.
#[derive(Clone)]
pub(super) struct MemoryLog {
    pub(super) broker: MemoryBroker,
    pub(super) topic: String,
}

impl TopicLog for MemoryLog {
    fn partitions(&self) -> Result<Vec<PartitionId>, ConnectError> {
        let state = self.broker.lock();
        state.answer()?;
        let count = state.topics.get(&self.topic).map_or(0, |log| log.partitions.len());
        Ok((0..).take(count).map(PartitionId).collect())
    }

    fn range(&self, partition: PartitionId, _: Duration) -> Result<Range<Offset>, ConnectError> {
        let asked = Instant::now();
        let mut state = self.broker.lock();
        while let Some(left) = state.delay.checked_sub(asked.elapsed()).filter(|left| !left.is_zero()) {
            state = self.broker.wait(state, left);
        }
        state.answer()?;
        let found = state.partition(&self.topic, partition).ok_or_else(|| unknown(&self.topic, partition))?;
        if found.is_silent {
            return Err(ConnectError::outage(format!("partition {partition} in memory is silent")));
        }
        Ok(found.begin..found.end)
    }

    fn identity(&self) -> Result<String, ConnectError> {
        let state = self.broker.lock();
        state.answer()?;
        let log = state.topics.get(&self.topic);
        log.map(|log| log.identity.clone())
            .ok_or_else(|| ConnectError::passing(format!("topic {} does not exist", self.topic)))
    }

    fn unreadable_until(
        &self,
        partition: PartitionId,
        within: Offset,
        end: Offset,
    ) -> Result<Option<Offset>, ConnectError> {
        let state = self.broker.lock();
        state.answer()?;
        let found = state.partition(&self.topic, partition).ok_or_else(|| unknown(&self.topic, partition))?;
        let damaged = found.damaged.iter().find(|damaged| damaged.contains(&within));
        Ok(damaged.map(|damaged| damaged.end.min(end)))
    }
}

fn unknown(topic: &str, partition: PartitionId) -> ConnectError {
    ConnectError::passing(format!("topic {topic} has no partition {partition}"))
}

#[async_trait]
impl Connector for MemoryBroker {
    fn name(&self) -> String {
        "the broker in memory".to_owned()
    }

    fn source(&self, topic: &Topic) -> Result<Box<dyn Source>, ConnectError> {
        Ok(Box::new(self.open(&topic.kafka_topic)))
    }

    async fn dead_letters(&self, topic: &Topic) -> Result<Box<dyn DeadLetters>, ConnectError> {
        self.lock().answer()?;
        let name = topic.dead_letter_topic();
        self.ensure_topic(&name, 1);
        Ok(Box::new(MemoryDeadLetters::new(self.clone(), name)))
    }

    fn publisher(&self, _: Duration) -> Result<Arc<dyn Publisher>, ConnectError> {
        Ok(Arc::new(self.clone()))
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().topics.keys()).finish()
    }
}
