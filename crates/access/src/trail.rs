//! What is written to `auditoria` of those who come: denials, exports, and who signed in and out.
//!
//! A flood of denials must neither fill the table nor slow an answer down: an act of one principal
//! is one row a minute, with their number, written in the background.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vitral_store::{Act, Location};

/// Between two rows of the same act and principal.
const ROW_EVERY: Duration = Duration::from_secs(60);
/// Rows are collected for this long, and are one commit.
const COMMIT_EVERY: Duration = Duration::from_secs(2);
/// Acts on their way; of more, only the log knows.
const WAITING_MAX: usize = 1_024;
/// Acts that are told apart; further principals are written as one.
const ACTS_MAX: usize = 512;
/// What a refused request is called; of what it was for, the first alone is written.
pub const DENIAL: &str = "negar";
const OTHERS: &str = "others";
/// Texts come from requests.
const TARGET_BYTES_MAX: usize = 256;

/// Something that a request did or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// A principal's name, or an address where nobody is known.
    pub principal: String,
    /// What was done, such as [`DENIAL`].
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// What came of it.
    pub result: String,
    /// Under which the logs have it.
    pub correlation_id: String,
}

/// The way to the table.
#[derive(Debug)]
pub struct Trail {
    store: Option<Location>,
    shutdown: CancellationToken,
    /// Begins with the first act, in the runtime that serves requests.
    sender: OnceLock<mpsc::Sender<Seen>>,
}

impl Trail {
    /// Without a store nothing is written.
    pub fn new(store: Option<Location>, shutdown: CancellationToken) -> Self {
        Self { store, shutdown, sender: OnceLock::new() }
    }

    /// Returns at once.
    pub fn add(&self, seen: Seen) {
        tracing::info!(
            principal = seen.principal,
            action = seen.action,
            target = seen.target,
            result = seen.result,
            "audited"
        );
        let Some(store) = &self.store else { return };
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            tokio::spawn(write(receiver, store.clone(), self.shutdown.clone()));
            sender
        });
        if sender.try_send(seen).is_err() {
            tracing::warn!("more is denied than can be written down; auditoria lacks some of it");
        }
    }
}

async fn write(mut receiver: mpsc::Receiver<Seen>, store: Location, shutdown: CancellationToken) {
    let mut tallies = Tallies::default();
    let mut commit_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep_until(commit_at), if !tallies.is_empty() => {
                record(tallies.due(Instant::now()), &store).await;
                commit_at = Instant::now() + COMMIT_EVERY;
            }
            seen = receiver.recv() => match seen {
                Some(seen) => {
                    if tallies.is_empty() {
                        commit_at = Instant::now() + COMMIT_EVERY;
                    }
                    tallies.add(seen);
                }
                None => break,
            },
        }
    }
    while let Ok(seen) = receiver.try_recv() {
        tallies.add(seen);
    }
    record(tallies.rest(), &store).await;
}

async fn record(acts: Vec<Act>, store: &Location) {
    if acts.is_empty() {
        return;
    }
    if let Err(error) = Act::record_all(&acts, store).await {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, acts = acts.len(), "acts of requests cannot be written to auditoria");
    }
}

/// What has happened since it was last written.
#[derive(Debug, Default)]
struct Tallies(HashMap<(String, &'static str, String, String), Tally>);

#[derive(Debug)]
struct Tally {
    first: Seen,
    count: u64,
    written: Option<Instant>,
}

impl Tallies {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, mut seen: Seen) {
        let end = seen.target.floor_char_boundary(TARGET_BYTES_MAX);
        seen.target.truncate(end);
        let target = if seen.action == DENIAL { String::new() } else { seen.target.clone() };
        let mut key = (seen.principal.clone(), seen.action, seen.result.clone(), target);
        if self.0.len() >= ACTS_MAX && !self.0.contains_key(&key) {
            OTHERS.clone_into(&mut key.0);
            key.3.clear();
            OTHERS.clone_into(&mut seen.principal);
        }
        match self.0.get_mut(&key) {
            Some(tally) if tally.count == 0 => *tally = Tally { first: seen, count: 1, written: tally.written },
            Some(tally) => tally.count += 1,
            None => drop(self.0.insert(key, Tally { first: seen, count: 1, written: None })),
        }
    }

    /// The rows whose minute is over; what has not happened again since is forgotten.
    fn due(&mut self, now: Instant) -> Vec<Act> {
        let is_over = |tally: &Tally| tally.written.is_none_or(|at| now.duration_since(at) >= ROW_EVERY);
        self.0.retain(|_, tally| tally.count > 0 || !is_over(tally));
        let mut acts = Vec::new();
        for tally in self.0.values_mut().filter(|tally| tally.count > 0 && is_over(tally)) {
            acts.push(tally.act());
            (tally.count, tally.written) = (0, Some(now));
        }
        acts
    }

    fn rest(self) -> Vec<Act> {
        self.0.into_values().filter(|tally| tally.count > 0).map(|tally| tally.act()).collect()
    }
}

impl Tally {
    fn act(&self) -> Act {
        let seen = self.first.clone();
        Act {
            principal: seen.principal,
            action: seen.action,
            target: seen.target,
            result: seen.result,
            before: None,
            after: (self.count > 1).then(|| format!("{{\"vezes\":{}}}", self.count)),
            correlation_id: seen.correlation_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(principal: &str, target: &str) -> Seen {
        Seen {
            principal: principal.to_owned(),
            action: DENIAL,
            target: target.to_owned(),
            result: "forbidden".to_owned(),
            correlation_id: "1".to_owned(),
        }
    }

    #[test]
    fn a_flood_is_one_row_a_minute() {
        let (mut tallies, now) = (Tallies::default(), Instant::now());
        tallies.add(seen("loja", "GET /livro"));
        let acts = tallies.due(now);
        assert_eq!((acts.len(), acts[0].target.as_str(), acts[0].after.as_deref()), (1, "GET /livro", None));
        (0..1_000).for_each(|_| tallies.add(seen("loja", "GET /livro")));
        tallies.add(seen("outra", "GET /livro"));
        let acts = tallies.due(now + COMMIT_EVERY);
        assert_eq!(acts.iter().map(|act| act.principal.as_str()).collect::<Vec<_>>(), ["outra"]);
        let acts = tallies.due(now + ROW_EVERY);
        assert_eq!((acts.len(), acts[0].after.as_deref()), (1, Some("{\"vezes\":1000}")));
        assert!(tallies.due(now + 3 * ROW_EVERY).is_empty() && tallies.is_empty());
    }

    #[test]
    fn principals_are_bounded() {
        let mut tallies = Tallies::default();
        for number in 0..10_000 {
            tallies.add(seen(&format!("http:10.0.0.{number}"), &"ã".repeat(1_000)));
        }
        let acts = tallies.rest();
        assert_eq!(acts.len(), ACTS_MAX + 1);
        assert!(acts.iter().all(|act| act.target.len() <= TARGET_BYTES_MAX));
        let others = acts.iter().find(|act| act.principal == OTHERS).expect("a row");
        assert_eq!(others.after.as_deref(), Some(format!("{{\"vezes\":{}}}", 10_000 - ACTS_MAX).as_str()));
    }
}
