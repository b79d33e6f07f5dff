//! The port through which a topic is read: partitions, positions, batches, ends.
//!
//! Delivery: a source hands out every offset of an assigned partition in ascending order, from the position that it was assigned. Offsets
//! that it never delivers (aborted, compacted, control records) show as steps between messages, or between the last message and an
//! [`End`]. Positions are the caller's: a source stores none, so a caller that commits them together with its work makes it exactly once.

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

    /// Reads exactly these partitions from now on, each from its offset, or from its beginning. None of them is held back.
    fn assign(&mut self, positions: &BTreeMap<PartitionId, Option<Offset>>) -> Result<(), ConnectError>;

    /// Waits for messages, at most for `wait`, and hands out `max` of them at most. Not to poll is the pause: a source reads ahead
    /// within a bound of its own, and then waits too.
    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, ConnectError>;

    /// The offset behind the last message of a partition, as of the last fetch; none before any.
    fn known_end(&self, partition: PartitionId) -> Option<Offset>;

    /// Holds back these partitions and no others: what was fetched of them waits, and a bounded amount is fetched.
    fn hold(&mut self, partitions: &BTreeSet<PartitionId>);

    fn is_held(&self, partition: PartitionId) -> bool;

    /// What was last in the way to the broker, since it last answered.
    fn problem(&self) -> Option<ConnectError> {
        None
    }
}

/// What can be asked about a topic's log.
pub trait TopicLog: Send + Sync {
    /// In ascending order; none while the topic does not exist.
    fn partitions(&self) -> Result<Vec<PartitionId>, ConnectError>;

    /// From the first offset that is there to the one behind the last message that can be read: where a transaction is open, that of
    /// its first.
    fn range(&self, partition: PartitionId, wait: Duration) -> Result<Range<Offset>, ConnectError>;

    /// What tells this log from another under the same name: a topic that was deleted and created again has offsets that mean other
    /// messages.
    fn identity(&self) -> Result<String, ConnectError>;

    /// The offset behind the unreadable messages around `within`, in a partition that ends before `end`; none if that is not found out
    /// in time.
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
    pub fn message_count(&self) -> usize {
        self.batches.iter().map(PartitionBatch::len).sum()
    }
}

/// Messages of one partition, in ascending order of their offsets.
pub struct PartitionBatch {
    pub partition: PartitionId,
    messages: Box<dyn Messages>,
    /// Those before were left out.
    first: usize,
}

/// Messages as their source keeps them, so that no payload is copied. Called once a batch, but for the few that are refused.
pub trait Messages: Send {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn offset(&self, row: usize) -> Offset;

    /// None is a tombstone.
    fn payload(&self, row: usize) -> Option<&[u8]>;

    fn key(&self, row: usize) -> Option<&[u8]>;

    /// Appends offset and payload of these rows.
    fn append_to<'a>(&'a self, rows: Range<usize>, offsets: &mut Vec<Offset>, payloads: &mut Vec<Option<&'a [u8]>>) {
        offsets.extend(rows.clone().map(|row| self.offset(row)));
        payloads.extend(rows.map(|row| self.payload(row)));
    }
}

impl PartitionBatch {
    pub fn new(partition: PartitionId, messages: Box<dyn Messages>) -> Self {
        Self { partition, messages, first: 0 }
    }

    pub fn len(&self) -> usize {
        self.messages.len() - self.first
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn offset(&self, row: usize) -> Offset {
        self.messages.offset(self.first + row)
    }

    pub fn payload(&self, row: usize) -> Option<&[u8]> {
        self.messages.payload(self.first + row)
    }

    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.messages.key(self.first + row)
    }

    /// Appends offset and payload of every message.
    pub fn append_to<'a>(&'a self, offsets: &mut Vec<Offset>, payloads: &mut Vec<Option<&'a [u8]>>) {
        self.messages.append_to(self.first..self.messages.len(), offsets, payloads);
    }

    /// Leaves out the messages before an offset; returns how many that were.
    pub fn skip_before(&mut self, offset: Offset) -> usize {
        let skipped = (0..self.len()).take_while(|row| self.offset(*row) < offset).count();
        self.first += skipped;
        skipped
    }
}

/// The end of a partition was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub partition: PartitionId,
    /// The offset after the last one, delivered or not.
    pub next_offset: Offset,
    /// Nothing lies behind it, such as an open transaction.
    pub is_high_watermark: bool,
}

/// What does not pass by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub partition: PartitionId,
    /// Where reading stands, or where the unreadable batch begins.
    pub offset: Offset,
    pub kind: TroubleKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The log does not have the offset.
    OffsetsGone,
    /// A batch is damaged or packed in a way that is not known.
    Unreadable,
}
