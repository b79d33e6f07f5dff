//! From Kafka to panes and archive.
//!
//! Each topic has one pipeline: [`kafka`] source -> [`vitral_messages::decode`] -> [`judge`] -> panes and the next archive commit. Each
//! offset is delivered into the archive exactly once: work is committed together with the offsets it came from, and after a restart the
//! source goes on at the committed offsets.
//!
//! Architecture invariant: only this crate knows Kafka's protocol. Nothing here knows a domain.

#[macro_use]
mod step;

mod archive_rows;
mod backfill;
mod committer;
mod config;
mod error;
pub mod judge;
pub mod kafka;
mod large_batches;
pub mod panes_of_topic;
pub mod pipeline;
mod recovery;
mod skip;
mod snapshot;
mod telemetry;

pub use config::{KafkaConfig, StreamConfig};
pub use error::StreamError;
pub use pipeline::{StreamHandle, start};
pub use skip::{NotASkip, Skip};
pub use telemetry::{MetricLabels, StreamTelemetry, TopicLabel};
