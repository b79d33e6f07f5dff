//! The open connections, and which of them is closed when there is no room for another.
//!
//! On one machine all clients have the same address, so a share for each address would help nobody.
//! What tells clients apart is what they do: a client that opens connections and sends nothing
//! gives them up to one that sends requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A client that waits between two requests is not disconnected sooner; one that was disconnected
/// connects again.
const IDLE: Duration = Duration::from_secs(10);

/// Room for a number of connections.
pub struct Seats {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// They rise: the first is the oldest.
    next_id: u64,
    seats: BTreeMap<u64, Arc<State>>,
}

/// A connection's place; it is free again when this is dropped.
pub struct Seat {
    id: u64,
    state: Arc<State>,
    seats: Arc<Seats>,
}

struct State {
    doing: Mutex<Doing>,
    leave: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// No whole request has come yet.
    Nothing,
    /// A request is being answered.
    Served,
    /// Its last request is answered, since then.
    Idle(Instant),
}

impl Seats {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// A place for another connection. Where none is free, the oldest connection that has not sent
    /// a whole request is closed for it, or else the one that has been idle for longest; none if
    /// all of them are in use.
    pub fn take(self: &Arc<Self>, now: Instant) -> Option<Seat> {
        let mut taken = lock(&self.taken);
        if taken.seats.len() >= self.max {
            let gives_way = taken.gives_way(now)?;
            if let Some(state) = taken.seats.remove(&gives_way) {
                state.leave.notify_one();
            }
        }
        let id = taken.next_id;
        taken.next_id += 1;
        let state = Arc::new(State { doing: Mutex::new(Doing::Nothing), leave: Notify::new() });
        taken.seats.insert(id, Arc::clone(&state));
        Some(Seat { id, state, seats: Arc::clone(self) })
    }
}

impl Taken {
    fn gives_way(&self, now: Instant) -> Option<u64> {
        let doing = || self.seats.iter().map(|(id, state)| (*id, *lock(&state.doing)));
        let silent = doing().find(|(_, doing)| *doing == Doing::Nothing).map(|(id, _)| id);
        let idle = || {
            let since = doing().filter_map(|(id, doing)| match doing {
                Doing::Idle(since) if now.saturating_duration_since(since) >= IDLE => Some((since, id)),
                _ => None,
            });
            since.min().map(|(_, id)| id)
        };
        silent.or_else(idle)
    }
}

impl Seat {
    /// A whole request has come.
    pub fn served(&self) {
        *lock(&self.state.doing) = Doing::Served;
    }

    /// Its answer is written.
    pub fn idle(&self, now: Instant) {
        *lock(&self.state.doing) = Doing::Idle(now);
    }

    /// Resolves once the connection must give way to another.
    pub async fn given_away(&self) {
        self.state.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats.taken).seats.remove(&self.id);
    }
}

/// A panic while the lock is held leaves plain values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_away(seat: &Seat) -> bool {
        let mut leaves = std::pin::pin!(seat.given_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(leaves.as_mut(), &mut context).is_ready()
    }

    #[test]
    fn whoever_asks_nothing_gives_way_first() {
        let (seats, now) = (Seats::new(3), Instant::now());
        let [first, second, third] = [(); 3].map(|()| seats.take(now).expect("room"));
        first.served();
        first.idle(now);
        let fourth = seats.take(now + 2 * IDLE).expect("room");
        assert!(is_given_away(&second), "the oldest that has asked nothing");
        assert!(!is_given_away(&first) && !is_given_away(&third));
        drop(second);
        third.served();
        fourth.served();
        assert!(seats.take(now + IDLE / 2).is_none(), "it may ask again at any moment");
        let fifth = seats.take(now + IDLE).expect("room");
        assert!(is_given_away(&first), "idle for longest");
        fifth.served();
        assert!(seats.take(now + 3 * IDLE).is_none(), "all of them are being answered");
        drop(fifth);
        assert!(seats.take(now).is_some());
    }
}
