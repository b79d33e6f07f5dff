//! How the stream reads, keeps and commits, and what proves its numbers.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_schemas::health::Bounds;
use vitral_store::Location;
use vitral_stream::{Limits, Patience, StreamConfig};

use super::Config;

/// How the stream reads, keeps and commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// The time between commits to the archive.
    pub commit_interval_ms: u64,
    /// The time between refreshes of live results.
    pub live_refresh_ms: u64,
    /// The former name of `stream.commit_interval_ms`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle_ms: Option<u64>,
    /// The former name of `stream.live_refresh_ms`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_ms: Option<u64>,
    /// The former name of `stream.uncommitted_bytes_max`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncommitted_bytes: Option<usize>,
    /// The former name of `stream.deduplication_bytes_max`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_ids_bytes: Option<usize>,
    /// How many messages are decoded together at most.
    pub batch_rows: usize,
    /// How long a batch waits for further messages.
    pub batch_wait_ms: u64,
    /// How much decoded data may wait for its commit; beyond it, reading pauses.
    pub uncommitted_bytes_max: usize,
    /// How much memory the ids of events that can still arrive twice may use; a stream that needs
    /// more stops and says so.
    pub deduplication_bytes_max: usize,
    /// The time between snapshots of the open state; 0 for none.
    pub snapshot_seconds: u64,
    /// How long an orderly stop may take.
    pub shutdown_seconds: u64,
}

/// What open windows may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Panes {
    /// How much memory open windows may use.
    pub memory_bytes: usize,
}

/// What proves the stream's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconcile {
    /// Whether each hour is recomputed from the archive and compared once it is final.
    pub hourly: bool,
}

impl Default for Stream {
    fn default() -> Self {
        let defaults = stream_defaults();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            commit_interval_ms: ms(defaults.commit_interval),
            live_refresh_ms: ms(defaults.live_refresh),
            cycle_ms: None,
            refresh_ms: None,
            uncommitted_bytes: None,
            known_ids_bytes: None,
            batch_rows: defaults.batch_rows,
            batch_wait_ms: ms(defaults.batch_wait),
            uncommitted_bytes_max: defaults.limits.uncommitted_bytes,
            deduplication_bytes_max: defaults.limits.deduplication_bytes_max,
            snapshot_seconds: defaults.snapshot.map_or(0, |every| every.as_secs()),
            shutdown_seconds: defaults.patience.shutdown.as_secs(),
        }
    }
}

impl Default for Panes {
    fn default() -> Self {
        Self { memory_bytes: stream_defaults().limits.panes_memory_bytes }
    }
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { hourly: true }
    }
}

impl Stream {
    /// Keys that were renamed hold under their former name, with a warning, until the next release.
    pub(super) fn take_former_keys(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut renamed = |former: &str, key: &str| {
            warnings.push(format!(
                "stream.{former} is called stream.{key} now: rename it, the next release does not know the old name"
            ));
        };
        if let Some(value) = self.cycle_ms.take() {
            self.commit_interval_ms = value;
            renamed("cycle_ms", "commit_interval_ms");
        }
        if let Some(value) = self.refresh_ms.take() {
            self.live_refresh_ms = value;
            renamed("refresh_ms", "live_refresh_ms");
        }
        if let Some(value) = self.uncommitted_bytes.take() {
            self.uncommitted_bytes_max = value;
            renamed("uncommitted_bytes", "uncommitted_bytes_max");
        }
        if let Some(value) = self.known_ids_bytes.take() {
            self.deduplication_bytes_max = value;
            renamed("known_ids_bytes", "deduplication_bytes_max");
        }
        warnings
    }
}

impl Config {
    /// How a stream on this store runs.
    pub fn stream(&self, store: Location) -> StreamConfig {
        StreamConfig {
            commit_interval: Duration::from_millis(self.stream.commit_interval_ms),
            live_refresh: Duration::from_millis(self.stream.live_refresh_ms),
            batch_rows: self.stream.batch_rows,
            batch_wait: Duration::from_millis(self.stream.batch_wait_ms),
            patience: Patience { shutdown: Duration::from_secs(self.stream.shutdown_seconds), ..Patience::default() },
            limits: Limits {
                uncommitted_bytes: self.stream.uncommitted_bytes_max,
                panes_memory_bytes: self.panes.memory_bytes,
                deduplication_bytes_max: self.stream.deduplication_bytes_max,
            },
            snapshot: (self.stream.snapshot_seconds > 0).then(|| Duration::from_secs(self.stream.snapshot_seconds)),
            ..StreamConfig::new(store)
        }
    }

    /// How long something may take before the process is not ready: many commit intervals.
    pub fn bounds(&self) -> Bounds {
        let commit =
            Duration::from_millis(self.stream.commit_interval_ms.saturating_mul(30)).max(Duration::from_secs(60));
        Bounds { commit, still: commit * 2 }
    }
}

/// The folder is not looked at.
fn stream_defaults() -> StreamConfig {
    let nowhere = Location::folder(Path::new("/")).unwrap_or_else(|_| unreachable!("the root is a folder"));
    StreamConfig::new(nowhere)
}
