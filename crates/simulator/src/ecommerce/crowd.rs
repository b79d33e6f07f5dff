//! The visits that go on at the same time, and who acts next.

use super::popularity::{Market, scatter};
use super::profiles::region_sums;
use super::shopper::{Action, Shopper, Visitor};
use crate::random::{Random, mix};

/// A visitor's mean time between two events. It sets how many visits go on at once for a rate.
const PAUSE_SECONDS: f64 = 20.0;
/// Beyond this (10 MB) visitors get hastier instead of more.
const VISITS_MAX: u32 = 1 << 17;
/// Visits that are under way when the simulation starts have had fewer events than this.
const WARM_EVENTS: u64 = 12;

#[derive(Debug)]
pub(super) struct Crowd {
    run: u64,
    users: u32,
    /// A circle: those behind `next` acted lately, those ahead are waiting.
    visits: Vec<Shopper>,
    next: usize,
    /// How many visits there should be.
    target: usize,
    /// Visits so far, from which their ids derive.
    begun: u64,
    /// One bit per user: nobody makes two visits at once.
    present: Vec<u64>,
    region_sums: Vec<u64>,
}

impl Crowd {
    pub(super) fn new(run: u64, users: u32) -> Self {
        Self {
            run: mix(run ^ 1),
            users,
            visits: Vec::new(),
            next: 0,
            target: 1,
            begun: 0,
            present: vec![0; users as usize / 64 + 1],
            region_sums: region_sums(),
        }
    }

    /// Lets the crowd grow or shrink to what the rate (events per second) asks for.
    pub(super) fn fit(&mut self, rate: f64) {
        // At most half of the users: a free one must be found quickly.
        let most = VISITS_MAX.min((self.users / 2).max(1));
        self.target = ((rate * PAUSE_SECONDS) as usize).clamp(1, most as usize);
    }

    /// Fills the crowd with visits that are under way, as if the simulation had been running
    /// before.
    pub(super) fn warm_up(&mut self, random: &mut Random, market: &Market) {
        while self.visits.len() < self.target {
            let mut shopper = self.enter(random);
            for _ in 0..random.below(WARM_EVENTS) {
                if shopper.act(random, market).is_none() {
                    self.leave(shopper.visitor.user);
                    shopper = self.enter(random);
                }
            }
            self.visits.push(shopper);
        }
    }

    /// What somebody does next.
    pub(super) fn act(&mut self, random: &mut Random, market: &Market) -> (Visitor, Action) {
        loop {
            let index = if self.visits.len() < self.target {
                let shopper = self.enter(random);
                self.visits.push(shopper);
                self.visits.len() - 1
            } else {
                self.turn(random)
            };
            let shopper = &mut self.visits[index];
            if let Some(action) = shopper.act(random, market) {
                return (shopper.visitor, action);
            }
            self.leave(self.visits[index].visitor.user);
            if self.visits.len() > self.target {
                self.visits.swap_remove(index);
                continue;
            }
            // The next visit takes the place, so that it too pauses after its first event, which
            // never fails.
            self.visits[index] = self.enter(random);
            let shopper = &mut self.visits[index];
            if let Some(action) = shopper.act(random, market) {
                return (shopper.visitor, action);
            }
        }
    }

    /// Somebody who is visiting, or might be.
    pub(super) fn any_visitor(&self, random: &mut Random) -> Visitor {
        let nth = random.below(self.visits.len() as u64) as usize;
        self.visits[nth].visitor
    }

    /// Somebody who comes once and is not followed any further.
    pub(super) fn passer_by(&mut self, random: &mut Random) -> Visitor {
        let visitor = self.enter(random).visitor;
        self.leave(visitor.user);
        visitor
    }

    #[cfg(test)]
    pub(super) fn visits(&self) -> impl Iterator<Item = u64> {
        self.visits.iter().map(|shopper| shopper.visitor.visit)
    }

    /// Whose turn it is: one of those who have waited for at least half a round, so that nobody
    /// acts twice in a moment and pauses still differ.
    fn turn(&mut self, random: &mut Random) -> usize {
        if self.next >= self.visits.len() {
            self.next = 0;
        }
        let index = self.next;
        let ahead = random.below(self.visits.len() as u64 / 2 + 1) as usize;
        let chosen = (index + ahead) % self.visits.len();
        self.visits.swap(index, chosen);
        self.next += 1;
        index
    }

    fn enter(&mut self, random: &mut Random) -> Shopper {
        let user = self.free_user(random);
        self.present[user as usize / 64] |= 1 << (user % 64);
        let visit = mix(self.run.wrapping_add(self.begun));
        self.begun += 1;
        let visitor = Visitor::new(random, user, visit, &self.region_sums);
        Shopper::new(random, visitor)
    }

    fn leave(&mut self, user: u32) {
        self.present[user as usize / 64] &= !(1 << (user % 64));
    }

    /// Some users come often: the busiest tenth makes nearly a third of the visits.
    fn free_user(&self, random: &mut Random) -> u32 {
        let users = u64::from(self.users);
        let first = random.below(users);
        let rank = (u128::from(first) * u128::from(random.below(users)) / u128::from(users)) as u32;
        let mut user = scatter(rank, self.users);
        while self.present[user as usize / 64] >> (user % 64) & 1 == 1 {
            user = (user + 1) % self.users;
        }
        user
    }
}
