//! How often answers were found where they are kept.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of both levels.
#[derive(Debug, Default)]
pub struct CacheCounts {
    /// This process's memory.
    pub memory: LevelCounts,
    /// What processes share.
    pub shared: LevelCounts,
    joined: AtomicU64,
}

/// Of one level.
#[derive(Debug, Default)]
pub struct LevelCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
}

impl CacheCounts {
    /// How many were answered by what another one had computed meanwhile.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    pub(super) fn shared_computation(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }
}

impl LevelCounts {
    /// Answers that were there and could be given.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Those that were not there, or not of now.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Those that could not be asked for, or kept.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(super) fn found(&self, is_hit: bool) {
        let count = if is_hit { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}
