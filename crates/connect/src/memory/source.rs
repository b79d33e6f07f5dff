//! Reads a topic of a [`MemoryBroker`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_schemas::position::{Offset, PartitionId};

use super::broker::{MemoryLog, Partition, State};
use super::{MemoryBroker, MemoryMessage};
use crate::{ConnectError, End, Messages, PartitionBatch, Polled, Source, TopicLog, Trouble, TroubleKind};

/// A source over a topic of a [`MemoryBroker`].
pub struct MemorySource {
    broker: MemoryBroker,
    topic: String,
    /// The next offset of each partition; none for one that is read from its beginning, until
    /// something of it was fetched.
    positions: BTreeMap<PartitionId, Option<Offset>>,
    held: BTreeSet<PartitionId>,
    /// The ends that were reported last.
    marked: BTreeMap<PartitionId, Offset>,
    /// Where partitions ended when they were last looked at.
    ends: BTreeMap<PartitionId, Offset>,
}

/// Messages of one partition.
struct Fetched(Vec<(Offset, MemoryMessage)>);

impl Messages for Fetched {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, row: usize) -> Offset {
        self.0[row].0
    }

    fn payload(&self, row: usize) -> Option<&[u8]> {
        self.0[row].1.payload.as_deref()
    }

    fn key(&self, row: usize) -> Option<&[u8]> {
        self.0[row].1.key.as_deref()
    }
}

impl MemorySource {
    pub(super) fn new(broker: MemoryBroker, topic: String) -> Self {
        Self {
            broker,
            topic,
            positions: BTreeMap::new(),
            held: BTreeSet::new(),
            marked: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    /// What can be handed out now: at most `max` messages, shared evenly between partitions.
    fn fetch(&mut self, state: &State, max: usize) -> Polled {
        let mut polled = Polled::default();
        if state.is_away() {
            return polled;
        }
        let open: Vec<PartitionId> = self.positions.keys().copied().filter(|id| !self.held.contains(id)).collect();
        let mut left = max;
        for (index, id) in open.iter().enumerate() {
            let Some(partition) = state.partition(&self.topic, *id) else { continue };
            let share = left.div_ceil(open.len() - index);
            left -= self.fetch_partition(&mut polled, *id, partition, share);
        }
        polled
    }

    /// How many messages of the partition were added.
    fn fetch_partition(&mut self, polled: &mut Polled, id: PartitionId, partition: &Partition, max: usize) -> usize {
        self.ends.insert(id, partition.end);
        if partition.is_withheld {
            return 0;
        }
        let position = self.positions.get(&id).copied().flatten().unwrap_or(partition.begin);
        if position < partition.begin || position > partition.end {
            let reason = format!("it has {} to {}", partition.begin, partition.end);
            polled.trouble.get_or_insert(Trouble {
                partition: id,
                offset: position,
                kind: TroubleKind::OffsetsGone,
                reason,
            });
            return 0;
        }
        let damaged =
            partition.damaged.iter().filter(|damaged| damaged.end > position).min_by_key(|damaged| damaged.start);
        let readable = damaged.map_or(partition.end, |damaged| damaged.start.max(position));
        let messages = partition.messages.range(position..readable).take(max);
        let messages: Vec<_> = messages.map(|(offset, message)| (*offset, message.clone())).collect();
        let count = messages.len();
        let behind = messages.last().map_or(position, |(offset, _)| *offset + 1);
        let is_exhausted = partition.messages.range(behind..readable).next().is_none();
        if count > 0 {
            self.marked.remove(&id);
            polled.batches.push(PartitionBatch::new(id, Box::new(Fetched(messages))));
        }
        let next = if is_exhausted { readable } else { behind };
        self.positions.insert(id, Some(next));
        if !is_exhausted {
            return count;
        }
        match damaged {
            Some(damaged) if polled.trouble.is_none() => {
                let reason = format!("offsets {} to {} are damaged", damaged.start, damaged.end - 1);
                let kind = TroubleKind::Unreadable;
                polled.trouble = Some(Trouble { partition: id, offset: damaged.start, kind, reason });
            }
            Some(_) => {}
            None if self.marked.insert(id, next) != Some(next) => {
                polled.ends.push(End { partition: id, next_offset: next, is_high_watermark: true });
            }
            None => {}
        }
        count
    }
}

impl Source for MemorySource {
    fn log(&self) -> Arc<dyn TopicLog> {
        Arc::new(MemoryLog { broker: self.broker.clone(), topic: self.topic.clone() })
    }

    fn assign(&mut self, positions: &BTreeMap<PartitionId, Option<Offset>>) -> Result<(), ConnectError> {
        self.positions = positions.clone();
        self.held.clear();
        self.marked.clear();
        Ok(())
    }

    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, ConnectError> {
        let deadline = Instant::now() + wait;
        let broker = self.broker.clone();
        let mut state = broker.lock();
        loop {
            let polled = self.fetch(&state, max);
            let has_come = !polled.batches.is_empty() || !polled.ends.is_empty() || polled.trouble.is_some();
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|_| !has_come) else {
                return Ok(polled);
            };
            state = broker.wait(state, left);
        }
    }

    fn known_end(&self, partition: PartitionId) -> Option<Offset> {
        self.ends.get(&partition).copied()
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) {
        self.held = partitions.iter().copied().filter(|id| self.positions.contains_key(id)).collect();
    }

    fn is_held(&self, partition: PartitionId) -> bool {
        self.held.contains(&partition)
    }
}
