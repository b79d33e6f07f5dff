//! What a topic's pipeline knows, all of which a restart brings back from the archive: what a
//! snapshot holds.

use vitral_panes::view::{Completeness, Live};
use vitral_panes::watermark::Watermarks;
use vitral_store::Counts;

use crate::classify::Classifier;
use crate::lookups::LookedUpColumns;
use crate::topic_panes::TopicPanes;

pub struct TopicState {
    pub panes: TopicPanes,
    pub classifier: Classifier,
    pub watermarks: Watermarks,
    /// Messages since the archive began, by verdict.
    pub counts: Counts,
    /// Offsets that were skipped on somebody's word; it happens at the start alone.
    pub skipped: u64,
    /// What became of look-ups, since the process began.
    pub lookups: LookedUpColumns,
}

impl TopicState {
    /// What became of the topic's messages, of which those up to these watermarks are folded; which
    /// partitions are idle goes by the steady clock.
    pub fn completeness(&self, watermarks: &Watermarks, steady_ms: i64) -> Completeness {
        let Counts { counted, duplicate, late, refused, .. } = self.counts;
        Completeness {
            watermark: watermarks.of_topic(),
            read: self.counts.read(),
            counted,
            duplicate,
            late,
            refused,
            skipped: self.skipped,
            lookups: self.lookups.completeness(),
            idle_partitions: watermarks.idle_partitions(steady_ms).collect(),
            live: Live::Current,
        }
    }
}
