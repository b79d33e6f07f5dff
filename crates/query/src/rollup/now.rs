//! Sums of one moment, and which of them are the same as before.

use std::sync::Arc;

use super::changes::{Asked, Changes, Touched, next_number};
use super::conditions::Conditions;
use super::sums::Sums;

/// Sums of one moment.
#[derive(Debug)]
pub(crate) struct Now {
    pub(super) sums: Sums,
    committed: Arc<Changes>,
    /// Rows that the stored ones lack.
    behind: Touched,
    number: u64,
}

/// Differs whenever an answer may differ: by what is stored, and by what is not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SumsVersion {
    pub(crate) committed: [u64; 2],
    pub(crate) provisional: u64,
}

impl Now {
    pub(super) fn new(sums: Sums, committed: Arc<Changes>, behind: Touched) -> Self {
        Self { sums, committed, behind, number: next_number() }
    }

    pub(super) fn version(&self, conditions: &Conditions) -> SumsVersion {
        let filters = self.sums.numbers(&conditions.filters).filter(|_| !conditions.is_never);
        let asked = Asked::new(conditions.range, filters.as_deref(), self.sums.dimensions());
        SumsVersion {
            committed: [self.committed.load(), self.committed.last_of(asked)],
            provisional: if self.behind.meets(asked) { self.number } else { 0 },
        }
    }
}
