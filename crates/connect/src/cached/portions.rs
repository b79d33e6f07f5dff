//! Keys that are asked for in portions: what is answered stays, whatever becomes of the others.
//!
//! A portion that is refused because of some key in it is halved until only that key is without an
//! answer. One that was not asked, as its system was left alone, is put off until another call has
//! found the system back.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use crate::{ConnectError, Lookup};

/// Portions that may be refused before any key of the batch is answered: enough to find a hundred
/// bad keys among a thousand, and few enough for a service that refuses everything.
const REFUSED_MAX: usize = 255;
/// This many more portions may fail than are answered: some lost answers are not an outage, but
/// nobody waits for all keys of a system that is neither there nor away.
const FAILED_MAX: usize = 32;

/// One row for each key.
pub(super) struct Gathered {
    /// Of nulls where there is no answer.
    pub(super) rows: RecordBatch,
    /// Whether the key has an answer, which may be that it is unknown.
    pub(super) is_answered: BooleanArray,
    /// Why some have none.
    pub(super) error: Option<ConnectError>,
}

/// What has become of the keys so far.
#[derive(Default)]
struct Progress {
    waiting: VecDeque<Range<usize>>,
    /// Portions that were not asked.
    put_off: Vec<Range<usize>>,
    answered: Vec<(Range<usize>, RecordBatch)>,
    refused: usize,
    failed: usize,
    error: Option<ConnectError>,
}

/// Asks for all keys, `calls` portions at a time at most; `permits` are shared with others who ask.
pub(super) async fn gather(
    inner: &dyn Lookup,
    permits: &Semaphore,
    keys: &ArrayRef,
    nothing: RecordBatch,
) -> Result<Gathered, ConnectError> {
    let portion = inner.portion();
    let firsts = (0..keys.len()).step_by(portion.keys.max(1));
    let portions = firsts.map(|first| first..first.saturating_add(portion.keys.max(1)).min(keys.len()));
    let mut progress = Progress { waiting: portions.collect(), ..Progress::default() };
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < portion.calls.max(1)
            && let Some(part) = progress.waiting.pop_front()
        {
            running.push(ask(inner, permits, keys, part));
        }
        let Some((part, outcome)) = running.next().await else { break };
        progress.take(part, outcome);
    }
    progress.gathered(keys.len(), nothing)
}

async fn ask(
    inner: &dyn Lookup,
    permits: &Semaphore,
    keys: &ArrayRef,
    part: Range<usize>,
) -> (Range<usize>, Result<RecordBatch, ConnectError>) {
    // Waiting for others is not a part of the time that an answer may take.
    let _permit = permits.acquire().await;
    let outcome = inner.get(&keys.slice(part.start, part.len())).await;
    let outcome = outcome.and_then(|rows| match rows.num_rows() == part.len() {
        true => Ok(rows),
        false => Err(ConnectError::permanent(format!("{} rows for {} keys", rows.num_rows(), part.len()))),
    });
    (part, outcome)
}

impl Progress {
    fn take(&mut self, part: Range<usize>, outcome: Result<RecordBatch, ConnectError>) {
        let error = match outcome {
            Ok(rows) => {
                self.answered.push((part, rows));
                self.waiting.extend(self.put_off.drain(..));
                return;
            }
            Err(error) => error,
        };
        if error.is_of_keys() && part.len() > 1 {
            self.refused += 1;
            if !self.answered.is_empty() || self.refused <= REFUSED_MAX {
                let middle = part.start + part.len() / 2;
                self.waiting.extend([part.start..middle, middle..part.end]);
                return;
            }
        }
        if error.is_unasked() {
            self.put_off.push(part);
        } else if !error.is_of_keys() {
            self.failed += 1;
            if self.failed > self.answered.len() + FAILED_MAX {
                self.waiting.clear();
            }
        }
        // The first says most: what follows is often that nothing was asked.
        self.error.get_or_insert(error);
    }

    fn gathered(mut self, keys: usize, nothing: RecordBatch) -> Result<Gathered, ConnectError> {
        if let [(part, _)] = self.answered.as_slice()
            && part.len() == keys
            && let Some((_, rows)) = self.answered.pop()
        {
            return Ok(Gathered { rows, is_answered: BooleanArray::from(vec![true; keys]), error: None });
        }
        let mut places = vec![(0, 0); keys];
        let mut batches = vec![nothing];
        for (part, rows) in self.answered {
            let batch = batches.len();
            batches.push(rows);
            for (row, place) in places[part].iter_mut().enumerate() {
                *place = (batch, row);
            }
        }
        let is_answered = places.iter().map(|(batch, _)| Some(*batch > 0)).collect();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let rows = interleave_record_batch(&batches, &places).map_err(ConnectError::permanent)?;
        Ok(Gathered { rows, is_answered, error: self.error })
    }
}

#[cfg(test)]
mod tests;
