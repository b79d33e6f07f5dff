//! How a stream reads and commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vitral_store::Location;

use crate::skip::Skip;

#[derive(Debug, Clone, Default)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Further settings of the client library (`security.protocol`, `sasl.username`, ...).
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct StreamConfig {
    pub kafka: KafkaConfig,
    /// Holds the archives, `archive/TOPIC`, the metric tables, `metrics/NAME/VERSION`, and the snapshots, `snapshots/TOPIC`.
    pub store: Location,
    /// How often the archive is committed while rows come.
    pub cycle: Duration,
    /// How often live results are refreshed while rows come.
    pub refresh: Duration,
    /// Messages decoded together. Larger batches are cheaper per row, smaller ones are seen sooner; a batch that is not
    /// full waits `batch_wait` at most.
    pub batch_rows: usize,
    pub batch_wait: Duration,
    /// Decoded rows that wait for their commit; at this many reading pauses.
    pub uncommitted_bytes: usize,
    /// What open panes may use.
    pub panes_memory_bytes: usize,
    /// What the known event ids may use; a stream that needs more stops.
    pub known_ids_bytes: usize,
    /// How often the open state is written down for a quicker restart; none for never.
    pub snapshot: Option<Duration>,
    /// How often the topic is asked for new partitions.
    pub partitions_every: Duration,
    /// The broker of the demo forgets its topics with its file: a topic made anew is read from its beginning instead of
    /// being refused.
    pub accept_new_log: bool,
    /// Topics, by their name in the catalog or in Kafka, that were deleted and created again: they are read from their beginning.
    pub accept_new_logs: BTreeSet<String>,
    /// Offsets that are passed over at the start.
    pub skips: Vec<Skip>,
    /// How often tables are looked at for what others have written, such as a compaction whose old files will be deleted.
    pub look_every: Duration,
    /// How long a stop may take to commit what was read.
    pub shutdown: Duration,
}

impl StreamConfig {
    pub fn new(kafka: KafkaConfig, store: Location) -> Self {
        Self {
            kafka,
            store,
            cycle: Duration::from_secs(1),
            refresh: Duration::from_millis(250),
            batch_rows: 64 * 1024,
            batch_wait: Duration::from_millis(100),
            uncommitted_bytes: 96 << 20,
            panes_memory_bytes: 1 << 30,
            known_ids_bytes: 4 << 30,
            snapshot: Some(Duration::from_secs(30)),
            partitions_every: Duration::from_secs(20),
            accept_new_log: false,
            accept_new_logs: BTreeSet::new(),
            skips: Vec::new(),
            look_every: Duration::from_secs(20),
            shutdown: Duration::from_secs(30),
        }
    }
}
