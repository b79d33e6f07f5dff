//! Partitions far ahead of the slowest wait for it.
//!
//! The watermark is the slowest partition's: what the others are ahead of it stays in memory, as
//! open panes and known event ids. With a backlog of days that is days of both, so a partition that
//! is further ahead than its windows need is held back until the slowest has come nearer. The
//! slowest is never held, and one that has read what there was a moment ago holds nobody: something
//! is always read.
//!
//! A partition without any accepted event holds the watermark back too, and how far it has come is
//! not known. While there is more of it to read, it counts as if it stood where the oldest open
//! windows may begin. It is never held itself.

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

/// How far a topic's partitions have come.
pub(super) struct Reached {
    /// The newest event of each; none if it has seen no accepted event.
    pub(super) newest: BTreeMap<PartitionId, Option<EventTime>>,
    /// The time from which windows may be open.
    pub(super) open_since: Option<EventTime>,
}

impl Reached {
    /// Which partitions must wait, by whether each is behind what the broker has.
    pub(super) fn held(&self, has_more: impl Fn(PartitionId) -> bool, ahead_max_ms: i64) -> BTreeSet<PartitionId> {
        let with_more = self.newest.iter().filter(|(partition, _)| has_more(**partition));
        let slowest = with_more.filter_map(|(_, newest)| newest.or(self.open_since)).min();
        let Some(slowest) = slowest else { return BTreeSet::new() };
        let is_ahead = |newest: EventTime| newest.ms().saturating_sub(slowest.ms()) > ahead_max_ms;
        self.newest.iter().filter(|(_, newest)| newest.is_some_and(is_ahead)).map(|(partition, _)| *partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest event of partitions 0, 1 and so on, in milliseconds; windows are open since
    /// 1,000.
    fn reached<const N: usize>(newest_ms: [Option<i64>; N]) -> Reached {
        let newest = (0..).map(PartitionId).zip(newest_ms.map(|ms| ms.map(EventTime::from_ms))).collect();
        Reached { newest, open_since: Some(EventTime::from_ms(1_000)) }
    }

    fn partitions<const N: usize>(ids: [i32; N]) -> BTreeSet<PartitionId> {
        ids.map(PartitionId).into()
    }

    #[test]
    fn those_too_far_ahead_of_the_slowest_wait() {
        let all = reached([Some(1_000), Some(5_000), Some(1_400)]);
        let ahead = partitions([1]);
        assert_eq!(all.held(|_| true, 500), ahead);
        assert_eq!(all.held(|_| true, 4_000), partitions([]), "not too far");
        assert_eq!(all.held(|partition| partition.0 != 0, 500), ahead, "the next slowest counts");
        assert_eq!(all.held(|partition| partition.0 == 1, 500), partitions([]), "the others are at their ends");
        assert_eq!(all.held(|_| false, 500), partitions([]), "all are");
        assert_eq!(reached([]).held(|_| true, 500), partitions([]));
    }

    #[test]
    fn one_without_events_is_the_slowest_while_there_is_more_of_it() {
        let all = reached([None, Some(5_000), Some(1_400)]);
        assert_eq!(all.held(|_| true, 500), partitions([1]));
        assert_eq!(all.held(|partition| partition.0 == 0, 300), partitions([1, 2]), "the others are at their ends");
        assert_eq!(all.held(|partition| partition.0 != 0, 3_700), partitions([]), "it is at its end, or silent");
        assert_eq!(all.held(|_| true, 4_000), partitions([]), "not too far");
        let first = Reached { open_since: None, ..reached([None, None]) };
        assert_eq!(first.held(|_| true, 500), partitions([]), "none has seen any");
    }

    #[test]
    fn the_slowest_of_those_with_more_is_never_held() {
        let times = [None, Some(0), Some(1_500), Some(i64::MAX)];
        for index in 0..64 {
            let all = reached([times[index % 4], times[index / 4 % 4], times[index / 16]]);
            for more in 1..8 {
                let has_more = |partition: PartitionId| more >> partition.0 & 1 == 1;
                let held = all.held(has_more, ahead_max_ms(i64::MAX, 1));
                assert!(held.is_empty(), "a bound that is everything holds nobody");
                let held = all.held(has_more, 10);
                assert!(all.newest.keys().any(|id| has_more(*id) && !held.contains(id)), "{:?}: {held:?}", all.newest);
            }
        }
    }
}
