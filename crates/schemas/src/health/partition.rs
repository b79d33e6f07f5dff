//! How far one partition has been read.

use std::time::Instant;

use crate::position::Offset;

/// How far one partition has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHealth {
    /// The offset that is read next.
    pub position: Offset,
    /// The offset behind the broker's last message, as far as it is known.
    pub end: Option<Offset>,
    /// The same when it was first known to this process.
    pub first_end: Option<Offset>,
    /// The offset after the last one that is committed; none before the first.
    pub committed: Option<Offset>,
    /// A row was delivered, in whichever process: without one there is nothing to commit.
    pub has_rows: bool,
    /// When the position last moved, or stood at the end.
    pub moved: Instant,
    /// Not read on purpose: it waits for slower partitions.
    pub held: bool,
}

impl PartitionHealth {
    /// One that is read from here on.
    pub fn at(position: Offset, end: Option<Offset>, now: Instant) -> Self {
        Self { position, end, first_end: end, committed: None, has_rows: false, moved: now, held: false }
    }

    /// Messages that are there and not read, as far as is known.
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.position).max(0))
    }

    pub(super) fn at_end(&self) -> bool {
        self.lag().is_none_or(|lag| lag == 0)
    }
}
