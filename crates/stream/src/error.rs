//! Why a stream stops.

use datafusion::error::DataFusionError;
use rdkafka::error::KafkaError;
use vitral_panes::PanesError;
use vitral_store::StoreError;

use crate::kafka::Problem;

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("kafka at {brokers}: {action} failed")]
    Kafka { brokers: String, action: &'static str, source: KafkaError },
    /// The same where the client library has said why.
    #[error("kafka at {brokers}: {action} failed: {problem}")]
    Connection { brokers: String, action: &'static str, problem: Problem },
    #[error("kafka.options: {0}")]
    Settings(String),
    #[error("kafka: topic {topic} cannot be described: {reason}")]
    Describe { topic: String, reason: String },
    /// The broker no longer has offsets that were not read yet.
    #[error(
        "topic {topic}, partition {partition}: the broker no longer has offset {offset} where reading must go on ({reason}); the messages \
         from there are lost. Keep them longer on the broker (retention.ms); to go on without them, start with a new --data-dir"
    )]
    OffsetsGone { topic: String, partition: i32, offset: i64, reason: String },
    /// Nothing behind such a batch could be read.
    #[error(
        "topic {topic}, partition {partition}: a batch cannot be decompressed ({reason}). It is damaged, of a codec other than gzip, snappy, lz4 and \
         zstd, or unpacks by zstd to more than 1 GiB: move the partition's messages that are left into a new topic, in smaller batches"
    )]
    Compression { topic: String, partition: i32, reason: String },
    #[error(
        "topic {topic} was made anew: its identity is {found}, the archive holds rows of {known}. Start with a new --data-dir, or give the \
         new topic another name"
    )]
    NewLog { topic: String, known: String, found: String },
    #[error(transparent)]
    Panes(#[from] PanesError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a batch of topic {topic} cannot be {action}")]
    Batch { topic: String, action: &'static str, source: DataFusionError },
    /// More ids are known than may be kept; to forget one would count its duplicates.
    #[error(
        "topic {topic}: the {ids} event ids that can still come again need more than the {limit_bytes} bytes of stream.known_ids_bytes: \
         raise it (57 bytes for each id at most), or shorten the topic's lateness"
    )]
    KnownIds { topic: String, ids: usize, limit_bytes: usize },
    #[error("{0} stopped unexpectedly")]
    Gone(&'static str),
    #[error("what was read could not be committed within {0:?} at the stop; it will be read again")]
    ShutdownTimeout(std::time::Duration),
}

impl StreamError {
    /// Whether it concerns one metric's data alone, so that all else can go on.
    pub fn is_of_one_metric(&self) -> bool {
        matches!(self, Self::Panes(_) | Self::Batch { .. } | Self::Store(StoreError::Incompatible { .. }))
    }

    /// In one sentence for people.
    pub fn reason(&self) -> String {
        match self {
            Self::Panes(error) => error.reason(),
            Self::Batch { source, .. } => format!("{self}: {}", source.find_root().strip_backtrace()),
            other => other.to_string(),
        }
    }
}
