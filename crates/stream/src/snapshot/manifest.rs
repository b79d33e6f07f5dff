//! What a snapshot says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vitral_schemas::topic::Topic;
use vitral_store::Counts;
use vitral_store::snapshot::Block;

/// Changes whenever states of an older binary would be read wrongly.
const STATE_VERSION: u32 = 2;
/// Written as JSON; a restart that does not understand it rebuilds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The binary's engine, and what of the topic's declaration its state depends on.
    pub engine: String,
    pub topic: TopicTerms,
    pub log: String,
    /// The identity of the archive's table; state 1 did not tell.
    #[serde(default)]
    pub archive: String,
    /// How many replays the archive had seen: each changes rows that a snapshot has folded.
    pub replays: Option<i64>,
    /// The offset after the last that is in the state, by partition.
    pub offsets: BTreeMap<i32, i64>,
    pub counts: Counts,
    pub newest_event_ms: BTreeMap<i32, i64>,
    pub metrics: Vec<MetricState>,
    pub id_key: (u64, u64),
    pub ids: Vec<IdBlock>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicTerms {
    pub event_time: String,
    pub event_id: Option<String>,
    pub lateness_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricState {
    pub name: String,
    pub version: String,
    /// Windows through this watermark were published, and their panes dropped.
    pub published_through_ms: Option<i64>,
    pub runs: Vec<RunBlock>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunBlock {
    pub partition: i32,
    pub block: Block,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdBlock {
    pub partition: i32,
    /// The newest event time among them: once it is too old, none of them can come again.
    pub newest_micros: i64,
    pub block: Block,
}

impl TopicTerms {
    pub fn of(topic: &Topic) -> Self {
        Self {
            event_time: topic.columns[topic.event_time].name.clone(),
            event_id: topic.event_id.map(|index| topic.columns[index].name.clone()),
            lateness_ms: topic.lateness_ms,
        }
    }
}

pub fn engine() -> String {
    format!("state {STATE_VERSION}, datafusion {}", datafusion::DATAFUSION_VERSION)
}

impl Manifest {
    /// Every block that it names.
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let runs = self.metrics.iter().flat_map(|metric| &metric.runs).map(|run| &run.block);
        runs.chain(self.ids.iter().map(|ids| &ids.block))
    }

    /// The segments in which something is alive, each with how far it is needed.
    pub fn segments(&self) -> BTreeMap<u64, u64> {
        let mut segments = BTreeMap::new();
        for block in self.blocks() {
            let end = segments.entry(block.segment).or_default();
            *end = (block.offset + block.bytes).max(*end);
        }
        segments
    }
}
