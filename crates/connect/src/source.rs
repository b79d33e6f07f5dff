//! The port through which a topic is read: partitions, positions, batches, ends.
//!
//! Delivery: a source hands out every offset of an assigned partition in ascending order, from the
//! position that it was assigned. Offsets that it never delivers (aborted, compacted, control
//! records) show as steps between messages, or between the last message and an [`End`]. Positions
//! are the caller's: a source stores none, so a caller that commits them together with its work
//! makes it exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use vitral_schemas::position::{Offset, PartitionId};

use crate::ConnectError;

/// Reads one topic in large batches, on one thread.
pub trait Source: Send {
    /// Questions about the topic's log, which may be asked on any thread alongside the reading.
    fn log(&self) -> Arc<dyn TopicLog>;

    /// Reads exactly these partitions from now on, each from its offset, or from its beginning
    /// without one. None of them is held back.
    ///
    /// # Errors
    /// The client refused the assignment. Offsets that do not exist show at the next poll, as
    /// [`Trouble`].
    fn assign(&mut self, positions: &BTreeMap<PartitionId, Option<Offset>>) -> Result<(), ConnectError>;

    /// Waits for messages for at most `wait`, and hands out at most `max` of them. Not polling is
    /// how a caller pauses: a source reads ahead within a bound of its own, and then waits too.
    ///
    /// # Errors
    /// Reading cannot go on. What concerns one partition alone is [`Polled::trouble`].
    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, ConnectError>;

    /// The offset behind the last message of a partition, as of the last fetch; none before any.
    fn known_end(&self, partition: PartitionId) -> Option<Offset>;

    /// Holds back these partitions and no others: what was fetched of them waits, and only a
    /// bounded amount is fetched.
    fn hold(&mut self, partitions: &BTreeSet<PartitionId>);

    /// Whether a partition is held back.
    fn is_held(&self, partition: PartitionId) -> bool;

    /// The last problem with reaching the broker since it last answered.
    fn problem(&self) -> Option<ConnectError> {
        None
    }
}

/// Answers questions about a topic's log. Every question fails if the broker is away, refuses, or
/// does not answer.
pub trait TopicLog: Send + Sync {
    /// Its partitions in ascending order; none while the topic does not exist.
    fn partitions(&self) -> Result<Vec<PartitionId>, ConnectError>;

    /// From the first offset that is there to the one behind the last message that can be read:
    /// where a transaction is open, that of its first.
    fn range(&self, partition: PartitionId, wait: Duration) -> Result<Range<Offset>, ConnectError>;

    /// What tells this log from another under the same name: a topic that was deleted and created
    /// again has offsets that mean other messages.
    fn identity(&self) -> Result<String, ConnectError>;

    /// The offset behind the unreadable messages around `within`, in a partition that ends before
    /// `end`; none if that is not found out in time.
    fn unreadable_until(
        &self,
        partition: PartitionId,
        within: Offset,
        end: Offset,
    ) -> Result<Option<Offset>, ConnectError>;
}

/// What one poll brought.
#[derive(Default)]
pub struct Polled {
    /// One for each partition that has messages, ordered by partition.
    pub batches: Vec<PartitionBatch>,
    /// Ends that were reached, each marked once until more comes.
    pub ends: Vec<End>,
    /// What keeps a partition from being read on; none of its messages behind it are here.
    pub trouble: Option<Trouble>,
}

impl Polled {
    /// How many messages all batches have together.
    pub fn message_count(&self) -> usize {
        self.batches.iter().map(PartitionBatch::len).sum()
    }
}

/// Messages of one partition, in ascending order of their offsets.
pub struct PartitionBatch {
    /// The partition that they are from.
    pub partition: PartitionId,
    messages: Box<dyn Messages>,
    /// Messages before this row were left out.
    first: usize,
}

/// Messages as their source keeps them, so that no payload is copied. Called once a batch, but for
/// the few that are refused.
pub trait Messages: Send {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset of a message; rows count from 0.
    fn offset(&self, row: usize) -> Offset;

    /// Its payload; none for a tombstone.
    fn payload(&self, row: usize) -> Option<&[u8]>;

    /// Its key, if it has one.
    fn key(&self, row: usize) -> Option<&[u8]>;

    /// Appends offset and payload of these rows.
    fn append_to<'a>(&'a self, rows: Range<usize>, offsets: &mut Vec<Offset>, payloads: &mut Vec<Option<&'a [u8]>>) {
        offsets.extend(rows.clone().map(|row| self.offset(row)));
        payloads.extend(rows.map(|row| self.payload(row)));
    }
}

impl PartitionBatch {
    /// All of `messages`, which are from `partition` and in ascending order of their offsets.
    pub fn new(partition: PartitionId, messages: Box<dyn Messages>) -> Self {
        Self { partition, messages, first: 0 }
    }

    /// How many messages are left in it.
    pub fn len(&self) -> usize {
        self.messages.len() - self.first
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset of a message; rows count from 0.
    pub fn offset(&self, row: usize) -> Offset {
        self.messages.offset(self.first + row)
    }

    /// Its payload; none for a tombstone.
    pub fn payload(&self, row: usize) -> Option<&[u8]> {
        self.messages.payload(self.first + row)
    }

    /// Its key, if it has one.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.messages.key(self.first + row)
    }

    /// Appends offset and payload of every message.
    pub fn append_to<'a>(&'a self, offsets: &mut Vec<Offset>, payloads: &mut Vec<Option<&'a [u8]>>) {
        self.messages.append_to(self.first..self.messages.len(), offsets, payloads);
    }

    /// Leaves out the messages before an offset; returns how many there were.
    pub fn skip_before(&mut self, offset: Offset) -> usize {
        let skipped = (0..self.len()).take_while(|row| self.offset(*row) < offset).count();
        self.first += skipped;
        skipped
    }
}

/// The end of a partition was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The partition that ends.
    pub partition: PartitionId,
    /// The offset after the last one, delivered or not.
    pub next_offset: Offset,
    /// Nothing lies behind it, such as an open transaction.
    pub is_high_watermark: bool,
}

/// Why a partition cannot be read on. It does not pass by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The partition.
    pub partition: PartitionId,
    /// Where reading stands, or where the unreadable batch begins.
    pub offset: Offset,
    /// What kind of trouble it is.
    pub kind: TroubleKind,
    /// What was found, for people.
    pub reason: String,
}

/// Why a partition cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The log does not have the offset: it was deleted, or never written.
    OffsetsGone,
    /// A batch is damaged, or compressed by an unknown codec.
    Unreadable,
}
