//! How a stream reads and commits.

use std::collections::BTreeSet;
use std::time::Duration;

use vitral_store::Location;

use crate::skip::Skip;

/// How the pipelines of a process read, commit and refresh.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// Holds the archives, `archive/TOPIC`, the metric tables, `metrics/NAME/VERSION`, and the
    /// snapshots, `snapshots/TOPIC`.
    pub store: Location,
    /// How often the archive is committed while rows come.
    pub commit_interval: Duration,
    /// How often live results are refreshed while rows come.
    pub live_refresh: Duration,
    /// Messages decoded together. Larger batches are cheaper per row, smaller ones are seen sooner;
    /// a batch that is not full waits `batch_wait` at most.
    pub batch_rows: usize,
    /// How long a batch that is not full waits for more messages.
    pub batch_wait: Duration,
    /// How much memory each topic may use.
    pub limits: Limits,
    /// How often the open state is written down for a quicker restart; none for never.
    pub snapshot: Option<Duration>,
    /// How often the topic is asked for new partitions.
    pub partitions_every: Duration,
    /// Whose topics may have been deleted and created again.
    pub accepted_logs: AcceptedLogs,
    /// Offsets that are passed over at the start.
    pub skips: Vec<Skip>,
    /// How often tables are looked at for what others have written, such as a compaction whose old
    /// files will be deleted.
    pub maintenance_interval: Duration,
    /// How long its beginning and its end may take.
    pub patience: Patience,
}

/// How long a stream may take for what it does once.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long what may pass may fail at the start. What lasts longer is rather a wrong setting
    /// than an outage.
    pub start: Duration,
    /// How long a stop may take to commit what was read.
    pub shutdown: Duration,
}

/// How much memory a stream may use for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Decoded rows that wait for their commit; at this many reading pauses.
    pub uncommitted_bytes: usize,
    /// What open panes may use.
    pub panes_memory_bytes: usize,
    /// What the known event ids may use; a stream that needs more stops.
    pub deduplication_bytes_max: usize,
}

/// A topic that was deleted and created again is refused, unless that was meant: then it is read
/// from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedLogs {
    /// The broker of the demo forgets its topics when its folder is deleted.
    All,
    /// Of these topics, by their name in the catalog or in Kafka.
    Of(BTreeSet<String>),
}

impl StreamConfig {
    /// The defaults, over this store.
    pub fn new(store: Location) -> Self {
        Self {
            store,
            commit_interval: Duration::from_secs(1),
            live_refresh: Duration::from_millis(250),
            batch_rows: 64 * 1024,
            batch_wait: Duration::from_millis(100),
            limits: Limits::default(),
            snapshot: Some(Duration::from_secs(30)),
            partitions_every: Duration::from_secs(20),
            accepted_logs: AcceptedLogs::Of(BTreeSet::new()),
            skips: Vec::new(),
            maintenance_interval: Duration::from_secs(20),
            patience: Patience::default(),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { start: Duration::from_secs(120), shutdown: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { uncommitted_bytes: 96 << 20, panes_memory_bytes: 1 << 30, deduplication_bytes_max: 4 << 30 }
    }
}
