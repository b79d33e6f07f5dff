//! Delivery of what was committed: at least once to each destination, each destination for itself,
//! and of each alert's key in order.
//!
//! A notification leaves the outbox when the other side has accepted it and that is committed in
//! turn. A process that dies in between delivers it again at its next start, under the same id:
//! over HTTP or SMTP nobody can do better. What is tried when: [`mod@line`].

mod delivery;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use chrono_tz::Tz;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vitral_connect::RetryPolicy;
use vitral_schemas::health::{Health, NotificationHealth};
use vitral_store::alerts::{Delay, Delivered, Transition};

use self::delivery::{Delivery, delivered};
use self::line::{Line, Round};
use crate::destinations::{Destination, Notifiers};

/// One that is away is tried again for as long as it takes. A new notification waits for the next
/// attempt, so that these are not far apart.
const RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_secs(1), Duration::from_secs(20));
/// Notifiers have shorter limits of their own; this one holds for any of them.
const ATTEMPT_MAX: Duration = Duration::from_secs(120);
/// For so long at least what is refused while others are accepted is tried: receivers are repaired,
/// restarted, and slow for a while.
const PATIENCE: Duration = Duration::from_secs(900);
/// How many notifications of a destination are kept in memory; the others wait in the table.
const WAITING_MAX: usize = 1_000;
/// The same with those that are refused while others are accepted, which do not keep others out.
const KEPT_MAX: usize = 4 * WAITING_MAX;
/// How many are handed to a delivery at once.
const HANDED_MAX: usize = 50;
/// What was accepted and is not committed yet.
const ACCEPTED_MAX: usize = 1_024;
/// A receiver that goes on failing for the same reason is logged this often.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Notifications that nobody has accepted yet.
pub(crate) struct Outbox {
    notifiers: Notifiers,
    zone: Tz,
    lines: BTreeMap<String, Line>,
    /// Destinations of which more waits in the table.
    behind: BTreeSet<String>,
    /// Destinations that something is being delivered to.
    busy: BTreeSet<String>,
    deliveries: JoinSet<(String, Round)>,
    accepted: (mpsc::Sender<Delivered>, mpsc::Receiver<Delivered>),
    /// What was taken out of these by waiting for it.
    first: Option<Delivered>,
    /// What was set aside, until it is taken with what was accepted.
    set_aside: Vec<Delivered>,
    /// What has failed since the last call of [`Self::failed`].
    failed: Vec<Delay>,
    figures: BTreeMap<String, Figures>,
    pace: Pace,
}

/// What is said of a destination.
#[derive(Debug, Default)]
struct Figures {
    /// Notifications that are committed and that it has neither accepted nor refused for good, in
    /// memory or not.
    waiting: u64,
    oldest_ms: Option<i64>,
    refused: u64,
    failures: u64,
    failing: Option<String>,
    /// What was logged last.
    logged: Option<(String, Instant)>,
}

/// How attempts are made.
#[derive(Debug, Clone, Copy)]
struct Pace {
    retries: RetryPolicy,
    attempt_max: Duration,
    patience: Duration,
}

impl Outbox {
    pub fn new(notifiers: Notifiers, zone: Tz) -> Self {
        Self {
            notifiers,
            zone,
            lines: BTreeMap::new(),
            behind: BTreeSet::new(),
            busy: BTreeSet::new(),
            deliveries: JoinSet::new(),
            accepted: mpsc::channel(ACCEPTED_MAX),
            first: None,
            set_aside: Vec::new(),
            failed: Vec::new(),
            figures: BTreeMap::new(),
            pace: Pace { retries: RETRIES, attempt_max: ATTEMPT_MAX, patience: PATIENCE },
        }
    }

    /// Takes what was committed and not delivered yet, in place of all that waits for destinations
    /// that are free; of what waited there already, it stays known how it fared. What was accepted
    /// must be committed before.
    pub fn fill(&mut self, transitions: &[Transition], deliveries: &[Delivered]) {
        let known: BTreeSet<(&str, &str)> =
            deliveries.iter().map(|delivered| (delivered.id.as_str(), delivered.destination.as_str())).collect();
        let free = self.lines.iter_mut().filter(|(destination, _)| !self.busy.contains(*destination));
        let mut earlier: BTreeMap<String, BTreeMap<String, line::Item>> =
            free.map(|(destination, line)| (destination.clone(), line.drain())).collect();
        // Of these the table is read again once they are free.
        self.behind.clone_from(&self.busy);
        self.figures.values_mut().for_each(|figures| figures.waiting = 0);
        for transition in in_order(transitions) {
            for destination in &transition.destinations {
                if known.contains(&(transition.id.as_str(), destination.as_str())) {
                    continue;
                }
                self.figures.entry(destination.clone()).or_default().waiting += 1;
                if self.busy.contains(destination) {
                    continue;
                }
                let earlier = earlier.get_mut(destination).and_then(|earlier| earlier.remove(&transition.id));
                match earlier {
                    Some(item) => self.lines.entry(destination.clone()).or_default().put(item),
                    None => self.take(transition, destination),
                }
            }
        }
    }

    /// Takes a transition that was committed.
    pub fn add(&mut self, transition: &Transition) {
        for destination in &transition.destinations {
            self.figures.entry(destination.clone()).or_default().waiting += 1;
            self.take(transition, destination);
        }
    }

    fn take(&mut self, transition: &Transition, destination: &str) {
        let line = self.lines.entry(destination.to_owned()).or_default();
        let is_full = line.in_order() >= WAITING_MAX || line.len() >= KEPT_MAX;
        if is_full || self.behind.contains(destination) {
            self.behind.insert(destination.to_owned());
        } else {
            line.push(transition.clone());
        }
    }

    /// Whether the table has to be read again for more.
    pub fn wants_more(&self) -> bool {
        let has_room = |destination: &String| {
            self.lines.get(destination).is_none_or(|line| line.in_order() == 0 && line.len() < KEPT_MAX)
        };
        self.behind.iter().any(|destination| has_room(destination) && !self.busy.contains(destination))
    }

    /// Hands on what waits to destinations that are free.
    pub fn deliver(&mut self) {
        while let Some(ended) = self.deliveries.try_join_next() {
            match ended {
                Ok((destination, round)) => self.end(&destination, round),
                // What it had is still in the table, and is read again.
                Err(error) if error.is_panic() => {
                    tracing::error!(%error, "a delivery panicked");
                    self.behind.extend(std::mem::take(&mut self.busy));
                }
                Err(_) => {}
            }
        }
        let now = Instant::now();
        for (destination, line) in &mut self.lines {
            if self.busy.contains(destination) {
                continue;
            }
            self.figures.entry(destination.clone()).or_default().oldest_ms = line.oldest_ms();
            let is_probe = line.is_away();
            let handed = line.take(now, HANDED_MAX);
            if handed.is_empty() {
                continue;
            }
            let notifier = self.notifiers.get(&Destination::parse(destination)).map(Arc::clone);
            self.busy.insert(destination.clone());
            let (destination, zone, attempt_max) = (destination.clone(), self.zone, self.pace.attempt_max);
            let delivery = Delivery { destination, notifier, zone, attempt_max, is_probe };
            self.deliveries.spawn(delivery.run(handed, self.accepted.0.clone()));
        }
    }

    fn end(&mut self, destination: &str, round: Round) {
        self.busy.remove(destination);
        let figures = self.figures.entry(destination.to_owned()).or_default();
        if round.accepted > 0 {
            figures.failing = None;
        }
        for (item, failure) in &round.left {
            let Some(failure) = failure else { continue };
            figures.failures += 1;
            figures.failing = Some(failure.reason.clone());
            let (id, attempts, reason) = (item.transition.id.clone(), item.attempts, failure.reason.clone());
            let is_known = figures
                .logged
                .as_ref()
                .is_some_and(|(logged, at)| *logged == reason && at.elapsed() < SAID_AGAIN_AFTER);
            if !is_known {
                tracing::warn!(
                    id,
                    destination,
                    attempts,
                    reason,
                    "a notification was not accepted; it will be retried"
                );
                figures.logged = Some((reason.clone(), Instant::now()));
            }
            self.failed.push(Delay { id, destination: destination.to_owned(), attempts, reason });
        }
        let line = self.lines.entry(destination.to_owned()).or_default();
        for (item, reason) in line.end(round, &self.pace.retries, self.pace.patience, Instant::now()) {
            let (id, attempts) = (&item.transition.id, item.attempts);
            tracing::error!(id, destination, attempts, reason, "a notification is set aside; others are accepted");
            let refusal = format!("set aside after {attempts} attempts, while others were accepted: {reason}");
            self.set_aside.push(delivered(destination, &item, Some(refusal)));
        }
    }

    /// What was accepted or refused for good since the last call, to be committed.
    pub fn accepted(&mut self) -> Vec<Delivered> {
        let mut found = std::mem::take(&mut self.set_aside);
        while let Some(delivered) = self.first.take().or_else(|| self.accepted.1.try_recv().ok()) {
            if let (Some(reason), Some(figures)) = (&delivered.refusal, self.figures.get_mut(&delivered.destination)) {
                let (id, destination) = (&delivered.id, &delivered.destination);
                tracing::error!(id, destination, reason, "a notification was refused for good");
                figures.failing = Some(reason.clone());
            }
            found.push(delivered);
        }
        found
    }

    /// These are committed.
    pub fn committed(&mut self, deliveries: &[Delivered]) {
        for delivered in deliveries {
            if let Some(figures) = self.figures.get_mut(&delivered.destination) {
                figures.waiting = figures.waiting.saturating_sub(1);
                figures.refused += u64::from(delivered.refusal.is_some());
            }
        }
    }

    /// What has failed since the last call and is tried again.
    pub fn failed(&mut self) -> Vec<Delay> {
        std::mem::take(&mut self.failed)
    }

    /// All that failed while others were accepted, and is tried again behind them.
    pub fn passed_over(&self) -> Vec<Delay> {
        self.lines.iter().flat_map(|(destination, line)| line.passed_over(destination)).collect()
    }

    /// Says how each destination fares.
    pub fn report(&self, health: &Health) {
        let now_ms = Utc::now().timestamp_millis();
        for (destination, figures) in &self.figures {
            let age = |oldest_ms| Duration::from_millis(u64::try_from(now_ms - oldest_ms).unwrap_or_default());
            let oldest = figures.oldest_ms.filter(|_| figures.waiting > 0);
            let figures = NotificationHealth {
                waiting: figures.waiting,
                oldest: oldest.and_then(|oldest_ms| Instant::now().checked_sub(age(oldest_ms))),
                passed_over: self.lines.get(destination).map_or(0, |line| line.passed_over(destination).count()) as u64,
                refused: figures.refused,
                failures: figures.failures,
                failing: figures.failing.clone(),
            };
            health.notification(destination, figures);
        }
    }

    /// Waits until something is there.
    pub async fn wait(&mut self) {
        // It is kept here: a sender that waits for room in the channel has taken its place there.
        if self.first.is_none() {
            self.first = self.accepted.1.recv().await;
        }
    }
}

/// What is to be sent, by the time of its decision. The clock may have been set back in between: of
/// one key, nothing comes before what was decided earlier.
fn in_order(transitions: &[Transition]) -> Vec<&Transition> {
    let mut latest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut sorted = Vec::new();
    for transition in transitions.iter().filter(|of| !of.destinations.is_empty()) {
        let key = (transition.alert.as_str(), transition.key.as_str());
        let at_ms = latest.entry(key).or_insert(transition.at_ms);
        *at_ms = transition.at_ms.max(*at_ms);
        sorted.push((*at_ms, transition));
    }
    sorted.sort_by_key(|(at_ms, transition)| (*at_ms, transition.number));
    sorted.into_iter().map(|(_, transition)| transition).collect()
}

#[cfg(test)]
mod tests;
