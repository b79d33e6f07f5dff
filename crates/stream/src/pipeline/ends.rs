//! Where partitions end: those that were read to their end are watched, and the broker is asked now
//! and then, since a source marks an end once, whatever begins there later and however long the
//! broker is away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinHandle};
use vitral_connect::{ConnectError, TopicLog};
use vitral_schemas::position::{Offset, PartitionId};

use super::Pipeline;
use crate::error::StreamError;

/// How long to wait for a broker that is asked for a partition's end, and how soon to ask again if
/// it did not answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long the pipeline itself waits for the answers.
const AT_ONCE: Duration = Duration::from_millis(20);

pub(super) struct Ends {
    /// Where the source last said that partitions end.
    marked: BTreeMap<PartitionId, Offset>,
    question: Option<Question>,
    /// When a partition's end was asked for in vain.
    failed: Option<Instant>,
    /// Partitions whose end was asked for in vain, and which have delivered nothing since.
    silent: BTreeSet<PartitionId>,
    /// The last question, for ends or for partitions, was not answered.
    pub(super) is_unanswered: bool,
}

/// Partitions whose ends are asked for on a thread of their own: a broker that is slow must not
/// keep the others from being read.
struct Question {
    /// Before the first answer, by the steady clock.
    asked_ms: i64,
    answers: JoinHandle<Answers>,
}

type Answers = Vec<(PartitionId, Result<Offset, ConnectError>)>;

impl Ends {
    pub(super) fn new() -> Self {
        Self { marked: BTreeMap::new(), question: None, failed: None, silent: BTreeSet::new(), is_unanswered: false }
    }

    pub(super) fn mark(&mut self, partition: PartitionId, end: Offset) {
        self.marked.insert(partition, end);
    }

    /// Whether the broker failed to say where the partition ends.
    pub(super) fn is_silent(&self, partition: PartitionId) -> bool {
        self.silent.contains(&partition)
    }

    /// The broker has delivered something of these partitions.
    pub(super) fn delivered(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        for partition in partitions {
            self.is_unanswered = false;
            self.silent.remove(&partition);
        }
    }

    pub(super) fn forget_question(&mut self) {
        self.question = None;
    }
}

impl Pipeline {
    pub(super) fn check_ends(&mut self) -> Result<(), StreamError> {
        let now_ms = self.context.clock.steady_ms();
        for partition in self.state.watermarks.at_end() {
            // What is behind waits for a transaction, or comes with the next poll.
            if self.reader.source.known_end(partition).is_some_and(|end| self.read_to(partition) < end) {
                self.state.watermarks.observe_more(partition, now_ms);
            }
        }
        if let Some(question) = self.discovery.ends.question.take_if(|question| question.answers.is_finished()) {
            let Question { asked_ms, answers } = question;
            let answers = self.context.runtime.block_on(answers);
            self.take_answers(asked_ms, answers)?;
        }
        let ends = &self.discovery.ends;
        let has_failed = ends.failed.is_some_and(|failed| failed.elapsed() < ASKED_EVERY);
        if !self.reader.is_caught_up || self.reader.is_paused || has_failed || ends.question.is_some() {
            return Ok(());
        }
        let mut wanted = self.state.watermarks.unchecked(now_ms);
        // Questions end at the first that is not answered: those that were not answered before come
        // last.
        wanted.sort_by_key(|partition| ends.is_silent(*partition));
        if !wanted.is_empty() {
            let log = self.reader.source.log();
            let mut answers = self.context.runtime.spawn_blocking(move || ask(&log, wanted));
            // A broker that is well answers at once.
            let at_once = async { tokio::time::timeout(AT_ONCE, &mut answers).await };
            match self.context.runtime.block_on(at_once) {
                Ok(answers) => self.take_answers(now_ms, answers)?,
                Err(_) => self.discovery.ends.question = Some(Question { asked_ms: now_ms, answers }),
            }
        }
        Ok(())
    }

    fn take_answers(&mut self, asked_ms: i64, answers: Result<Answers, JoinError>) -> Result<(), StreamError> {
        let now_ms = self.context.clock.steady_ms();
        let at_end = self.state.watermarks.at_end();
        for (partition, answer) in answers.map_err(|_| StreamError::Ended("the request for partitions' ends"))? {
            let read_to = self.read_to(partition);
            let is_at_end = at_end.contains(&partition);
            let known_end = self.reader.source.known_end(partition);
            let watermarks = &mut self.state.watermarks;
            self.discovery.ends.is_unanswered = answer.is_err();
            self.health.end(partition, answer.as_ref().ok().copied());
            if answer.is_err() {
                self.discovery.ends.silent.insert(partition);
            } else {
                self.discovery.ends.silent.remove(&partition);
            }
            match answer {
                // The broker says what can be read; a fetch, what is there: a transaction that is
                // open holds the rest back.
                Ok(end) if end == read_to && known_end.is_none_or(|known| known <= end) => {
                    // One that was read to its end only since is there from now on.
                    watermarks.observe_end(partition, if is_at_end { asked_ms } else { now_ms });
                }
                // It was read beyond the answer, to an end that is newer.
                Ok(end) if end < read_to && is_at_end => {}
                Ok(_) => watermarks.observe_more(partition, asked_ms),
                Err(error) => {
                    let topic = &self.context.topic.name;
                    tracing::debug!(topic, %partition, %error, "the partition's end is not known right now");
                    self.discovery.ends.failed = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// The offset to read next; of a partition without rows, where its end was seen.
    pub(super) fn read_to(&self, partition: PartitionId) -> Offset {
        let marked = || self.discovery.ends.marked.get(&partition).copied();
        self.buffer.next_offset(partition).or_else(marked).unwrap_or_default()
    }
}

/// Asks for one after another, until one is not answered.
fn ask(log: &Arc<dyn TopicLog>, partitions: Vec<PartitionId>) -> Answers {
    let mut answers = Vec::new();
    for partition in partitions {
        let answer = log.range(partition, ANSWER_WAIT).map(|range| range.end);
        let has_failed = answer.is_err();
        answers.push((partition, answer));
        if has_failed {
            break;
        }
    }
    answers
}
