//! How often wrong credentials may come from one address: secrets must not be tried at will.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At once.
const FREE: u32 = 20;
/// And then one in this time.
const EVERY: Duration = Duration::from_secs(6);
/// Addresses that are remembered; of more, those that have failed the least are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// For each address, until when its failures are not yet made good: each adds [`EVERY`].
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Option<IpAddr>, Instant>>);

impl Failures {
    /// How long this address must wait before it may try again, if it must.
    pub fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let until = *self.table().get(&network(address))?;
        let ahead = until.saturating_duration_since(now);
        // One more must fit.
        let wait = (ahead + EVERY).saturating_sub(EVERY * FREE);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts one.
    pub fn add(&self, address: Option<IpAddr>, now: Instant) {
        let address = network(address);
        let mut table = self.table();
        if table.len() >= ADDRESSES_MAX && !table.contains_key(&address) {
            table.retain(|_, until| *until > now);
            if table.len() >= ADDRESSES_MAX
                && let Some(least) = table.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address)
            {
                table.remove(&least);
            }
        }
        let until = table.entry(address).or_insert(now);
        *until = (*until).max(now) + EVERY;
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Option<IpAddr>, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host of IPv6 has as many addresses as it likes in its network of 64 bits.
fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn an_address_waits_once_it_has_failed_too_often() {
        let (failures, now) = (Failures::default(), Instant::now());
        let mine = address("2001:db8::1");
        for _ in 0..FREE {
            assert_eq!(failures.wait(mine, now), None);
            failures.add(mine, now);
        }
        assert_eq!(failures.wait(mine, now), Some(EVERY));
        assert_eq!(failures.wait(address("2001:db8::2"), now), Some(EVERY), "the same network");
        assert_eq!(failures.wait(address("2001:db8:0:1::1"), now), None);
        assert_eq!(failures.wait(mine, now + EVERY), None);
        failures.add(mine, now + EVERY);
        assert_eq!(failures.wait(mine, now + EVERY), Some(EVERY));
    }

    #[test]
    fn the_table_is_bounded_and_remembers_the_worst() {
        let (failures, now) = (Failures::default(), Instant::now());
        let worst = address("192.0.2.1");
        (0..FREE).for_each(|_| failures.add(worst, now));
        for number in 0..20_000_u32 {
            failures.add(Some(std::net::Ipv4Addr::from_bits((10 << 24) + number).into()), now);
        }
        assert_eq!(failures.table().len(), ADDRESSES_MAX);
        assert!(failures.wait(worst, now).is_some());
    }
}
