//! How far event time has come on a topic.
//!
//! Each partition has a watermark of its own, which never goes back: the newest event, or the wall
//! clock if that is earlier, less the topic's delay. A partition that is idle follows the smallest
//! of those that are not; when it wakes, it goes on from where it followed to. The topic's
//! watermark is the smallest of all: it is undefined, so that nothing is late and nothing closes,
//! until every partition has one. While all are idle, nothing moves, except that those without an
//! event join the smallest of the others.
//!
//! Each partition's watermark is committed with its rows, so that a reader of the archive takes the
//! smallest, whichever process wrote which.

use std::collections::BTreeMap;

use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::position::PartitionId;

/// The watermarks of a topic's partitions, and what they are made of.
#[derive(Debug, Clone)]
pub struct Watermarks {
    delay_ms: i64,
    idle_after_ms: i64,
    of_topic: Option<Watermark>,
    /// The oldest of the events that were observed before the topic had a watermark.
    first_event: Option<EventTime>,
    partitions: BTreeMap<PartitionId, Progress>,
}

/// What is known of one partition.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// None until it has an event, or is idle while others have theirs.
    watermark: Option<Watermark>,
    newest_event: Option<EventTime>,
    /// Since when the partition has been read to its end, without a pause; by the steady clock.
    at_end_since_ms: Option<i64>,
    /// When the broker last said where the end is: one that does not answer may have more. By the
    /// steady clock.
    checked_ms: Option<i64>,
}

impl Watermarks {
    /// Of a topic whose partitions trail their newest events by `delay_ms`, and are idle after
    /// `idle_after_ms` at their ends; `of_topic` is what was committed last, if anything was.
    pub fn new(delay_ms: i64, idle_after_ms: i64, of_topic: Option<Watermark>) -> Self {
        Self { delay_ms, idle_after_ms, of_topic, first_event: None, partitions: BTreeMap::new() }
    }

    /// Adds a partition of the topic, with what was committed of it. One that has nothing committed
    /// is raised to the topic's watermark, and holds it from now on until it is seen to have events
    /// or to be idle.
    pub fn add_partition(&mut self, partition: PartitionId, committed: Option<Watermark>) {
        let progress = self.progress(partition);
        progress.watermark = progress.watermark.max(committed);
    }

    fn progress(&mut self, partition: PartitionId) -> &mut Progress {
        let joins_at = || Progress { watermark: self.of_topic, ..Progress::default() };
        self.partitions.entry(partition).or_insert_with(joins_at)
    }

    /// The topic's watermark: the smallest of its partitions'.
    pub fn of_topic(&self) -> Option<Watermark> {
        self.of_topic
    }

    /// The watermark of each partition that has one.
    pub fn by_partition(&self) -> impl Iterator<Item = (PartitionId, Watermark)> + '_ {
        self.partitions.iter().filter_map(|(id, progress)| Some((*id, progress.watermark?)))
    }

    /// An accepted event of the partition. The newest counts, in whatever order they come.
    pub fn observe_event(&mut self, partition: PartitionId, event: EventTime) {
        let progress = self.progress(partition);
        progress.newest_event = progress.newest_event.max(Some(event));
        if self.of_topic.is_none() {
            self.first_event = Some(self.first_event.map_or(event, |first| first.min(event)));
        }
    }

    /// Something was delivered from the partition: it was not at its end.
    pub fn observe_delivery(&mut self, partition: PartitionId) {
        self.progress(partition).at_end_since_ms = None;
    }

    /// The partition was read to its end, where nothing is held back by an open transaction.
    pub fn observe_end(&mut self, partition: PartitionId, steady_ms: i64) {
        let progress = self.progress(partition);
        progress.at_end_since_ms.get_or_insert(steady_ms);
        progress.checked_ms = Some(steady_ms);
    }

    /// The broker says that there is more in the partition than was read.
    pub fn observe_more(&mut self, partition: PartitionId, steady_ms: i64) {
        let progress = self.progress(partition);
        progress.at_end_since_ms = None;
        progress.checked_ms = Some(steady_ms);
    }

    /// Partitions whose broker has not said where they end for half the time that makes them idle.
    pub fn unchecked(&self, steady_ms: i64) -> Vec<PartitionId> {
        let is_old = |progress: &Progress| {
            progress.checked_ms.is_none_or(|checked_ms| steady_ms - checked_ms >= self.idle_after_ms / 2)
        };
        self.partitions.iter().filter(|(_, progress)| is_old(progress)).map(|(id, _)| *id).collect()
    }

    /// Partitions that were read to their end.
    pub fn at_end(&self) -> Vec<PartitionId> {
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

    /// The newest event of each partition that has seen one.
    pub fn newest_events(&self) -> impl Iterator<Item = (PartitionId, EventTime)> + '_ {
        self.partitions.iter().filter_map(|(id, progress)| Some((*id, progress.newest_event?)))
    }

    /// The newest event of every partition; none if it has seen none.
    pub fn reached(&self) -> impl Iterator<Item = (PartitionId, Option<EventTime>)> + '_ {
        self.partitions.iter().map(|(id, progress)| (*id, progress.newest_event))
    }

    /// The time from which windows may be open: the topic's watermark, or before there is one, the
    /// first event.
    pub fn open_since(&self) -> Option<EventTime> {
        self.of_topic.map(|watermark| EventTime::from_ms(watermark.ms())).or(self.first_event)
    }

    /// Partitions that do not hold back the topic's watermark.
    pub fn idle_partitions(&self, steady_ms: i64) -> impl Iterator<Item = PartitionId> + '_ {
        self.partitions
            .iter()
            .filter(move |(_, progress)| is_idle(progress, steady_ms, self.idle_after_ms))
            .map(|(id, _)| *id)
    }

    /// Moves the watermarks as far as the partitions allow; true if the topic's moved. `now_ms` is
    /// the wall clock, which may step back: what is idle goes by `steady_ms`.
    pub fn advance(&mut self, now_ms: i64, steady_ms: i64) -> bool {
        let (delay_ms, idle_after_ms) = (self.delay_ms, self.idle_after_ms);
        let is_idle = |progress: &Progress| is_idle(progress, steady_ms, idle_after_ms);
        let active = self.partitions.values_mut().filter(|progress| !is_idle(progress));
        let raised = active.map(|progress| {
            let own = progress.newest_event.map(|newest| Watermark::behind(newest, now_ms, delay_ms));
            progress.watermark = progress.watermark.max(own);
            progress.watermark
        });
        // None, "not known yet", is the smallest: there is nothing to follow then. If all became
        // idle at once, there is nobody left to follow, and a partition that has had no accepted
        // event would hold the others forever.
        let of_active = raised.min();
        let followed =
            of_active.unwrap_or_else(|| self.partitions.values().filter_map(|progress| progress.watermark).min());
        for progress in self.partitions.values_mut().filter(|progress| is_idle(progress)) {
            progress.watermark = progress.watermark.max(followed);
        }
        let smallest = self.partitions.values().map(|progress| progress.watermark).min().flatten();
        let moved = smallest > self.of_topic;
        self.of_topic = self.of_topic.max(smallest);
        moved
    }
}

fn is_idle(progress: &Progress, steady_ms: i64, idle_after_ms: i64) -> bool {
    let (Some(since_ms), Some(checked_ms)) = (progress.at_end_since_ms, progress.checked_ms) else { return false };
    // The broker itself has said so at the end of that time, and lately.
    checked_ms - since_ms >= idle_after_ms && steady_ms - checked_ms < idle_after_ms * 2 / 3
}

#[cfg(test)]
mod tests;
