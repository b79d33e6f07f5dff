//! Look-ups between verdict and fold: what was classified waits here, in order, until its looked-up
//! columns are there.
//!
//! Reading and classifying go on meanwhile. What is folded and committed is always everything up to
//! some poll: a commit carries the offsets and watermarks as they stood before the oldest poll that
//! still waits, so that no window closes over rows that are not in it, and a crash reads again what
//! was not committed. A catalog without look-ups passes through without waiting.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use futures::FutureExt;
use tokio::task::JoinHandle;
use vitral_connect::{LookedUp, TopicLookups};
use vitral_panes::watermark::Watermarks;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::Verdict;

use super::Pipeline;
use super::commit_buffer::bytes_of;
use crate::archive_rows::FIRST_OWN_COLUMN;
use crate::batch::PartitionRows;
use crate::error::StreamError;

/// Polls that may wait. More would hide for longer that a system is slow, and hold more rows in
/// memory; with fewer, reading pauses for every answer.
const WAITING_MAX: usize = 8;

/// Rows with their verdicts, on their way to the states and the archive.
pub(super) struct ClassifiedBatch {
    /// The topic's columns.
    pub(super) rows: RecordBatch,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) partitions: Vec<PartitionRows>,
    /// The same as the archive has them.
    pub(super) archived: RecordBatch,
}

/// What one poll brought.
#[derive(Default)]
pub(super) struct PollRows {
    pub(super) batches: Vec<ClassifiedBatch>,
    /// Ranges that were never delivered, as the archive has them.
    pub(super) gaps: Option<RecordBatch>,
}

/// How far reading had come before a poll: what may be committed while it waits.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) next_offsets: BTreeMap<PartitionId, Option<Offset>>,
    pub(super) watermarks: Watermarks,
}

/// The polls that wait, in their order.
pub(super) struct LookUpQueue {
    lookups: TopicLookups,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

struct Waiting {
    standing: Standing,
    rows: PollRows,
    found: Vec<Answer>,
    since: Instant,
    bytes: usize,
}

enum Answer {
    There(Result<LookedUp, ArrowError>),
    Coming(JoinHandle<Result<LookedUp, ArrowError>>),
}

impl Answer {
    fn is_there(&self) -> bool {
        match self {
            Self::There(_) => true,
            Self::Coming(task) => task.is_finished(),
        }
    }
}

impl LookUpQueue {
    pub(super) fn new(lookups: TopicLookups) -> Self {
        Self { lookups, waiting: VecDeque::new(), bytes: 0 }
    }

    /// Whether nothing of the topic is looked up.
    pub(super) fn is_off(&self) -> bool {
        self.lookups.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Of the rows that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest rows wait.
    pub(super) fn since(&self) -> Option<Instant> {
        self.waiting.front().map(|poll| poll.since)
    }

    /// What may be committed: everything before the oldest poll that waits; none if all is taken
    /// in.
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.waiting.front().map(|poll| &poll.standing)
    }

    /// Begins to look up; what is at hand is there at once.
    fn ask(&self, runtime: &tokio::runtime::Handle, batch: &ClassifiedBatch) -> Answer {
        let (lookups, rows) = (self.lookups.clone(), batch.rows.clone());
        let counts: BooleanArray = batch.verdicts.iter().map(|verdict| Some(*verdict == Verdict::Counted)).collect();
        let mut work = async move { lookups.find(&rows, &counts).await }.boxed();
        let _runtime = runtime.enter();
        match (&mut work).now_or_never() {
            Some(found) => Answer::There(found),
            None => Answer::Coming(runtime.spawn(work)),
        }
    }

    fn push(&mut self, runtime: &tokio::runtime::Handle, standing: Standing, rows: PollRows) {
        let found = rows.batches.iter().map(|batch| self.ask(runtime, batch)).collect();
        let bytes = rows.batches.iter().map(|batch| bytes_of(&batch.archived)).sum();
        self.bytes += bytes;
        self.waiting.push_back(Waiting { standing, rows, found, since: Instant::now(), bytes });
    }

    fn pop_answered(&mut self) -> Option<Waiting> {
        let is_answered = self.waiting.front()?.found.iter().all(Answer::is_there);
        let poll = is_answered.then(|| self.waiting.pop_front()).flatten()?;
        self.bytes -= poll.bytes;
        Some(poll)
    }

    /// Waits until the oldest poll is answered, at most for `wait`.
    async fn answered(&mut self, wait: Duration) {
        let Some(front) = self.waiting.front_mut() else { return };
        let all = async {
            for answer in &mut front.found {
                if let Answer::Coming(task) = answer {
                    let found = task.await.unwrap_or_else(|error| Err(ArrowError::ExternalError(Box::new(error))));
                    *answer = Answer::There(found);
                }
            }
        };
        // What is not there yet goes on.
        let _ = tokio::time::timeout(wait, all).await;
    }
}

impl Pipeline {
    /// How far reading has come, before a poll is classified; none where nothing is looked up.
    pub(super) fn standing_before(&self) -> Option<Standing> {
        if self.processor.looking_up.is_off() {
            return None;
        }
        Some(Standing { next_offsets: self.buffer.next_offsets().clone(), watermarks: self.state.watermarks.clone() })
    }

    /// What a commit may say: the watermarks of what is folded.
    pub(super) fn folded_watermarks(&self) -> &Watermarks {
        self.processor.looking_up.standing().map_or(&self.state.watermarks, |standing| &standing.watermarks)
    }

    /// Lets a poll wait for its look-ups, and takes in what is there.
    pub(super) fn look_up(&mut self, standing: Standing, rows: PollRows) -> Result<(), StreamError> {
        if rows.batches.is_empty() && rows.gaps.is_none() && self.processor.looking_up.is_empty() {
            return Ok(());
        }
        self.processor.looking_up.push(&self.context.runtime, standing, rows);
        self.take_in_answered()
    }

    /// Takes in, in order, all polls whose look-ups are there.
    pub(super) fn take_in_answered(&mut self) -> Result<(), StreamError> {
        while let Some(poll) = self.processor.looking_up.pop_answered() {
            let found = self.context.runtime.block_on(answers(poll.found));
            for (batch, found) in poll.rows.batches.into_iter().zip(found) {
                let failed = |source: ArrowError| self.context.failed("looked up", source.into());
                let found = found.map_err(failed)?;
                let rows = found.put_into(&batch.rows, 0).map_err(failed)?;
                let archived = found.put_into(&batch.archived, FIRST_OWN_COLUMN).map_err(failed)?;
                self.count_lookups(&found);
                self.take_in(ClassifiedBatch { rows, archived, ..batch })?;
            }
            if let Some(gaps) = poll.rows.gaps {
                self.buffer.push(gaps);
            }
        }
        Ok(())
    }

    /// Waits for the oldest poll's look-ups, at most for `wait`, and takes in what is there.
    pub(super) fn wait_for_lookups(&mut self, wait: Duration) -> Result<(), StreamError> {
        let runtime = self.context.runtime.clone();
        runtime.block_on(self.processor.looking_up.answered(wait));
        self.take_in_answered()
    }

    /// Waits for all look-ups: each ends by itself, answered or not.
    pub(super) fn finish_lookups(&mut self) -> Result<(), StreamError> {
        while !self.processor.looking_up.is_empty() {
            self.wait_for_lookups(Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn count_lookups(&mut self, found: &LookedUp) {
        for (column, counts) in found.counts() {
            let Some(column) = self.context.topic.columns.get(*column) else { continue };
            self.state.lookups.add(&column.name, *counts);
            self.context.telemetry.lookups.add(&self.context.topic.name, &column.name, *counts);
        }
    }
}

async fn answers(found: Vec<Answer>) -> Vec<Result<LookedUp, ArrowError>> {
    let mut all = Vec::with_capacity(found.len());
    for answer in found {
        all.push(match answer {
            Answer::There(found) => found,
            Answer::Coming(task) => task.await.unwrap_or_else(|error| Err(ArrowError::ExternalError(Box::new(error)))),
        });
    }
    all
}
