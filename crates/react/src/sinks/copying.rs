//! One sink: its last epoch is sent, then the next one is made of what has changed since.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_catalog::{Needs, SinkConnector, View};
use vitral_connect::{RetryPolicy, Sink, with_causes};
use vitral_query::{Principal, ReadPoint, Reader, State};
use vitral_store::sinks::SinkEpoch;

use super::changes::{Changes, Known};
use super::open::{Open, base_of};
use super::{Shared, SinkError};
use crate::rule::{failure_of_input, is_not_there_yet};
use crate::versions::versions;

/// How often to look for a commit.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A target that is away is tried again, at last once a minute, for as long as it takes.
const RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_secs(1), Duration::from_secs(60));
/// Each epoch is a commit here and one there; more of them would cost more and show little more.
const EPOCH_EVERY_MS: i64 = 1_000;
/// Redshift loads much at once better than little often.
const REDSHIFT_EVERY_MS: i64 = 60_000;
/// What reads a clock or a file is looked at this often, even if no row has changed.
const UNSTEADY_EVERY_MS: i64 = 10_000;
/// Rows of one epoch: what a target takes in one transaction, and what is in memory here meanwhile.
/// The rest is the next epoch.
const EPOCH_ROWS_MAX: usize = 50_000;
const REDSHIFT_ROWS_MAX: usize = 500_000;
/// A view and its target.
#[derive(Debug)]
pub(super) struct Copying {
    view: View,
    key: Vec<String>,
    /// As the view names it.
    connection: Option<String>,
    has_history: bool,
    pace: Pace,
    needs: Needs,
    is_steady: bool,
    target: Arc<dyn Sink>,
    /// None until it is opened, and after a failure.
    open: Option<Open>,
}

/// How much is sent how often.
#[derive(Debug, Clone, Copy)]
struct Pace {
    every_ms: i64,
    rows_max: usize,
    /// Whether that holds for the rest of much that has changed at once, too.
    is_strict: bool,
}

impl Copying {
    pub fn new(
        view: &View,
        sink: &vitral_catalog::Sink,
        target: Arc<dyn Sink>,
        reader: &Reader,
    ) -> Result<Self, SinkError> {
        let needs = reader.needs(&view.query, &view.source)?;
        let is_steady = reader.is_steady(&view.query, &needs);
        let pace = match sink.connector {
            SinkConnector::Redshift => {
                Pace { every_ms: REDSHIFT_EVERY_MS, rows_max: REDSHIFT_ROWS_MAX, is_strict: true }
            }
            _ => Pace { every_ms: EPOCH_EVERY_MS, rows_max: EPOCH_ROWS_MAX, is_strict: false },
        };
        let (view, key, connection) = (view.clone(), sink.key.clone(), sink.connection.clone());
        Ok(Self { view, key, connection, has_history: sink.has_history, pace, needs, is_steady, target, open: None })
    }

    pub fn name(&self) -> &str {
        &self.view.name
    }

    /// Runs until it is dropped.
    pub async fn run(&mut self, shared: &Shared) {
        // What an earlier run left may be half done.
        self.open = None;
        let mut attempts = RETRIES.attempts();
        let mut said = String::new();
        loop {
            let started = Instant::now();
            let wait = match self.poll(shared).await {
                Ok(has_more) => {
                    if attempts.have_failed() {
                        tracing::info!(sink = self.name(), "the sink has resumed");
                        attempts = RETRIES.attempts();
                        said.clear();
                    }
                    shared.health().task(super::Sinks::NAME, vitral_schemas::health::TaskHealth::done);
                    // Comparisons take half of one processor at most.
                    if has_more { Duration::ZERO } else { POLL_EVERY.max(started.elapsed()) }
                }
                Err(error) => {
                    let reason = with_causes(&error);
                    if reason != said {
                        let (sink, place, connection) = (self.name(), self.view.source.to_string(), &self.connection);
                        tracing::error!(sink, place, connection, reason, "the sink has stalled; trying again");
                        said = reason;
                    }
                    attempts.failed().unwrap_or(RETRIES.longest)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends what waits, and makes and sends the next epoch; whether there is more to be done at
    /// once.
    pub async fn poll(&mut self, shared: &Shared) -> Result<bool, SinkError> {
        let outcome = self.advance(shared).await;
        shared.health().sink(&self.view.name, |health| {
            match &outcome {
                Ok(_) => health.failing = None,
                Err(error) => {
                    health.failures += 1;
                    health.failing = Some(with_causes(error));
                }
            }
            if let Some(open) = &self.open {
                health.committed = open.last.unwrap_or_default();
                health.sent = if open.waiting.is_some() { open.sent.unwrap_or_default() } else { health.committed };
            }
            let is_behind = outcome.is_err() || health.sent < health.committed;
            health.waiting = if is_behind { health.waiting.or(Some(Instant::now())) } else { None };
        });
        if matches!(outcome, Err(SinkError::Store(_))) {
            // Whether a commit is there after all is read at the next attempt; and so is what
            // another process may have committed.
            self.open = None;
        }
        if let (Err(SinkError::Target(_)), Some(open)) = (&outcome, &mut self.open) {
            // What comes back may not be what went away.
            open.is_asked = false;
        }
        outcome
    }

    async fn advance(&mut self, shared: &Shared) -> Result<bool, SinkError> {
        if self.open.is_none() {
            self.open = Some(Open::read(shared, &self.view.name).await?);
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        if open.last.is_none() && !self.has_history {
            // From here on: what is there already is not sent.
            return self.begin(shared).await;
        }
        if open.waiting.is_some() {
            // From here on, as the target may take it and say nothing for long.
            shared.health().sink(&self.view.name, |health| health.waiting = health.waiting.or(Some(Instant::now())));
        }
        if !open.is_asked {
            open.ask(self.target.as_ref(), &self.view.name).await?;
        }
        open.send(self.target.as_ref(), &self.view.name).await?;
        let Some((changes, versions, state)) = self.compare(shared, self.pace.rows_max).await? else {
            return Ok(false);
        };
        let Some(open) = &mut self.open else { return Ok(false) };
        let (has_more, has_changed) = (changes.has_more, !changes.is_empty());
        if has_changed {
            open.commit(changes, versions, shared.inputs.clock.now_ms()).await?;
        }
        open.read = (!has_more).then_some(state);
        open.read_steady_ms = Some(shared.inputs.clock.steady_ms());
        shared.health().sink(&self.view.name, |health| {
            health.rows = open.known.as_ref().map_or(0, Known::len) as u64;
            health.committed = open.last.unwrap_or_default();
            if open.waiting.is_some() {
                health.waiting = health.waiting.or(Some(Instant::now()));
            }
        });
        open.send(self.target.as_ref(), &self.view.name).await?;
        open.rebase(shared.inputs.clock.now_ms()).await?;
        Ok(has_more)
    }

    /// The first commit of a sink that starts now.
    async fn begin(&mut self, shared: &Shared) -> Result<bool, SinkError> {
        let Some((changes, versions, state)) = self.compare(shared, usize::MAX).await? else { return Ok(false) };
        let Some(open) = &mut self.open else { return Ok(false) };
        let Some(known) = &mut open.known else { return Ok(false) };
        known.apply(&changes);
        let base = SinkEpoch { versions, ..base_of(known, 0, shared.inputs.clock.now_ms())? };
        open.log.begin(&base).await?;
        (open.last, open.read, open.read_steady_ms) =
            (Some(base.number), Some(state), Some(shared.inputs.clock.steady_ms()));
        Ok(false)
    }

    /// What has changed among the committed rows; none if nothing can have, or they are not known
    /// yet.
    async fn compare(&mut self, shared: &Shared, max: usize) -> Result<Option<(Changes, String, State)>, SinkError> {
        let Some(point) = shared.point() else { return Ok(None) };
        let Some(open) = &mut self.open else { return Ok(None) };
        let lacking = || failure_of_input(&self.needs, &point).map(SinkError::Input);
        if let Some(error) = lacking() {
            // Once it is well again, it is read again.
            open.read = None;
            return Err(error);
        }
        let state = State::of_rows_read(&point, &self.needs);
        let since_ms = open.read_steady_ms.map(|last| shared.inputs.clock.steady_ms().saturating_sub(last));
        if let Some(since_ms) = since_ms {
            let is_same = open.read.as_ref() == Some(&state) && (self.is_steady || since_ms < UNSTEADY_EVERY_MS);
            let waits = self.pace.is_strict || open.read.is_some();
            if is_same || (since_ms < self.pace.every_ms && waits) {
                return Ok(None);
            }
        }
        let work = open.changes(shared, &self.view, &self.needs, &self.key, &point, max);
        match shared.reader.bounded(work).await {
            Ok(changes) => {
                // Now that its open windows were computed, more may be known of a metric.
                if let Some(error) = lacking() {
                    return Err(error);
                }
                let before = shared.health().sink(&self.view.name, |health| {
                    let before = (health.keyless, health.repeated);
                    (health.keyless, health.repeated) = (changes.keyless, changes.repeated);
                    before
                });
                let (keyless, repeated) = (changes.keyless, changes.repeated);
                if (keyless, repeated) != before && keyless + repeated > 0 {
                    let words = "rows without a complete key, or with a key that several rows share, are not copied";
                    tracing::warn!(sink = self.view.name, keyless, repeated, "{words}");
                }
                Ok(Some((changes, versions(&self.needs, &point), state)))
            }
            Err(SinkError::Query(error)) if is_not_there_yet(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    /// What is committed; none before the stream has recovered.
    fn point(&self) -> Option<ReadPoint> {
        let view = Arc::clone(&self.inputs.view.borrow());
        view.ready.then(|| ReadPoint {
            histories: Arc::clone(&self.inputs.histories.borrow()),
            reconciliations: Arc::clone(&self.inputs.reconciliations.borrow()),
            alerts: Arc::clone(&self.inputs.alerts.borrow()),
            ..ReadPoint::new(Principal::operator(), Arc::new(view.at_commit()), self.inputs.clock.now_ms())
        })
    }
}
