//! What a pipeline tells of itself, for readiness and telemetry.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_schemas::health::{Health, Phase};
use vitral_schemas::topic::Topic;

use super::{Context, Pipeline};
use crate::error::StreamError;

const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A topic's part of what the process tells.
pub(super) struct HealthOfTopic {
    shared: Arc<Health>,
    topic: String,
    told: Option<Instant>,
    /// What the broker said last when it was asked: the client library knows an end only from what it fetches.
    ends: BTreeMap<i32, i64>,
}

impl HealthOfTopic {
    pub(super) fn new(context: &Context, topic: &Topic) -> Self {
        let shared = Arc::clone(&context.view.borrow().health);
        shared.topic(&topic.name, |_| ());
        Self { shared, topic: topic.name.clone(), told: None, ends: BTreeMap::new() }
    }

    pub(super) fn shared(&self) -> Arc<Health> {
        Arc::clone(&self.shared)
    }

    /// Where a partition ends, as the broker says; none if it did not answer.
    pub(super) fn end(&mut self, partition: i32, end: Option<i64>) {
        self.ends.extend(end.map(|end| (partition, end)));
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.shared.topic(&self.topic, |topic| {
            topic.phase = phase;
            topic.recovered();
        });
    }

    pub(super) fn failed(&self, error: &dyn Error) {
        self.shared.topic(&self.topic, |topic| topic.failed(words(error)));
    }

    /// The answer to the question for the topic's partitions, before there are any.
    pub(super) fn waits_for_topic(&self, partitions: &Result<Vec<i32>, StreamError>) {
        let reason = match partitions {
            Ok(partitions) if !partitions.is_empty() => return,
            Ok(_) => "the topic does not exist in Kafka yet".to_owned(),
            Err(error) => words(error),
        };
        self.shared.topic(&self.topic, |topic| topic.phase = Phase::Waiting(reason));
    }
}

impl Pipeline {
    /// Tells how far reading and commits have come; the ends are those that the client library knows.
    pub(super) fn tell_health(&mut self) {
        let now = Instant::now();
        if self.health.told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            return;
        }
        self.health.told = Some(now);
        let stands = |(partition, _)| {
            let end = self.source.known_end(partition).max(self.health.ends.get(&partition).copied());
            (partition, self.read_to(partition), end, self.source.is_held(partition))
        };
        let partitions: Vec<_> = self.cycle.next_offsets().into_iter().map(stands).collect();
        // Of several brokers one may be away, which is nobody's trouble while the others answer.
        let is_unanswered = self.ends.is_unanswered;
        let problem = self.source.problem().filter(|problem| problem.is_refusal() || is_unanswered);
        let brokers = &self.context.config.kafka.brokers;
        let kafka = match problem {
            Some(problem) => Some(format!("Kafka at {brokers} cannot be read: {problem}")),
            None => is_unanswered.then(|| format!("Kafka at {brokers} does not answer")),
        };
        self.health.shared.topic(&self.topic.name, |topic| {
            topic.uncommitted = self.cycle.uncommitted_since();
            topic.kafka = kafka;
            for (partition, position, end, is_held) in partitions {
                topic.reads(partition, position, end, now);
                topic.holds(partition, is_held);
            }
        });
    }
}

/// The error and its causes, in one line.
pub(crate) fn words(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
