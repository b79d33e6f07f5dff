//! Reading: the source, and when it is not polled.

use std::collections::BTreeMap;
use std::time::Instant;

use vitral_connect::{Polled, Source};
use vitral_schemas::position::{Offset, PartitionId};

use super::Pipeline;
use super::pace::{PACE_EVERY, Reached};
use crate::config::StreamConfig;
use crate::error::StreamError;

pub(super) struct TopicReader {
    pub(super) source: Box<dyn Source>,
    /// Reading waits for commits.
    pub(super) is_paused: bool,
    /// The last poll brought everything that was there.
    pub(super) is_caught_up: bool,
    /// How far a partition may be ahead of the slowest, when that was last looked at, and where
    /// partitions ended then.
    ahead_max_ms: i64,
    paced: Instant,
    paced_ends: BTreeMap<PartitionId, Offset>,
}

impl TopicReader {
    pub(super) fn new(source: Box<dyn Source>, ahead_max_ms: i64) -> Self {
        let (paced, paced_ends) = (Instant::now(), BTreeMap::new());
        Self { source, is_paused: false, is_caught_up: false, ahead_max_ms, paced, paced_ends }
    }

    pub(super) fn poll(&mut self, config: &StreamConfig) -> Result<Polled, StreamError> {
        let polled = self.source.poll(config.batch_wait, config.batch_rows)?;
        self.is_caught_up = polled.message_count() < config.batch_rows;
        Ok(polled)
    }
}

impl Pipeline {
    /// Whether more may be read. Not to poll is the pause: the source reads ahead within its bound
    /// and then waits too.
    pub(super) fn has_room(&mut self) -> bool {
        let limit = self.context.config.limits.uncommitted_bytes;
        // Going on only at half lets the next commit become a large one.
        let is_full = self.buffer.bytes() + self.processor.looking_up.bytes()
            >= if self.reader.is_paused { limit.div_ceil(2) } else { limit };
        if is_full && !self.reader.is_paused {
            self.context.telemetry.pauses.get_or_create(&self.context.label).inc();
        }
        self.reader.is_paused = is_full;
        if is_full {
            self.state.watermarks.observe_pause();
            // An answer from before the pause says nothing about what came in it.
            self.discovery.ends.forget_question();
        }
        !is_full
    }

    /// Holds back partitions that are far ahead of the slowest, and lets them go on when it has
    /// come nearer.
    pub(super) fn keep_pace(&mut self) {
        if self.reader.paced.elapsed() < PACE_EVERY {
            return;
        }
        self.reader.paced = Instant::now();
        let watermarks = &self.state.watermarks;
        let reached = Reached { newest: watermarks.reached().collect(), open_since: watermarks.open_since() };
        let source = &self.reader.source;
        // One whose broker has not said what it has keeps nobody waiting, nor does one that keeps
        // up with what comes, nor one without events whose broker does not answer.
        let has_more = |partition: PartitionId| {
            let is_silent = reached.newest[&partition].is_none() && self.discovery.ends.is_silent(partition);
            let is_behind = || self.reader.paced_ends.get(&partition).is_some_and(|end| self.read_to(partition) < *end);
            source.is_held(partition) || (!is_silent && is_behind())
        };
        let held = reached.held(has_more, self.reader.ahead_max_ms);
        let ends = reached.newest.keys().filter_map(|id| Some((*id, source.known_end(*id)?))).collect();
        for partition in held.iter().filter(|partition| !source.is_held(**partition)) {
            tracing::info!(
                topic = self.context.topic.name,
                %partition,
                "far ahead of the slowest partition: it waits"
            );
        }
        let count = i64::try_from(held.len()).unwrap_or(i64::MAX);
        self.reader.paced_ends = ends;
        self.reader.source.hold(&held);
        self.context.telemetry.gauges.held_partitions.get_or_create(&self.context.label).set(count);
    }
}
