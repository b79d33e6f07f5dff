//! Sums of one moment, and which of them are the same as before.

use std::sync::Arc;

use super::changes::{Changes, Span, next_number};
use super::sums::Sums;

/// Sums of one moment.
#[derive(Debug)]
pub(crate) struct Now {
    pub(super) sums: Sums,
    committed: Arc<Changes>,
    /// Of rows that the stored ones lack.
    behind: Span,
    number: u64,
}

/// Differs whenever sums over a range may differ: of what is stored, and of what is not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RangeVersion {
    pub(crate) committed: [u64; 2],
    pub(crate) provisional: u64,
}

impl Now {
    pub(super) fn new(sums: Sums, committed: Arc<Changes>, behind: Span) -> Self {
        Self { sums, committed, behind, number: next_number() }
    }

    pub(crate) fn version(&self, range: (Option<i64>, Option<i64>)) -> RangeVersion {
        RangeVersion {
            committed: [self.committed.load(), self.committed.last_in(range)],
            provisional: if self.behind.meets(range) { self.number } else { 0 },
        }
    }
}
