//! What a pipeline reports of itself, for readiness and telemetry.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_connect::{ConnectError, with_causes};
use vitral_schemas::health::{Health, Phase};
use vitral_schemas::position::{Offset, PartitionId};

use super::Pipeline;
use super::context::TopicContext;

const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A topic's part of what the process reports.
pub(super) struct HealthReporter {
    shared: Arc<Health>,
    topic: String,
    reported: Option<Instant>,
    /// What the broker said last when it was asked: the source knows an end only from what it
    /// fetches.
    ends: BTreeMap<PartitionId, Offset>,
}

impl HealthReporter {
    pub(super) fn new(context: &TopicContext) -> Self {
        let topic = &context.topic;
        let shared = Arc::clone(&context.view.borrow().health);
        shared.topic(&topic.name, |_| ());
        Self { shared, topic: topic.name.clone(), reported: None, ends: BTreeMap::new() }
    }

    pub(super) fn shared(&self) -> Arc<Health> {
        Arc::clone(&self.shared)
    }

    /// Where a partition ends, as the broker says; none if it did not answer.
    pub(super) fn end(&mut self, partition: PartitionId, end: Option<Offset>) {
        self.ends.extend(end.map(|end| (partition, end)));
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.shared.topic(&self.topic, |topic| {
            (topic.phase, topic.is_absent) = (phase, false);
            topic.recovered();
        });
    }

    pub(super) fn failed(&self, error: &dyn Error) {
        self.shared.topic(&self.topic, |topic| topic.failed(with_causes(error)));
    }

    /// The answer to the request for the topic's partitions, before there are any.
    pub(super) fn waits_for_topic(&self, partitions: &Result<Vec<PartitionId>, ConnectError>) {
        let reason = match partitions {
            Ok(partitions) if !partitions.is_empty() => return,
            Ok(_) => "the topic does not exist in Kafka yet".to_owned(),
            Err(error) => with_causes(error),
        };
        self.shared.topic(&self.topic, |topic| {
            (topic.phase, topic.is_absent) = (Phase::Waiting(reason), partitions.is_ok());
        });
    }
}

impl Pipeline {
    /// How far reading and commits have come; the ends are those that the source knows.
    pub(super) fn report_health(&mut self) {
        let now = Instant::now();
        if self.health.reported.is_some_and(|reported| now.duration_since(reported) < REPORT_EVERY) {
            return;
        }
        self.health.reported = Some(now);
        let source = &self.reader.source;
        let stands = |partition: &PartitionId| {
            let end = source.known_end(*partition).max(self.health.ends.get(partition).copied());
            let committed = self.buffer.committed_offset(*partition);
            let has_rows = self.buffer.next_offset(*partition).is_some();
            let offsets = (self.read_to(*partition), end, (committed, has_rows));
            (*partition, offsets, source.is_held(*partition))
        };
        let partitions: Vec<_> = self.buffer.next_offsets().keys().map(stands).collect();
        let broker = self.broker_trouble();
        self.health.shared.topic(&self.context.topic.name, |topic| {
            topic.kafka = broker;
            topic.uncommitted = self.buffer.uncommitted_since().or(self.processor.looking_up.since());
            topic.is_settled = topic.uncommitted.is_none() && !self.committer.is_busy();
            for (partition, (position, end, (committed, has_rows)), is_held) in partitions {
                topic.reads(partition, position, end, now);
                topic.commits(partition, committed, has_rows);
                topic.holds(partition, is_held);
            }
        });
    }
    /// Of several brokers one may be away, which does not matter while the others answer.
    fn broker_trouble(&self) -> Option<String> {
        let is_unanswered = self.discovery.ends.is_unanswered;
        let problem = self.reader.source.problem();
        match problem.filter(|problem| !problem.is_worth_a_retry() || is_unanswered) {
            Some(problem) => Some(format!("{} cannot be read: {problem}", self.context.connector.name())),
            None => is_unanswered.then(|| self.context.does_not_answer()),
        }
    }
}
