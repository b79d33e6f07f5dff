//! Bounds of live streams: how many there may be, and how many of one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::problem::Problem;

/// Shorter than the idle time after which proxies commonly close a connection, 30 or 60 seconds.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The open streams, by client.
pub(crate) struct LiveStreams {
    most: usize,
    open: Mutex<HashMap<Option<IpAddr>, usize>>,
}

/// One open stream, as long as it lives.
pub(crate) struct Place {
    streams: Arc<LiveStreams>,
    client: Option<IpAddr>,
}

impl LiveStreams {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A client gets half of all, one that is not known as many as there are.
    pub(super) fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, Problem> {
        let client = client.map(|client| client.to_canonical());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = open.get(&client).copied().unwrap_or_default();
        let most_of_client = if client.is_some() { self.most.div_ceil(2) } else { self.most };
        if open.values().sum::<usize>() >= self.most || of_client >= most_of_client {
            return Err(Problem::too_many_streams(self.most));
        }
        open.insert(client, of_client + 1);
        Ok(Place { streams: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_all_streams() {
        let streams = LiveStreams::new(4);
        let client = |number: u8| Some(IpAddr::from([10, 0, 0, number]));
        let mine = [streams.enter(client(1)).expect("free"), streams.enter(client(1)).expect("free")];
        assert!(streams.enter(client(1)).is_err());
        let _other = (streams.enter(client(2)).expect("free"), streams.enter(client(3)).expect("free"));
        assert!(streams.enter(client(4)).is_err(), "all are taken");
        drop(mine);
        assert!(streams.enter(client(1)).is_ok());
        assert_eq!(streams.open.lock().expect("not poisoned").len(), 2);
    }
}
