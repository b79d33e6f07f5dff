//! What an alert remembers, and what follows from what its query finds: pure, and made from
//! transitions alone.

use std::collections::BTreeMap;

use vitral_store::alerts::{Hush, Transition, TransitionKind};

use crate::found::Found;

/// How an alert behaves.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The alert's name.
    pub alert: String,
    /// How much it matters.
    pub severity: String,
    /// How long a key must be among the rows before it fires.
    pub after_ms: i64,
    /// How often people are notified again; none for never.
    pub repeat_ms: Option<i64>,
    /// Who is notified, as destinations are stored.
    pub destinations: Vec<String>,
}

/// When something was evaluated, and on what.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// In milliseconds since the epoch.
    pub now_ms: i64,
    /// The same on a clock that nobody sets: lengths of time are measured by it.
    pub steady_ms: i64,
    /// What comes in now is of the past: rows were corrected or imported.
    pub is_past: bool,
    /// What had been read, as JSON.
    pub versions: String,
}

/// One alert's.
#[derive(Debug, Clone, Default)]
pub struct AlertState {
    /// Of the last transition.
    number: i64,
    has_begun: bool,
    keys: BTreeMap<String, Keyed>,
    failure: Option<Failure>,
    /// When a report was last made, or the alert began.
    last_ms: Option<i64>,
    /// The day of the last report.
    last_day: Option<String>,
}

/// A key that is among the rows.
#[derive(Debug, Clone)]
struct Keyed {
    episode: i64,
    since_ms: i64,
    fires: bool,
    hush: Option<Hush>,
    recipients: Vec<String>,
    /// When it came in, while it is pending, or was last notified of; on the steady clock.
    counts_from_ms: i64,
    repeats: usize,
}

#[derive(Debug, Clone)]
struct Failure {
    episode: i64,
    since_ms: i64,
}

impl AlertState {
    /// Takes in a transition that is committed, and when it was made on the steady clock.
    pub fn apply(&mut self, transition: &Transition, steady_ms: i64) {
        use TransitionKind::{
            Began, Failed, Fired, Notified, Pending, Recovered, Repeated, Reported, Resolved, Withdrawn,
        };
        self.number = self.number.max(transition.number);
        let Transition { key, episode, at_ms, since_ms, destinations, hush, .. } = transition;
        match transition.kind {
            Began => (self.has_begun, self.last_ms) = (true, Some(*at_ms)),
            Reported => (self.last_ms, self.last_day) = (Some(*at_ms), Some(key.clone())),
            Pending | Fired => {
                let keyed = Keyed {
                    episode: *episode,
                    since_ms: *since_ms,
                    fires: transition.kind == Fired,
                    hush: *hush,
                    recipients: destinations.clone(),
                    counts_from_ms: steady_ms,
                    repeats: 0,
                };
                self.keys.insert(key.clone(), keyed);
            }
            Notified | Repeated => {
                if let Some(keyed) = self.keys.get_mut(key) {
                    keyed.repeats += usize::from(transition.kind == Repeated);
                    (keyed.hush, keyed.recipients, keyed.counts_from_ms) = (None, destinations.clone(), steady_ms);
                }
            }
            Withdrawn | Resolved => drop(self.keys.remove(key)),
            Failed => self.failure = Some(Failure { episode: *episode, since_ms: *since_ms }),
            Recovered => self.failure = None,
        }
    }

    /// Whether its query fails.
    pub fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it was ever evaluated.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// When a report was last made, or began; never after `now_ms`: then the clock was wrong, and
    /// was set back since.
    pub fn last_ms(&self, now_ms: i64) -> Option<i64> {
        self.last_ms.map(|last_ms| last_ms.min(now_ms))
    }

    /// The clock was set back behind what was done last: from here on it counts from now.
    pub fn forget_future(&mut self, now_ms: i64) {
        self.last_ms = self.last_ms(now_ms);
    }

    /// The day of the last report.
    pub fn last_day(&self) -> Option<&str> {
        self.last_day.as_deref()
    }

    /// The keys that are among the rows.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether something follows from the time alone.
    pub fn is_due(&self, policy: &Policy, steady_ms: i64) -> bool {
        self.keys.values().any(|keyed| match (keyed.fires, policy.repeat_ms) {
            (false, _) => steady_ms - keyed.counts_from_ms >= policy.after_ms,
            // A silence may have ended.
            (true, _) if keyed.hush == Some(Hush::Silence) => true,
            (true, Some(repeat_ms)) => !keyed.recipients.is_empty() && steady_ms - keyed.counts_from_ms >= repeat_ms,
            (true, None) => false,
        })
    }

    /// What follows from what was found now. `is_hushed` says for which keys somebody has asked for
    /// silence.
    pub fn step(
        &self,
        policy: &Policy,
        found: &Found,
        moment: &Moment,
        is_hushed: &dyn Fn(&str) -> bool,
    ) -> Vec<Transition> {
        let mut maker = Maker { policy, moment, number: self.number, made: Vec::new() };
        let is_past = moment.is_past || !self.has_begun;
        if !self.has_begun {
            maker.begin();
        }
        if let Some(failure) = &self.failure {
            maker.of_alert(TransitionKind::Recovered, failure.episode, failure.since_ms, "");
        }
        for key in found.keys() {
            let keyed = match self.keys.get(key) {
                Some(keyed) => keyed.clone(),
                None => Keyed {
                    episode: maker.number + 1,
                    since_ms: moment.now_ms,
                    fires: false,
                    hush: is_past.then_some(Hush::Past),
                    recipients: Vec::new(),
                    counts_from_ms: moment.steady_ms,
                    repeats: 0,
                },
            };
            let is_new = !self.keys.contains_key(key);
            maker.present(key, &keyed, is_new, found, is_hushed);
        }
        for (key, keyed) in self.keys.iter().filter(|(key, _)| !found.contains(key)) {
            maker.left(key, keyed);
        }
        maker.made
    }

    /// What follows from a query that fails, for this reason: nothing fires, and nothing is
    /// resolved.
    pub fn fail(&self, policy: &Policy, moment: &Moment, reason: &str) -> Vec<Transition> {
        let mut maker = Maker { policy, moment, number: self.number, made: Vec::new() };
        if self.failure.is_none() {
            let episode = maker.number + 1;
            maker.of_alert(TransitionKind::Failed, episode, moment.now_ms, reason);
        }
        maker.made
    }

    /// The first transition of a report: those of the past are not made.
    pub fn begin(&self, policy: &Policy, moment: &Moment) -> Vec<Transition> {
        let mut maker = Maker { policy, moment, number: self.number, made: Vec::new() };
        maker.begin();
        maker.made
    }

    /// A day's report.
    pub fn report(&self, policy: &Policy, moment: &Moment, day: &str, rows: i64, content: String) -> Vec<Transition> {
        let mut maker = Maker { policy, moment, number: self.number, made: Vec::new() };
        if let Some(failure) = &self.failure {
            maker.of_alert(TransitionKind::Recovered, failure.episode, failure.since_ms, "");
        }
        let episode = maker.number + 1;
        let mut report = maker.transition(TransitionKind::Reported, day, episode, moment.now_ms);
        (report.rows, report.content, report.destinations) = (rows, content, policy.destinations.clone());
        maker.made.push(report);
        maker.made
    }
}

/// Makes transitions in order.
struct Maker<'a> {
    policy: &'a Policy,
    moment: &'a Moment,
    number: i64,
    made: Vec<Transition>,
}

impl Maker<'_> {
    fn transition(&mut self, kind: TransitionKind, key: &str, episode: i64, since_ms: i64) -> Transition {
        self.number += 1;
        Transition {
            alert: self.policy.alert.clone(),
            key: key.to_owned(),
            episode,
            number: self.number,
            kind,
            at_ms: self.moment.now_ms,
            since_ms,
            severity: self.policy.severity.clone(),
            rows: 0,
            content: String::new(),
            versions: self.moment.versions.clone(),
            destinations: Vec::new(),
            hush: None,
            id: id(&self.policy.alert, key, episode, kind.name()),
        }
    }

    fn of_alert(&mut self, kind: TransitionKind, episode: i64, since_ms: i64, content: &str) {
        let made = self.transition(kind, "", episode, since_ms);
        self.made.push(Transition { content: content.to_owned(), ..made });
    }

    fn begin(&mut self) {
        let episode = self.number + 1;
        self.of_alert(TransitionKind::Began, episode, self.moment.now_ms, "");
    }

    /// A key that is among the rows.
    fn present(&mut self, key: &str, keyed: &Keyed, is_new: bool, found: &Found, is_hushed: &dyn Fn(&str) -> bool) {
        use TransitionKind::{Fired, Notified, Pending, Repeated};
        let policy = self.policy;
        let has_anybody = !policy.destinations.is_empty();
        let passed_ms = self.moment.steady_ms - keyed.counts_from_ms;
        let is_ripe = passed_ms >= policy.after_ms;
        let is_again = policy.repeat_ms.is_some_and(|repeat_ms| passed_ms >= repeat_ms);
        let kind = match keyed {
            Keyed { fires: false, .. } if is_ripe => Fired,
            Keyed { fires: false, .. } if is_new => Pending,
            Keyed { fires: true, hush: Some(Hush::Silence), .. } if has_anybody && !is_hushed(key) => Notified,
            Keyed { fires: true, hush: None, recipients, .. }
                if is_again && !recipients.is_empty() && !is_hushed(key) =>
            {
                Repeated
            }
            _ => return,
        };
        let mut made = self.transition(kind, key, keyed.episode, keyed.since_ms);
        (made.rows, made.content) = (found.count(key), found.content(key));
        if kind == Fired {
            made.hush = keyed.hush.or_else(|| (has_anybody && is_hushed(key)).then_some(Hush::Silence));
        } else if kind == Pending {
            made.hush = keyed.hush;
        }
        if kind != Pending && made.hush.is_none() {
            made.destinations.clone_from(&policy.destinations);
        }
        // Late news is that it fires; each repeat is a notification of its own.
        match kind {
            Notified => made.id = id(&policy.alert, key, keyed.episode, Fired.name()),
            Repeated => {
                let word = format!("{}-{}", Repeated.name(), keyed.repeats + 1);
                made.id = id(&policy.alert, key, keyed.episode, &word);
            }
            _ => {}
        }
        self.made.push(made);
    }

    /// A key that has left the rows. Those who know that it fires are notified.
    fn left(&mut self, key: &str, keyed: &Keyed) {
        let kind = if keyed.fires { TransitionKind::Resolved } else { TransitionKind::Withdrawn };
        let mut made = self.transition(kind, key, keyed.episode, keyed.since_ms);
        made.content = "[]".to_owned();
        made.destinations.clone_from(&keyed.recipients);
        self.made.push(made);
    }
}

/// `alert/key/episode/transition`, of visible ASCII alone: it is sent in headers.
fn id(alert: &str, key: &str, episode: i64, transition: &str) -> String {
    let plain = |text: &str| -> String {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    };
    format!("{}/{}/{episode}/{transition}", plain(alert), plain(key))
}

#[cfg(test)]
mod tests;
