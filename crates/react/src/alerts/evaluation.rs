//! Which alerts and reports are evaluated, on what, and what they find.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveTime;
use tokio::task::JoinSet;
use vitral_panes::view::View;
use vitral_query::{Principal, QueryError, ReadPoint, Reader, State};
use vitral_schemas::event_time::Watermark;
use vitral_store::Histories;
use vitral_store::alerts::Transition;

use super::{AlertInputs, Alerts};
use crate::error::ReactError;
use crate::found::{Found, read_report};
use crate::report;
use crate::rule::{Kind, Rule, is_not_there_yet, reason};
use crate::state::{AlertState, Moment, Policy};
use crate::versions::versions;

/// What reads a clock or a file, or has failed, is looked at this often, even if no row has
/// changed.
const UNSTEADY_EVERY_MS: i64 = 10_000;
/// A report that failed is tried again after so long.
const REPORT_RETRY_MS: i64 = 60_000;
/// More rows of a report are counted and not sent.
const REPORT_ROWS_MAX: usize = 50;

/// What an alert's last evaluation was made of, and what it found.
#[derive(Debug)]
pub(super) struct Last {
    read: State,
    watermarks: Vec<Option<Watermark>>,
    steady_ms: i64,
    /// None if the query failed.
    found: Option<Found>,
}

/// What a round is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What is committed now.
    Now,
    /// What was there before an import.
    Before,
    /// What differs from before by imports alone.
    ImportReport,
}

/// What came of a query: a sentence about it, if it failed.
enum Outcome {
    Found(Found),
    Report { rows: i64, content: String },
    Failed(String),
    NotThereYet,
}

impl Alerts {
    pub(super) async fn evaluate(&mut self) -> Result<(), ReactError> {
        let health = Arc::clone(&self.inputs.view.borrow().health);
        self.catch_up.look(&health);
        let view = Arc::clone(&self.inputs.view.borrow());
        if !view.ready {
            return Ok(());
        }
        let now_ms = self.inputs.clock.now_ms();
        self.states.values_mut().for_each(|state| state.forget_future(now_ms));
        let committed = Arc::new(view.at_commit());
        let histories = Arc::clone(&self.inputs.histories.borrow());
        // What was imported since is of the past: its effect is found on the earlier rows, and
        // nobody is notified.
        if let Some((before, imported)) = self.evaluated.clone() {
            if !Arc::ptr_eq(&imported, &histories) {
                self.evaluate_on(&self.point(Arc::clone(&before), &imported, now_ms), Round::Before).await?;
                self.evaluate_on(&self.point(Arc::clone(&before), &histories, now_ms), Round::ImportReport).await?;
                self.corrections.changed(self.inputs.clock.steady_ms());
            }
            if let Some([without, with]) = committed.around_imports(&before) {
                self.evaluate_on(&self.point(Arc::new(without), &histories, now_ms), Round::Before).await?;
                self.evaluate_on(&self.point(Arc::new(with), &histories, now_ms), Round::ImportReport).await?;
                self.corrections.changed(self.inputs.clock.steady_ms());
            }
        }
        self.evaluate_on(&self.point(Arc::clone(&committed), &histories, now_ms), Round::Now).await?;
        self.evaluated = Some((committed, histories));
        if let Some(log) = &self.log {
            let AlertInputs { catalog, store, clock, .. } = &self.inputs;
            self.corrections.keep(catalog, store, log, clock.steady_ms()).await?;
        }
        self.look_for_standstill(&view).await
    }

    /// All rounds of an evaluation have one time, so that a clock brings nothing in between.
    fn point(&self, view: Arc<View>, histories: &Arc<Histories>, now_ms: i64) -> ReadPoint {
        ReadPoint {
            histories: Arc::clone(histories),
            reconciliations: Arc::clone(&self.inputs.reconciliations.borrow()),
            alerts: Arc::clone(&self.shown.borrow()),
            ..ReadPoint::new(Principal::operator(), view, now_ms)
        }
    }

    /// The same for one rule: a report is of its own time, however late it is made.
    fn point_of(&self, rule: &Rule, point: &ReadPoint) -> ReadPoint {
        let due = match (&rule.kind, self.states.get(&rule.policy.alert)) {
            (Kind::Report { at }, Some(state)) => self.day_due(*at, state, point.now_ms),
            _ => None,
        };
        ReadPoint { now_ms: due.map_or(point.now_ms, |(_, due_ms)| due_ms), ..point.clone() }
    }

    /// One round over all alerts and reports, and one commit.
    async fn evaluate_on(&mut self, point: &ReadPoint, round: Round) -> Result<(), ReactError> {
        let steady_ms = self.inputs.clock.steady_ms();
        let mut running = JoinSet::new();
        let may_run =
            |rule: &&Arc<Rule>| self.may_begin(rule, point, round) && self.is_to_run(rule, point, steady_ms, round);
        for rule in self.rules.iter().filter(may_run) {
            running.spawn(run(Arc::clone(&self.reader), Arc::clone(rule), self.point_of(rule, point)));
        }
        let mut transitions = Vec::new();
        let mut evaluated = BTreeSet::new();
        while let Some(ended) = running.join_next().await {
            let (rule, outcome) = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!(%error, "the evaluation of an alert ended");
                    continue;
                }
            };
            if matches!(outcome, Outcome::NotThereYet) {
                continue;
            }
            let name = &rule.policy.alert;
            let is_past = round == Round::ImportReport || self.corrections.lack(name);
            transitions.extend(self.follow(&rule, &outcome, point, is_past));
            evaluated.insert(name.clone());
            let last = Last {
                read: State::of_rows_read(point, &rule.needs),
                watermarks: watermarks(&rule, point),
                steady_ms,
                found: match outcome {
                    Outcome::Found(found) => Some(found),
                    _ => None,
                },
            };
            self.last.insert(name.clone(), last);
        }
        transitions.extend(self.due(point, &evaluated));
        self.commit(transitions).await?;
        self.corrections.taken_in(&evaluated);
        Ok(())
    }

    /// Whether an alert has begun, or what was there before it is read by now. It begins with what
    /// is there now: an earlier view lacks some of that.
    fn may_begin(&self, rule: &Rule, point: &ReadPoint, round: Round) -> bool {
        let has_begun = || self.states.get(&rule.policy.alert).is_some_and(AlertState::has_begun);
        let is_read = || self.catch_up.is_done(&self.inputs.catalog, &rule.needs, &point.view);
        matches!(rule.kind, Kind::Report { .. }) || has_begun() || round == Round::Now && is_read()
    }

    /// Whether an alert's input has changed, or a report is due.
    fn is_to_run(&self, rule: &Rule, point: &ReadPoint, steady_ms: i64, round: Round) -> bool {
        let last = self.last.get(&rule.policy.alert);
        if let Kind::Report { at } = rule.kind {
            let Some(state) = self.states.get(&rule.policy.alert) else { return false };
            let is_tried = state.is_failing() && last.is_some_and(|last| steady_ms - last.steady_ms < REPORT_RETRY_MS);
            return round == Round::Now
                && !rule.policy.destinations.is_empty()
                && !is_tried
                && self.day_due(at, state, point.now_ms).is_some();
        }
        // What has come since an earlier run is news: it begins with everything that is there.
        let Some(last) = last else { return round == Round::Now };
        let may_differ = !rule.is_steady || last.found.is_none();
        last.read != State::of_rows_read(point, &rule.needs)
            || match round {
                Round::Now => {
                    may_differ && steady_ms - last.steady_ms >= UNSTEADY_EVERY_MS
                        || !rule.is_steady && last.watermarks != watermarks(rule, point)
                }
                // What a clock or a file has brought is news, and is not to be found with the
                // import.
                Round::Before => may_differ,
                Round::ImportReport => false,
            }
    }

    /// What follows from what a query has found.
    fn follow(&self, rule: &Rule, outcome: &Outcome, point: &ReadPoint, is_past: bool) -> Vec<Transition> {
        let state = self.states.get(&rule.policy.alert).cloned().unwrap_or_default();
        let moment = self.moment(is_past, versions(&rule.needs, point));
        match outcome {
            Outcome::Found(found) => self.step(&rule.policy, found, &moment),
            Outcome::Report { rows, content } => {
                let Kind::Report { at } = rule.kind else { return Vec::new() };
                let Some((day, _)) = self.day_due(at, &state, point.now_ms) else { return Vec::new() };
                state.report(&rule.policy, &moment, &day, *rows, content.clone())
            }
            Outcome::Failed(reason) => {
                if !state.is_failing() {
                    tracing::error!(
                        alert = rule.policy.alert,
                        reason,
                        "the alert fails: it neither fires nor resolves"
                    );
                }
                state.fail(&rule.policy, &moment, reason)
            }
            Outcome::NotThereYet => Vec::new(),
        }
    }

    /// The day whose report is to be made now, and the time that it is of; no day has two in a row,
    /// even if the clock is set back.
    fn day_due(&self, at: NaiveTime, state: &AlertState, now_ms: i64) -> Option<(String, i64)> {
        let (day, due_ms) = report::due(at, self.inputs.settings.time_zone, now_ms, state.last_ms(now_ms)?)?;
        let day = day.to_string();
        (state.last_day() != Some(day.as_str())).then_some((day, due_ms))
    }

    fn step(&self, policy: &Policy, found: &Found, moment: &Moment) -> Vec<Transition> {
        let state = self.states.get(&policy.alert).cloned().unwrap_or_default();
        let is_hushed = |key: &str| self.silences.cover(&policy.alert, key, moment.now_ms);
        state.step(policy, found, moment, &is_hushed)
    }

    /// What follows from the time alone, for alerts that were not evaluated in this round: their
    /// rows are as they were. And the beginning of reports.
    fn due(&self, point: &ReadPoint, evaluated: &BTreeSet<String>) -> Vec<Transition> {
        let moment = self.moment(false, String::new());
        let mut transitions = Vec::new();
        for rule in &self.rules {
            let state = self.states.get(&rule.policy.alert);
            let Kind::Alert { .. } = rule.kind else {
                let begins = !rule.policy.destinations.is_empty() && !state.is_some_and(|state| state.has_begun());
                if begins {
                    transitions.extend(state.cloned().unwrap_or_default().begin(&rule.policy, &moment));
                }
                continue;
            };
            let last = self.last.get(&rule.policy.alert).filter(|_| !evaluated.contains(&rule.policy.alert));
            let (Some(state), Some(found)) = (state, last.and_then(|last| last.found.as_ref())) else { continue };
            if state.is_due(&rule.policy, moment.steady_ms) {
                let moment = Moment { versions: versions(&rule.needs, point), ..moment.clone() };
                transitions.extend(self.step(&rule.policy, found, &moment));
            }
        }
        transitions
    }

    async fn look_for_standstill(&mut self, view: &View) -> Result<(), ReactError> {
        let state = self.states.get(&self.standstill_policy.alert);
        let is_topic = |key: &&str| self.inputs.catalog.topics.iter().any(|topic| topic.name == *key);
        let firing: BTreeSet<String> =
            state.iter().flat_map(|state| state.keys()).filter(is_topic).map(str::to_owned).collect();
        let found = self.standstill.look(view, self.inputs.clock.steady_ms(), &firing);
        let transitions = self.step(&self.standstill_policy, &found, &self.moment(false, "{}".to_owned()));
        self.commit(transitions).await
    }
}

async fn run(reader: Arc<Reader>, rule: Arc<Rule>, point: ReadPoint) -> (Arc<Rule>, Outcome) {
    if let Some(reason) = rule.failure_of_input(&point) {
        return (rule, Outcome::Failed(reason));
    }
    let work = reader.bounded(async {
        let rows = rule.run(&reader, &point).await?;
        match &rule.kind {
            Kind::Alert { key } => {
                let found = Found::read(rows, key).await?;
                Ok::<_, QueryError>(found.map_or_else(Outcome::Failed, Outcome::Found))
            }
            Kind::Report { .. } => {
                let (rows, content) = read_report(rows, REPORT_ROWS_MAX).await?;
                Ok(Outcome::Report { rows, content })
            }
        }
    });
    let outcome = match work.await {
        // Now that its open windows were computed, more may be known of a metric.
        Ok(outcome) => rule.failure_of_input(&point).map_or(outcome, Outcome::Failed),
        Err(error) if is_not_there_yet(&error) => Outcome::NotThereYet,
        Err(error) => Outcome::Failed(reason(&error)),
    };
    (rule, outcome)
}

fn watermarks(rule: &Rule, point: &ReadPoint) -> Vec<Option<Watermark>> {
    rule.needs.topics.iter().map(|topic| point.view.committed_watermarks.get(topic).copied()).collect()
}
