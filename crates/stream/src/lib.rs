//! From a topic to panes and archive.
//!
//! Each topic has one pipeline: [`vitral_connect::Source`] -> [`vitral_messages::decode`] ->
//! [`classify`] -> panes and the next archive commit. Each offset is delivered into the archive
//! exactly once: work is committed together with the offsets it came from, and after a restart the
//! source goes on at the committed offsets.
//!
//! Architecture invariant: nothing here knows Kafka, or a domain; topics come through the ports of
//! [`vitral_connect`].

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

#[macro_use]
mod failpoint;

mod archive_batches;
mod archive_rows;
mod backfill;
pub mod batch;
pub mod classify;
mod committer;
mod config;
mod error;
mod lookups;
pub mod pipeline;
mod recovery;
mod skip;
mod snapshot;
mod telemetry;
pub mod topic_panes;
mod topic_state;

pub use config::{AcceptedLogs, Limits, Patience, StreamConfig};
pub use error::{StreamError, WayOn};
pub use pipeline::{StreamHandle, start};
pub use skip::{NotASkip, Skip};
pub use telemetry::{LookupLabels, LookupTelemetry, MetricLabels, StreamTelemetry, TopicGauges, TopicLabel};
