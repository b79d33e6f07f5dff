//! Which partitions there are, and where they end: those that were read to their end are watched, and the broker is asked now and then, since the client library marks
//! an end once, whatever begins there later and however long the broker is away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinHandle};

use super::Pipeline;
use crate::committer::Job;
use crate::error::StreamError;
use crate::kafka::Asker;

/// How long to wait for a broker that is asked for a partition's end, and how soon to ask again if it did not answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long the pipeline itself waits for the answers.
const AT_ONCE: Duration = Duration::from_millis(20);

pub(super) struct Ends {
    /// Where the client library last said that partitions end.
    pub(super) marked: BTreeMap<i32, i64>,
    pub(super) question: Option<Question>,
    /// When a partition's end was asked for in vain.
    failed: Option<Instant>,
    /// The last question, for ends or for partitions, was not answered.
    pub(super) is_unanswered: bool,
    /// Which partitions there are.
    partitions: Option<JoinHandle<Result<Vec<i32>, StreamError>>>,
    partitions_asked: Instant,
}

/// Partitions whose ends are asked for on a thread of their own: a broker that is slow must not keep the others from being read.
pub(super) struct Question {
    /// Before the first answer, by the steady clock.
    asked_ms: i64,
    answers: JoinHandle<Answers>,
}

type Answers = Vec<(i32, Result<i64, StreamError>)>;

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            marked: BTreeMap::new(),
            question: None,
            failed: None,
            is_unanswered: false,
            partitions: None,
            partitions_asked: Instant::now(),
        }
    }
}

impl Pipeline {
    pub(super) fn check_ends(&mut self) -> Result<(), StreamError> {
        let now_ms = self.context.clock.steady_ms();
        for partition in self.watermarks.at_end() {
            // What is behind waits for a transaction, or comes with the next poll.
            if self.source.known_end(partition).is_some_and(|end| self.read_to(partition) < end) {
                self.watermarks.observe_more(partition, now_ms);
            }
        }
        if let Some(question) = self.ends.question.take_if(|question| question.answers.is_finished()) {
            let Question { asked_ms, answers } = question;
            let answers = self.context.runtime.block_on(answers);
            self.take_answers(asked_ms, answers)?;
        }
        let has_failed = self.ends.failed.is_some_and(|failed| failed.elapsed() < ASKED_EVERY);
        if !self.caught_up || self.paused || has_failed || self.ends.question.is_some() {
            return Ok(());
        }
        let wanted = self.watermarks.unchecked(now_ms);
        if !wanted.is_empty() {
            let asker = self.source.asker();
            let mut answers = self.context.runtime.spawn_blocking(move || ask(&asker, wanted));
            // A broker that is well answers at once.
            let at_once = async { tokio::time::timeout(AT_ONCE, &mut answers).await };
            match self.context.runtime.block_on(at_once) {
                Ok(answers) => self.take_answers(now_ms, answers)?,
                Err(_) => self.ends.question = Some(Question { asked_ms: now_ms, answers }),
            }
        }
        Ok(())
    }

    fn take_answers(&mut self, asked_ms: i64, answers: Result<Answers, JoinError>) -> Result<(), StreamError> {
        let now_ms = self.context.clock.steady_ms();
        let at_end = self.watermarks.at_end();
        for (partition, answer) in answers.map_err(|_| StreamError::Gone("the question for partitions' ends"))? {
            let read_to = self.read_to(partition);
            self.health.end(partition, answer.as_ref().ok().copied());
            self.ends.is_unanswered = answer.is_err();
            match answer {
                // The broker says what can be read; a fetch, what is there: a transaction that is open holds the rest back.
                Ok(end) if end == read_to && self.source.known_end(partition).is_none_or(|known| known <= end) => {
                    // One that was read to its end only since is there from now on.
                    let end_ms = if at_end.contains(&partition) { asked_ms } else { now_ms };
                    self.watermarks.observe_end(partition, end_ms);
                }
                // It was read beyond the answer, to an end that is newer.
                Ok(end) if end < read_to && at_end.contains(&partition) => {}
                Ok(_) => self.watermarks.observe_more(partition, asked_ms),
                Err(error) => {
                    tracing::debug!(topic = self.topic.name, partition, %error, "the partition's end is not known right now");
                    self.ends.failed = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// Adds partitions that the topic has gained.
    pub(super) fn ask_for_partitions(&mut self) -> Result<(), StreamError> {
        if self.job_in_flight {
            return Ok(());
        }
        let Some(answer) = self.ends.partitions.take_if(|answer| answer.is_finished()) else {
            let is_due = self.ends.partitions_asked.elapsed() >= self.context.config.partitions_every;
            if is_due && self.ends.partitions.is_none() {
                let asker = self.source.asker();
                self.ends.partitions = Some(self.context.runtime.spawn_blocking(move || asker.partitions()));
            }
            return Ok(());
        };
        let answer = self.context.runtime.block_on(answer);
        let answer = answer.map_err(|_| StreamError::Gone("the question for the topic's partitions"))?;
        self.ends.is_unanswered = answer.is_err();
        let known = match answer {
            Ok(partitions) => partitions,
            // A broker that is away is no reason to stop: the client library goes on trying.
            Err(error) => {
                tracing::warn!(topic = self.topic.name, %error, "the topic's partitions are not known right now");
                Vec::new()
            }
        };
        match known.into_iter().find(|partition| !self.cycle.has_partition(*partition)) {
            // The next one is asked for at once.
            Some(partition) => self.submit(Job::AddPartition(partition)),
            None => {
                self.ends.partitions_asked = Instant::now();
                Ok(())
            }
        }
    }

    /// The offset to read next; of a partition without rows, where its end was seen.
    pub(super) fn read_to(&self, partition: i32) -> i64 {
        let marked = || self.ends.marked.get(&partition).copied();
        self.cycle.next_offset(partition).or_else(marked).unwrap_or_default()
    }
}

/// Asks for one after another, until one is not answered.
fn ask(asker: &Asker, partitions: Vec<i32>) -> Answers {
    let mut answers = Vec::new();
    for partition in partitions {
        let answer = asker.range(partition, ANSWER_WAIT).map(|(_, end)| end);
        let has_failed = answer.is_err();
        answers.push((partition, answer));
        if has_failed {
            break;
        }
    }
    answers
}
