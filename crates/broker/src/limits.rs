//! How much a broker accepts, and how long it keeps it.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The defaults are those of the demo.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A record batch as it is stored, compressed or not: `max.message.bytes`. Apache Kafka's
    /// default.
    pub batch_bytes: usize,
    /// A request. Apache Kafka's `socket.request.max.bytes`.
    pub request_bytes: usize,
    /// Records in one answer to a fetch. One batch is always handed out, however large.
    pub fetch_bytes: usize,
    /// Open connections; more are turned away.
    pub connections: usize,
    /// The largest number of topics.
    pub topics: usize,
    /// Partitions of all topics together: each one that was written to holds a file open.
    pub partitions: usize,
    /// Partitions of a topic that a client creates by naming it.
    pub default_partitions: i32,
    /// A connection without requests is closed after this time.
    pub idle: Duration,
    /// The first request, and the rest of any that has begun, must arrive within this time; a
    /// response must be read within it.
    pub patience: Duration,
    /// The unit of deletion. Small, so that the size of the whole log can be kept within its bound.
    pub segment_bytes: u64,
    /// The age at which a segment is closed, however small.
    pub segment_age: Duration,
    /// Segments are deleted this long after they were last written to,
    pub retention: Duration,
    /// or earlier, the oldest first, when all logs together are larger than this.
    pub retention_bytes: u64,
    /// Never before this, nor while the broker has not been up for as long: a reader of this
    /// process gets time to catch up.
    pub grace: Duration,
    /// Above this nothing more is taken until segments may be deleted: a producer waits rather than
    /// a reader losing messages.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes: 1_048_588,
            request_bytes: 100 * MIB as usize,
            fetch_bytes: 16 * MIB as usize,
            connections: 256,
            topics: 100,
            partitions: 400,
            default_partitions: 4,
            idle: Duration::from_secs(600),
            patience: Duration::from_secs(30),
            segment_bytes: 16 * MIB,
            segment_age: Duration::from_secs(3600),
            retention: Duration::from_secs(6 * 3600),
            retention_bytes: 1024 * MIB,
            grace: Duration::from_secs(600),
            log_bytes: 4 * 1024 * MIB,
        }
    }
}
