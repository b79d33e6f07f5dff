//! Why a stream stops.

use std::fmt;

use datafusion::error::DataFusionError;
use vitral_connect::{ConnectError, RetryHint};
use vitral_panes::PanesError;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::StoreError;

use crate::skip::Skip;

/// How to go on past what cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayOn {
    /// With this range passed over.
    Skip(Skip),
    /// Where the range ends is not known; it begins here.
    SkipFrom {
        /// The topic's name in Kafka.
        topic: String,
        /// The partition that cannot be read.
        partition: PartitionId,
        /// The first offset of the range.
        first: Offset,
    },
    /// The log ends before the offset: the broker has lost messages that were read already.
    LogIsShorter {
        /// The topic's name in Kafka.
        topic: String,
        /// Where the partition ends.
        end: Offset,
    },
}

impl fmt::Display for WayOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(skip) => write!(f, "To go on without them: vitral stream --skip {skip}"),
            Self::SkipFrom { topic, partition, first } => write!(
                f,
                "To go on without them: vitral stream --skip {topic}/{partition}:{first}-LAST, where LAST is the last offset that cannot be read"
            ),
            Self::LogIsShorter { topic, end } => write!(
                f,
                "The partition ends at offset {end}: the broker has lost messages that were read already. It continues by itself once the \
                 partition is longer than that; to read all that comes, delete and create the topic, and start with --accept-new-log {topic}"
            ),
        }
    }
}

/// Why a topic's pipeline stops, with the remedy where there is one. Topics are named as in Kafka
/// where the command line takes them.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The broker, or what is between.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker no longer has offsets that were not read yet.
    #[error(
        "topic {topic}, partition {partition}: the broker no longer has offset {offset} where reading must continue ({reason}); the messages \
         from there are lost. Keep them longer on the broker (retention.ms). {way_on}"
    )]
    OffsetsGone {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// Where reading stopped.
        offset: Offset,
        /// What the source, or the check, says.
        reason: String,
        /// How to go on.
        way_on: WayOn,
    },
    /// Nothing behind such a batch could be read.
    #[error(
        "topic {topic}, partition {partition}: the batch at offset {offset} cannot be read ({reason}). It is damaged, of a codec other than gzip, \
         snappy, lz4 and zstd, or unpacks by zstd to more than 1 GiB. What came before it is committed. {way_on}"
    )]
    Unreadable {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// Where reading stopped.
        offset: Offset,
        /// What the source, or the check, says.
        reason: String,
        /// How to go on.
        way_on: WayOn,
    },
    /// Offsets mean other messages now.
    #[error(
        "topic {topic} was deleted and created again: its identity is {found}, the archive holds rows of {known}. If that was meant, keep what was \
         counted and go on with the new one from its beginning: vitral stream --accept-new-log {topic}"
    )]
    NewLog {
        /// The topic's name.
        topic: String,
        /// The identity of the log whose rows the archive has.
        known: String,
        /// The identity of the log that is there now.
        found: String,
    },
    /// A range that was to be passed over cannot be.
    #[error("--skip {skip} cannot be done: {reason}")]
    Skip {
        /// The range that was asked for.
        skip: Skip,
        /// What the source, or the check, says.
        reason: String,
    },
    /// Not an error: somebody asked for it while something was awaited.
    #[error("stopped")]
    Stopped,
    /// A metric, in a way that concerns all of them.
    #[error(transparent)]
    Panes(#[from] PanesError),
    /// The archive, a metric's table or a snapshot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows could not be processed.
    #[error("a batch of topic {topic} cannot be {action}")]
    Batch {
        /// The topic's name.
        topic: String,
        /// What was tried.
        action: &'static str,
        /// What the engine says.
        source: DataFusionError,
    },
    /// More ids are known than may be kept; to forget one would count its duplicates.
    #[error(
        "topic {topic}: the {ids} event ids that can still come again need more than the {limit_bytes} bytes of stream.deduplication_bytes_max: \
         raise it (57 bytes for each id at most), or shorten the topic's lateness"
    )]
    DeduplicationIndex {
        /// The topic's name.
        topic: String,
        /// How many ids.
        ids: usize,
        /// What they may use.
        limit_bytes: usize,
    },
    /// A task or thread of the pipeline has ended though it should not.
    #[error("{0} stopped unexpectedly")]
    Ended(&'static str),
    /// The store took too long at the stop.
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
            Self::Batch { source, .. } => format!("{self}: {}", vitral_engine::words(source)),
            other => other.to_string(),
        }
    }

    /// Whether the same start may succeed later.
    pub(crate) fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Connect(error) => error.retry_hint(),
            Self::Store(error) if !error.is_final() => RetryHint::Passing,
            _ => RetryHint::Permanent,
        }
    }
}
