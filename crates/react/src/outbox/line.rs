//! What waits for one destination, and which of it is tried next.
//!
//! A notification that fails holds back what follows it of its own key, and nothing else. Whether
//! the receiver is away or does not take this one alone shows in whether it accepts others
//! meanwhile: what it answers with an error again and again while it accepts others is set aside
//! with the reason. While it accepts nothing, everything waits, and goes in order afterwards, but
//! perhaps for the one that found it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vitral_connect::RetryPolicy;
use vitral_connect::retry::Attempts;
use vitral_store::alerts::{Delay, Transition};

/// After so many failures in a row nothing more is tried for a while: the receiver seems to be
/// away.
pub(super) const IN_VAIN_MAX: usize = 3;
/// How often others must have been accepted between attempts that failed before a notification is
/// set aside: one that met a receiver which comes and goes has been lucky by then.
const OWN_FAILURES_MAX: u32 = 5;

/// A notification that nobody has accepted.
#[derive(Debug)]
pub(super) struct Item {
    pub transition: Transition,
    pub attempts: i64,
    /// Its place among the others.
    number: u64,
    /// How often it has failed though the receiver had accepted others since.
    own_failures: u32,
    /// How many others had been accepted when it came, or when its last own failure was counted.
    seen: u64,
    failed_first: Option<Instant>,
    waits: Option<Attempts>,
    rests_until: Option<Instant>,
    reason: Option<String>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub reason: String,
    /// By what it says, it would have failed with any other notification, too.
    pub is_outage: bool,
}

/// What came of some attempts.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub accepted: u64,
    /// What was not accepted, and why; without a reason if it was not tried.
    pub left: Vec<(Item, Option<Failure>)>,
}

/// In order.
#[derive(Debug, Default)]
pub(super) struct Line {
    items: Vec<Item>,
    /// The number of the next one.
    next: u64,
    /// How many were accepted in all.
    accepted: u64,
    /// While the receiver accepts nothing.
    away: Option<Attempts>,
    rests_until: Option<Instant>,
}

impl Item {
    fn new(transition: Transition, number: u64, seen: u64) -> Self {
        Self {
            transition,
            attempts: 0,
            number,
            own_failures: 0,
            seen,
            failed_first: None,
            waits: None,
            rests_until: None,
            reason: None,
        }
    }

    /// What comes in order: of one alert and one key.
    pub fn key(&self) -> (&str, &str) {
        (&self.transition.alert, &self.transition.key)
    }
}

impl Line {
    /// How many wait for the receiver, and have not been passed over.
    pub fn in_order(&self) -> usize {
        self.items.iter().filter(|item| item.own_failures == 0).count()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the receiver accepts nothing.
    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// When the oldest was decided.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.items.iter().map(|item| item.transition.at_ms).min()
    }

    /// Those that failed while others were accepted.
    pub fn passed_over<'a>(&'a self, destination: &'a str) -> impl Iterator<Item = Delay> + 'a {
        self.items.iter().filter(|item| item.own_failures > 0).map(|item| Delay {
            id: item.transition.id.clone(),
            destination: destination.to_owned(),
            attempts: item.attempts,
            reason: item.reason.clone().unwrap_or_default(),
        })
    }

    pub fn push(&mut self, transition: Transition) {
        self.items.push(Item::new(transition, self.next, self.accepted));
        self.next += 1;
    }

    /// Takes everything out, to be put back in another order.
    pub fn drain(&mut self) -> BTreeMap<String, Item> {
        std::mem::take(&mut self.items).into_iter().map(|item| (item.transition.id.clone(), item)).collect()
    }

    /// Puts one back behind all others.
    pub fn put(&mut self, item: Item) {
        self.items.push(Item { number: self.next, ..item });
        self.next += 1;
    }

    /// What is to be tried now, `max` at most. What was refused before comes last. Of a receiver
    /// that is away, the first is tried, and one of the others in turn, as the first may be what it
    /// does not take.
    pub fn take(&mut self, now: Instant, max: usize) -> Vec<Item> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let due = self.due(now);
        let places: Vec<usize> = match (&self.away, due.first()) {
            (Some(_), Some(first)) => {
                let key = |place: usize| self.items[place].key();
                // Of each key only what is ahead of the others of it.
                let mut seen = BTreeSet::from([key(*first)]);
                let of_others = due.iter().copied().filter(|place| seen.insert(key(*place)));
                let in_turn = of_others.min_by_key(|place| (self.items[*place].attempts, *place));
                std::iter::once(*first).chain(in_turn).collect()
            }
            _ => due.into_iter().take(max).collect(),
        };
        let wanted: BTreeMap<usize, usize> =
            places.into_iter().enumerate().map(|(rank, place)| (place, rank)).collect();
        let mut taken = Vec::with_capacity(wanted.len());
        for (place, item) in std::mem::take(&mut self.items).into_iter().enumerate() {
            match wanted.get(&place) {
                Some(rank) => taken.push((*rank, item)),
                None => self.items.push(item),
            }
        }
        taken.sort_by_key(|(rank, _)| *rank);
        taken.into_iter().map(|(_, item)| item).collect()
    }

    /// The places of those that may be tried now: none of their key that is ahead of them rests.
    fn due(&self, now: Instant) -> Vec<usize> {
        let mut keys: BTreeMap<(&str, &str), (bool, bool)> = BTreeMap::new();
        let mut due = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            let (rests, is_passed_over) = keys.entry(item.key()).or_default();
            *rests |= item.rests_until.is_some_and(|until| now < until);
            // What follows it of its key stays behind it.
            *is_passed_over |= item.own_failures > 0;
            if !*rests {
                due.push((*is_passed_over, place));
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// Takes back what was not accepted; what is set aside for good, with the reason.
    pub fn end(
        &mut self,
        round: Round,
        retries: &RetryPolicy,
        patience: Duration,
        now: Instant,
    ) -> Vec<(Item, String)> {
        let Round { accepted, left } = round;
        self.accepted += accepted;
        if accepted > 0 {
            (self.away, self.rests_until) = (None, None);
        }
        let (mut is_in_vain, mut set_aside) = (false, Vec::new());
        for (mut item, failure) in left {
            if let Some(Failure { reason, is_outage }) = failure {
                if self.accepted > item.seen {
                    (item.own_failures, item.seen) = (item.own_failures + 1, self.accepted);
                }
                if item.own_failures > 0 {
                    let wait = item.waits.get_or_insert_with(|| retries.attempts()).failed();
                    item.rests_until = Some(now + wait.unwrap_or(retries.longest));
                } else {
                    is_in_vain = true;
                }
                let first = *item.failed_first.get_or_insert(now);
                if item.own_failures >= OWN_FAILURES_MAX && !is_outage && now.duration_since(first) >= patience {
                    set_aside.push((item, reason));
                    continue;
                }
                item.reason = Some(reason);
            }
            self.items.push(item);
        }
        self.items.sort_by_key(|item| item.number);
        if is_in_vain && accepted == 0 {
            let wait = self.away.get_or_insert_with(|| retries.attempts()).failed();
            self.rests_until = Some(now + wait.unwrap_or(retries.longest));
        }
        set_aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RETRIES: RetryPolicy = RetryPolicy::endless(MS, MS);

    fn line(keys: &[&str]) -> Line {
        let mut line = Line::default();
        for (number, key) in keys.iter().enumerate() {
            let number = i64::try_from(number).expect("few");
            line.push(crate::outbox::tests::transition_of(key, number));
        }
        line
    }

    /// Tries what is due; a receiver takes what it takes.
    fn round(line: &mut Line, now: Instant, takes: &dyn Fn(&str) -> bool) -> (Vec<String>, usize) {
        let (mut round, mut accepted) = (Round::default(), Vec::new());
        let (mut failed, mut in_vain) = (Vec::new(), 0);
        for mut item in line.take(now, 50) {
            let key = item.transition.key.clone();
            if in_vain >= IN_VAIN_MAX || failed.contains(&key) {
                round.left.push((item, None));
                continue;
            }
            item.attempts += 1;
            if takes(&key) {
                accepted.push(item.transition.id.clone());
                (round.accepted, in_vain) = (round.accepted + 1, 0);
            } else {
                in_vain += 1;
                failed.push(key);
                round.left.push((item, Some(Failure { reason: "500".to_owned(), is_outage: false })));
            }
        }
        let set_aside = line.end(round, &RETRIES, 100 * MS, now);
        (accepted, set_aside.len())
    }

    #[test]
    fn what_is_refused_holds_back_its_own_key_alone() {
        let mut line = line(&["x", "a", "x", "b"]);
        let now = Instant::now();
        let (accepted, _) = round(&mut line, now, &|key| key != "x");
        assert_eq!(accepted, ["ruptura/a/1/disparo", "ruptura/b/3/disparo"]);
        assert_eq!((line.len(), line.in_order(), line.passed_over("d").count()), (2, 1, 1));
        // Not again at once, and then in order.
        assert!(line.take(now, 50).is_empty());
        let (accepted, _) = round(&mut line, now + 5 * MS, &|_| true);
        assert_eq!(accepted, ["ruptura/x/0/disparo", "ruptura/x/2/disparo"]);
    }

    #[test]
    fn a_receiver_that_is_away_loses_nothing_and_gets_everything_in_order() {
        let mut line = line(&["a", "b", "c", "a"]);
        let mut now = Instant::now();
        for _ in 0..10_000 {
            let (accepted, set_aside) = round(&mut line, now, &|_| false);
            assert_eq!((accepted.len(), set_aside), (0, 0));
            now += 5 * MS;
        }
        assert!(line.is_away() && line.in_order() == 4 && line.passed_over("d").count() == 0);
        let (probed, _) = round(&mut line, now, &|_| true);
        assert_eq!(probed[0], "ruptura/a/0/disparo");
        let (rest, _) = round(&mut line, now, &|_| true);
        assert_eq!((probed.len() + rest.len(), line.len()), (4, 0));
    }

    #[test]
    fn among_several_that_are_refused_at_the_head_the_others_are_found() {
        let mut line = line(&["x", "y", "z", "a", "b"]);
        let mut now = Instant::now();
        let mut all = Vec::new();
        for _ in 0..20 {
            all.extend(round(&mut line, now, &|key| "ab".contains(key)).0);
            now += 5 * MS;
        }
        assert_eq!(all, ["ruptura/a/3/disparo", "ruptura/b/4/disparo"]);
    }

    #[test]
    fn what_is_refused_while_others_are_accepted_is_set_aside_in_the_end() {
        let mut line = line(&["x", "x"]);
        let (mut now, mut set_aside, mut rounds) = (Instant::now(), 0, 0);
        while set_aside == 0 {
            let number = 10 + rounds;
            line.push(crate::outbox::tests::transition_of("a", number));
            set_aside += round(&mut line, now, &|key| key == "a").1;
            (now, rounds) = (now + 10 * MS, rounds + 1);
            assert!(rounds < 100, "it is tried forever");
        }
        assert!(rounds >= 10, "after {rounds} attempts: a receiver may fail for some time");
        assert_eq!(line.len(), 1, "what follows of its key is tried in turn");
        // Without anything that is accepted, it is not known to be refused.
        for _ in 0..1_000 {
            assert_eq!(round(&mut line, now, &|_| false).1, 0);
            now += 10 * MS;
        }
    }
}
