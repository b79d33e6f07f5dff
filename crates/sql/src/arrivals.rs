//! Connections on which nobody has signed in yet: they take no place of those who have, and one
//! address takes a part of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// All of them, and those of one address. A sign-in takes milliseconds.
const ARRIVALS: usize = 256;
const ARRIVALS_OF_ONE: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<HashMap<IpAddr, usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Arrival {
    all: Arc<Arrivals>,
    address: IpAddr,
}

impl Arrivals {
    /// None if there are too many already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Arrival> {
        let address = address.to_canonical();
        let mut by_address = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_address.get(&address).copied().unwrap_or_default();
        if own >= ARRIVALS_OF_ONE || by_address.values().sum::<usize>() >= ARRIVALS {
            return None;
        }
        by_address.insert(address, own + 1);
        Some(Arrival { all: Arc::clone(self), address })
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut by_address = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_address_leaves_places_to_others() {
        let arrivals = Arc::new(Arrivals::default());
        let address = |last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
        let mut own: Vec<_> = (0..ARRIVALS_OF_ONE).map(|_| arrivals.enter(address(1)).expect("a place")).collect();
        assert!(arrivals.enter(address(1)).is_none());
        assert!(arrivals.enter(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into()).is_none(), "the same address");
        assert!(arrivals.enter(address(2)).is_some());
        own.pop();
        assert!(arrivals.enter(address(1)).is_some());
        let others: Vec<_> = (2..=255).map_while(|last| arrivals.enter(address(last))).collect();
        assert_eq!(own.len() + others.len(), ARRIVALS);
        drop((own, others));
        assert!(arrivals.0.lock().expect("not poisoned").is_empty());
    }
}
