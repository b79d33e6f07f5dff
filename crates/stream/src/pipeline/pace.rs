//! Partitions far ahead of the slowest wait for it.
//!
//! The watermark is the slowest partition's: what the others are ahead of it stays in memory, as open panes and known event ids. With a
//! backlog of days that is days of both, so a partition that is further ahead than its windows need is held back until the slowest has
//! come nearer. The slowest is never held, and one that was read to its end holds nobody: something is always read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vitral_schemas::event_time::EventTime;
use vitral_schemas::position::PartitionId;

/// How often partitions are compared with the slowest.
pub(super) const PACE_EVERY: Duration = Duration::from_millis(250);
/// Beyond what the longest window and the lateness keep open anyway.
const AHEAD_MS: i64 = 3_600_000;

/// How far a partition may be ahead.
pub(super) fn ahead_max_ms(longest_window_ms: i64, lateness_ms: i64) -> i64 {
    longest_window_ms.saturating_add(lateness_ms).saturating_add(AHEAD_MS)
}

/// Which partitions must wait, by the newest event of each and whether more of it waits on the broker.
pub(super) fn held(
    newest: &BTreeMap<PartitionId, EventTime>,
    has_more: impl Fn(PartitionId) -> bool,
    ahead_max_ms: i64,
) -> BTreeSet<PartitionId> {
    let slowest = newest.iter().filter(|(partition, _)| has_more(**partition)).map(|(_, newest)| *newest).min();
    let Some(slowest) = slowest else { return BTreeSet::new() };
    let is_ahead = |newest: EventTime| newest.ms().saturating_sub(slowest.ms()) > ahead_max_ms;
    newest.iter().filter(|(_, newest)| is_ahead(**newest)).map(|(partition, _)| *partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest<const N: usize>(ms: [(i32, i64); N]) -> BTreeMap<PartitionId, EventTime> {
        ms.map(|(partition, ms)| (PartitionId(partition), EventTime::from_ms(ms))).into()
    }

    #[test]
    fn those_too_far_ahead_of_the_slowest_wait() {
        let newest = newest([(0, 1_000), (1, 5_000), (2, 1_400)]);
        let ahead = BTreeSet::from([PartitionId(1)]);
        assert_eq!(held(&newest, |_| true, 500), ahead);
        assert_eq!(held(&newest, |_| true, 4_000), BTreeSet::new(), "not too far");
        assert_eq!(held(&newest, |partition| partition.0 != 0, 500), ahead, "the next slowest counts");
        assert_eq!(held(&newest, |partition| partition.0 == 1, 500), BTreeSet::new(), "the others are at their ends");
        assert_eq!(held(&newest, |_| false, 500), BTreeSet::new(), "all are");
        assert_eq!(held(&BTreeMap::new(), |_| true, 500), BTreeSet::new());
    }

    #[test]
    fn the_slowest_of_those_with_more_is_never_held() {
        for slow in 0..4 {
            let newest = newest([0, 1, 2, 3].map(|id| (id, if id == slow { 0 } else { i64::MAX })));
            for more in 0..16 {
                let has_more = |partition: PartitionId| more >> partition.0 & 1 == 1;
                let held = held(&newest, has_more, ahead_max_ms(i64::MAX, 1));
                assert!(held.is_empty(), "a bound that is everything holds nobody");
                let held = super::held(&newest, has_more, 10);
                assert!(newest.keys().any(|id| has_more(*id) && !held.contains(id)) || more == 0);
            }
        }
    }
}
