//! The live part of a view, as it is sent.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use vitral_panes::view::{Completeness, Live, LookupCompleteness, MetricFailure};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::health::Trouble;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::StoredAt;

/// All that a stream shows besides stored rows, at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LivePart {
    /// Names this moment among those of the stream's process.
    pub epoch: String,
    /// The version of the stream's program.
    pub program: String,
    /// Of each metric and table that the stream's catalog declares, shown or not, what it computes.
    pub versions: BTreeMap<String, String>,
    /// By table name.
    pub topics: BTreeMap<String, TopicPart>,
    /// Topics that the stream cannot read yet, and why.
    pub topics_waiting: BTreeMap<String, String>,
    /// By metric name.
    pub metrics: BTreeMap<String, MetricPart>,
    /// By table name.
    pub keyed: BTreeMap<String, KeyedPart>,
    /// Of topics, in milliseconds.
    pub committed_watermarks_ms: BTreeMap<String, i64>,
    /// What is wrong with the stream.
    pub troubles: Vec<TroublePart>,
    /// Rows, to which the others refer by number.
    #[serde(skip)]
    pub blocks: Vec<Rows>,
}

/// Rows of one schema.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Theirs.
    pub schema: SchemaRef,
    /// In their order.
    pub batches: Vec<RecordBatch>,
}

/// Of a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopicPart {
    /// The commit of the archive that the tail continues; none if there is no archive.
    pub stored: Option<StoredAt>,
    /// The block of counted rows that are not committed yet.
    pub tail: usize,
    /// What archive and tail hold together.
    pub completeness: CompletenessPart,
}

/// Of a metric.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetricPart {
    /// The commit of the published rows that the open windows continue; none if nothing is
    /// published.
    pub stored: Option<StoredAt>,
    /// Every window whose end plus lateness is at or before this is published.
    pub published_through_ms: Option<i64>,
    /// The block of rows of open windows: a batch for each.
    pub open: usize,
    /// The starts of these windows, in milliseconds, in the order of the batches.
    pub starts: Vec<i64>,
    /// As of the moment at which the open windows were made.
    pub completeness: CompletenessPart,
    /// Why windows are missing, if some are.
    pub failure: Option<FailurePart>,
}

/// Of a table with one row for each key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyedPart {
    /// The commit that is shown; none if nothing is stored.
    pub stored: Option<StoredAt>,
    /// The topic's log, if it is known.
    pub log: Option<String>,
    /// The offset after the last one that is in, by partition of that log.
    pub offsets: BTreeMap<PartitionId, Offset>,
    /// Rows of events before this, in milliseconds, are missing.
    pub since_ms: Option<i64>,
    /// Why nothing is added any more, if so.
    pub failure: Option<FailurePart>,
}

/// Counts and watermark of a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of Completeness")]
pub struct CompletenessPart {
    pub watermark_ms: Option<i64>,
    pub read: u64,
    pub counted: u64,
    pub duplicate: u64,
    pub late: u64,
    pub refused: u64,
    pub skipped: u64,
    pub lookups: BTreeMap<String, (Option<i64>, u64, u64, u64)>,
    pub idle_partitions: Vec<PartitionId>,
}

/// Why rows are missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of MetricFailure")]
pub struct FailurePart {
    pub reason: String,
    pub since_ms: i64,
    pub is_set_aside: bool,
}

/// Something that is wrong with the stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of Trouble")]
pub struct TroublePart {
    pub subject: String,
    pub code: String,
    pub detail: String,
}

impl From<&Completeness> for CompletenessPart {
    fn from(completeness: &Completeness) -> Self {
        let lookups = completeness.lookups.iter().map(|(name, lookup)| {
            let LookupCompleteness { since_ms, unknown, failed, stale } = *lookup;
            (name.clone(), (since_ms, unknown, failed, stale))
        });
        Self {
            watermark_ms: completeness.watermark.map(Watermark::ms),
            read: completeness.read,
            counted: completeness.counted,
            duplicate: completeness.duplicate,
            late: completeness.late,
            refused: completeness.refused,
            skipped: completeness.skipped,
            lookups: lookups.collect(),
            idle_partitions: completeness.idle_partitions.clone(),
        }
    }
}

impl From<&CompletenessPart> for Completeness {
    fn from(part: &CompletenessPart) -> Self {
        let lookups = part.lookups.iter().map(|(name, (since_ms, unknown, failed, stale))| {
            let (since_ms, unknown, failed, stale) = (*since_ms, *unknown, *failed, *stale);
            (name.clone(), LookupCompleteness { since_ms, unknown, failed, stale })
        });
        Self {
            watermark: part.watermark_ms.map(Watermark::from_ms),
            read: part.read,
            counted: part.counted,
            duplicate: part.duplicate,
            late: part.late,
            refused: part.refused,
            skipped: part.skipped,
            lookups: lookups.collect(),
            idle_partitions: part.idle_partitions.clone(),
            live: Live::Current,
        }
    }
}

impl From<MetricFailure> for FailurePart {
    fn from(MetricFailure { reason, since_ms, is_set_aside }: MetricFailure) -> Self {
        Self { reason, since_ms, is_set_aside }
    }
}

impl From<&FailurePart> for MetricFailure {
    fn from(FailurePart { reason, since_ms, is_set_aside }: &FailurePart) -> Self {
        Self { reason: reason.clone(), since_ms: *since_ms, is_set_aside: *is_set_aside }
    }
}

impl From<Trouble> for TroublePart {
    fn from(Trouble { subject, code, detail }: Trouble) -> Self {
        Self { subject, code: code.to_owned(), detail }
    }
}
