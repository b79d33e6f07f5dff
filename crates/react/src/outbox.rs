//! Delivery of what was committed: at least once to each destination, in order, each destination for itself.
//!
//! A notification leaves the outbox when the other side has accepted it and that is committed in turn. A process that dies in between
//! delivers it again at its next start, under the same id: over HTTP or SMTP nobody can do better.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;
use chrono_tz::Tz;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vitral_connect::{ConnectError, Notification, Notifier, RetryPolicy, retry, with_causes};
use vitral_store::alerts::{Delivered, Transition};

use crate::destinations::{Destination, Notifiers};
use crate::words::notification;

/// One that is away is tried again, at last once a minute, for as long as it takes.
const RETRIES: RetryPolicy = RetryPolicy::endless(Duration::from_secs(1), Duration::from_secs(60));
/// Notifiers have shorter limits of their own; this one holds for any of them.
const ATTEMPT_MAX: Duration = Duration::from_secs(120);
/// How many notifications of a destination are kept in memory; the others wait in the table.
const WAITING_MAX: usize = 1_000;
/// How many are handed to a delivery at once.
const HANDED_MAX: usize = 50;
/// What was accepted and is not committed yet.
const ACCEPTED_MAX: usize = 1_024;

/// Notifications that nobody has accepted yet.
pub(crate) struct Outbox {
    notifiers: Notifiers,
    zone: Tz,
    waiting: BTreeMap<String, VecDeque<Transition>>,
    /// Destinations of which more waits in the table.
    behind: BTreeSet<String>,
    /// Destinations that something is being delivered to.
    busy: BTreeSet<String>,
    deliveries: JoinSet<String>,
    accepted: (mpsc::Sender<Delivered>, mpsc::Receiver<Delivered>),
    pace: Pace,
}

/// How attempts are made.
#[derive(Debug, Clone, Copy)]
struct Pace {
    retries: RetryPolicy,
    attempt_max: Duration,
}

impl Outbox {
    pub fn new(notifiers: Notifiers, zone: Tz) -> Self {
        Self {
            notifiers,
            zone,
            waiting: BTreeMap::new(),
            behind: BTreeSet::new(),
            busy: BTreeSet::new(),
            deliveries: JoinSet::new(),
            accepted: mpsc::channel(ACCEPTED_MAX),
            pace: Pace { retries: RETRIES, attempt_max: ATTEMPT_MAX },
        }
    }

    /// Takes what was committed and not delivered yet, in place of all that waits for destinations that are free. What was accepted must
    /// be committed before.
    pub fn fill(&mut self, transitions: &[Transition], deliveries: &[Delivered]) {
        let delivered: BTreeSet<(&str, &str)> =
            deliveries.iter().map(|delivered| (delivered.id.as_str(), delivered.destination.as_str())).collect();
        let busy = &self.busy;
        self.waiting.retain(|destination, _| busy.contains(destination));
        // Of these the table is read again once they are free.
        self.behind.clone_from(busy);
        let mut sorted: Vec<&Transition> = transitions.iter().filter(|of| !of.destinations.is_empty()).collect();
        sorted.sort_by_key(|of| of.at_ms);
        for transition in sorted {
            let waits = |destination: &&String| {
                !self.busy.contains(*destination)
                    && !delivered.contains(&(transition.id.as_str(), destination.as_str()))
            };
            let destinations = transition.destinations.iter().filter(waits).cloned().collect::<Vec<_>>();
            self.take(transition, &destinations);
        }
    }

    /// Takes a transition that was committed.
    pub fn add(&mut self, transition: &Transition) {
        self.take(transition, &transition.destinations);
    }

    fn take(&mut self, transition: &Transition, destinations: &[String]) {
        for destination in destinations {
            let waiting = self.waiting.entry(destination.clone()).or_default();
            if waiting.len() >= WAITING_MAX || self.behind.contains(destination) {
                self.behind.insert(destination.clone());
            } else {
                waiting.push_back(transition.clone());
            }
        }
    }

    /// Whether the table has to be read again for more.
    pub fn wants_more(&self) -> bool {
        let is_empty = |destination: &String| self.waiting.get(destination).is_none_or(VecDeque::is_empty);
        self.behind.iter().any(|destination| is_empty(destination) && !self.busy.contains(destination))
    }

    /// Hands on what waits to destinations that are free.
    pub fn deliver(&mut self) {
        while let Some(ended) = self.deliveries.try_join_next() {
            match ended {
                Ok(destination) => drop(self.busy.remove(&destination)),
                // What it had is still in the table, and is read again.
                Err(error) if error.is_panic() => {
                    tracing::error!(%error, "a delivery panicked");
                    self.behind.extend(std::mem::take(&mut self.busy));
                }
                Err(_) => {}
            }
        }
        for (destination, waiting) in &mut self.waiting {
            if waiting.is_empty() || self.busy.contains(destination) {
                continue;
            }
            let handed = waiting.drain(..waiting.len().min(HANDED_MAX)).collect();
            let notifier = self.notifiers.get(&Destination::parse(destination)).map(Arc::clone);
            self.busy.insert(destination.clone());
            let delivery = Delivery { destination: destination.clone(), notifier, zone: self.zone, pace: self.pace };
            self.deliveries.spawn(delivery.run(handed, self.accepted.0.clone()));
        }
    }

    /// What was accepted or refused for good since the last call.
    pub fn accepted(&mut self) -> Vec<Delivered> {
        let mut found = Vec::new();
        while let Ok(delivered) = self.accepted.1.try_recv() {
            found.push(delivered);
        }
        found
    }

    /// Waits until something is there.
    pub async fn wait(&mut self) {
        let (sender, receiver) = &mut self.accepted;
        if let Some(first) = receiver.recv().await {
            // There is room: it came from there.
            let _ = sender.try_send(first);
        }
    }
}

/// What is handed to one destination.
struct Delivery {
    destination: String,
    /// None if the configuration does not have it any more.
    notifier: Option<Arc<dyn Notifier>>,
    zone: Tz,
    pace: Pace,
}

impl Delivery {
    /// Delivers in order; a destination that is away keeps the rest waiting.
    async fn run(self, handed: Vec<Transition>, accepted: mpsc::Sender<Delivered>) -> String {
        for transition in handed {
            let notification = notification(&transition, self.zone);
            let attempts = AtomicI64::new(0);
            let refusal = match &self.notifier {
                None => Some("the configuration does not have this connection any more".to_owned()),
                Some(notifier) => {
                    let attempt = || self.attempt(&**notifier, &notification, &attempts);
                    retry(&self.pace.retries, attempt).await.err().map(|error| with_causes(&error))
                }
            };
            let delivered = Delivered {
                id: notification.id,
                destination: self.destination.clone(),
                at_ms: Utc::now().timestamp_millis(),
                refusal,
                attempts: attempts.load(Ordering::SeqCst),
            };
            if accepted.send(delivered).await.is_err() {
                break;
            }
        }
        self.destination
    }

    async fn attempt(
        &self,
        notifier: &dyn Notifier,
        notification: &Notification,
        attempts: &AtomicI64,
    ) -> Result<(), ConnectError> {
        let attempt = attempts.fetch_add(1, Ordering::SeqCst) + 1;
        let limit = self.pace.attempt_max;
        let outcome = tokio::time::timeout(limit, notifier.deliver(notification)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(ConnectError::outage(format!("no answer within {limit:?}"))));
        if let Err(error) = &outcome {
            let (id, destination, error) = (&notification.id, &self.destination, with_causes(error));
            tracing::warn!(id, destination, attempt, error, "a notification was not accepted");
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
