//! How far event time has come on a topic.
//!
//! A partition's watermark is min(newest event, wall clock) less the topic's delay. The effective watermark M is the
//! smallest over the partitions that are not idle, and never goes back. A partition that is not idle and has seen no
//! event holds M: at first M is undefined, nothing is late and nothing closes. When all are idle, M stays.

use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Watermarks {
    delay_ms: i64,
    idle_after_ms: i64,
    effective_ms: Option<i64>,
    partitions: BTreeMap<i32, Progress>,
}

/// What is known of one partition.
#[derive(Debug, Clone, Default)]
struct Progress {
    newest_event_ms: Option<i64>,
    /// Since when the partition has been read to its end, without a pause; by the steady clock.
    at_end_since_ms: Option<i64>,
    /// When the broker last said where the end is: one that does not answer may have more. By the steady clock.
    checked_ms: Option<i64>,
}

impl Watermarks {
    /// `effective_ms` is the M that was committed last, if any.
    pub fn new(delay_ms: i64, idle_after_ms: i64, effective_ms: Option<i64>) -> Self {
        Self { delay_ms, idle_after_ms, effective_ms, partitions: BTreeMap::new() }
    }

    /// Adds a partition of the topic; from now on it holds M until it is seen to have events or to be idle.
    pub fn add_partition(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default();
    }

    /// M in milliseconds since the epoch.
    pub fn effective_ms(&self) -> Option<i64> {
        self.effective_ms
    }

    /// An accepted event of the partition. The newest counts, in whatever order they come.
    pub fn observe_event(&mut self, partition: i32, event_ms: i64) {
        let progress = self.partitions.entry(partition).or_default();
        progress.newest_event_ms = progress.newest_event_ms.max(Some(event_ms));
    }

    /// Something was delivered from the partition: it was not at its end.
    pub fn observe_delivery(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default().at_end_since_ms = None;
    }

    /// The partition was read to its end, where nothing is held back by an open transaction.
    pub fn observe_end(&mut self, partition: i32, steady_ms: i64) {
        let progress = self.partitions.entry(partition).or_default();
        progress.at_end_since_ms.get_or_insert(steady_ms);
        progress.checked_ms = Some(steady_ms);
    }

    /// The broker says that there is more in the partition than was read.
    pub fn observe_more(&mut self, partition: i32, steady_ms: i64) {
        let progress = self.partitions.entry(partition).or_default();
        progress.at_end_since_ms = None;
        progress.checked_ms = Some(steady_ms);
    }

    /// Partitions whose broker has not said where they end for half the time that makes them idle.
    pub fn unchecked(&self, steady_ms: i64) -> Vec<i32> {
        let is_old = |progress: &Progress| {
            progress.checked_ms.is_none_or(|checked_ms| steady_ms - checked_ms >= self.idle_after_ms / 2)
        };
        self.partitions.iter().filter(|(_, progress)| is_old(progress)).map(|(id, _)| *id).collect()
    }

    /// Partitions that were read to their end.
    pub fn at_end(&self) -> Vec<i32> {
        let at_end = self.partitions.iter().filter(|(_, progress)| progress.at_end_since_ms.is_some());
        at_end.map(|(id, _)| *id).collect()
    }

    /// Paused partitions may have more to read: none of them is idle.
    pub fn observe_pause(&mut self) {
        for progress in self.partitions.values_mut() {
            progress.at_end_since_ms = None;
            // Where it ends must be asked again: nobody says it a second time.
            progress.checked_ms = None;
        }
    }

    /// The newest event of each partition that has seen one, in milliseconds.
    pub fn newest_events(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().filter_map(|(id, progress)| Some((*id, progress.newest_event_ms?)))
    }

    pub fn idle_partitions(&self, steady_ms: i64) -> impl Iterator<Item = i32> + '_ {
        self.partitions.iter().filter(move |(_, progress)| self.is_idle(progress, steady_ms)).map(|(id, _)| *id)
    }

    fn is_idle(&self, progress: &Progress, steady_ms: i64) -> bool {
        let (Some(since_ms), Some(checked_ms)) = (progress.at_end_since_ms, progress.checked_ms) else { return false };
        // The broker itself has said so at the end of that time, and lately.
        checked_ms - since_ms >= self.idle_after_ms && steady_ms - checked_ms < self.idle_after_ms * 2 / 3
    }

    /// Moves M as far as the partitions allow; true if it moved. `now_ms` is the wall clock, which may step back: what is idle goes by
    /// `steady_ms`.
    pub fn advance(&mut self, now_ms: i64, steady_ms: i64) -> bool {
        let mut smallest: Option<i64> = None;
        for progress in self.partitions.values() {
            if self.is_idle(progress, steady_ms) {
                continue;
            }
            let Some(newest_ms) = progress.newest_event_ms else { return false };
            let watermark_ms = newest_ms.min(now_ms) - self.delay_ms;
            smallest = Some(smallest.map_or(watermark_ms, |least| least.min(watermark_ms)));
        }
        let moved = smallest.is_some() && smallest > self.effective_ms;
        if moved {
            self.effective_ms = smallest;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::Watermarks;

    const NOW: i64 = 1_000_000;

    fn two_partitions() -> Watermarks {
        let mut watermarks = Watermarks::new(10_000, 30_000, None);
        watermarks.add_partition(0);
        watermarks.add_partition(1);
        watermarks
    }

    #[test]
    fn undefined_until_every_partition_is_known() {
        let mut watermarks = two_partitions();
        watermarks.observe_event(0, 500_000);
        assert!(!watermarks.advance(NOW, NOW));
        assert_eq!(watermarks.effective_ms(), None);
        watermarks.observe_event(1, 400_000);
        assert!(watermarks.advance(NOW, NOW));
        assert_eq!(watermarks.effective_ms(), Some(390_000));
    }

    #[test]
    fn never_goes_back_and_never_passes_the_clock() {
        let mut watermarks = two_partitions();
        watermarks.observe_event(0, NOW + 59 * 60_000);
        watermarks.observe_event(1, NOW + 59 * 60_000);
        assert!(watermarks.advance(NOW, NOW));
        assert_eq!(watermarks.effective_ms(), Some(NOW - 10_000));
        assert!(!watermarks.advance(NOW - 500_000, NOW - 500_000), "a clock that steps back");
        assert_eq!(watermarks.effective_ms(), Some(NOW - 10_000));
    }

    #[test]
    fn idle_only_at_the_end_for_long_enough_and_not_paused() {
        let mut watermarks = two_partitions();
        watermarks.observe_event(0, 900_000);
        watermarks.observe_end(1, NOW);
        assert!(!watermarks.advance(NOW + 29_999, NOW + 29_999));
        watermarks.observe_more(0, NOW);
        assert_eq!(watermarks.unchecked(NOW + 14_999), Vec::<i32>::new());
        assert_eq!(watermarks.unchecked(NOW + 15_000), vec![0, 1]);
        watermarks.observe_end(1, NOW + 20_000);
        assert!(!watermarks.advance(NOW + 30_000, NOW + 30_000), "a broker that does not answer may have more");
        watermarks.observe_end(1, NOW + 30_000);
        assert!(watermarks.advance(NOW + 30_000, NOW + 30_000), "a second end does not start the time anew");
        assert_eq!(watermarks.effective_ms(), Some(890_000));
        assert_eq!(watermarks.idle_partitions(NOW + 30_000).collect::<Vec<_>>(), vec![1]);
        assert_eq!(watermarks.idle_partitions(NOW + 49_999).count(), 1);
        assert_eq!(watermarks.idle_partitions(NOW + 50_000).count(), 0);

        let mut watermarks = two_partitions();
        watermarks.observe_event(0, 900_000);
        watermarks.observe_end(1, NOW);
        watermarks.observe_pause();
        assert!(!watermarks.advance(NOW + 60_000, NOW + 60_000), "a paused partition must not look idle");

        let mut watermarks = two_partitions();
        watermarks.observe_event(0, 900_000);
        watermarks.observe_end(1, NOW);
        watermarks.observe_delivery(1);
        assert!(!watermarks.advance(NOW + 60_000, NOW + 60_000));
    }

    #[test]
    fn a_wall_clock_that_steps_back_does_not_delay_idleness() {
        let mut watermarks = two_partitions();
        watermarks.observe_event(0, 900_000);
        watermarks.observe_end(1, 0);
        watermarks.observe_end(1, 30_000);
        assert!(watermarks.advance(NOW - 3_600_000, 30_000), "the wall clock is an hour slow");
    }

    #[test]
    fn stays_when_all_are_idle() {
        let mut watermarks = two_partitions();
        for partition in [0, 1] {
            watermarks.observe_event(partition, 500_000);
        }
        watermarks.advance(NOW, NOW);
        for partition in [0, 1] {
            watermarks.observe_event(partition, 600_000);
            watermarks.observe_end(partition, NOW);
            watermarks.observe_end(partition, NOW + 30_000);
        }
        assert!(!watermarks.advance(NOW + 40_000, NOW + 40_000));
        assert_eq!(watermarks.effective_ms(), Some(490_000));
    }
}
