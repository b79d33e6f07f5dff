//! How often a principal may ask.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use vitral_query::Principal;
use vitral_schemas::time::Clock;

/// Those who share the rates may take so long to answer; then this process decides by itself.
const SHARED_TIMEOUT: Duration = Duration::from_millis(250);
/// How often those who have not asked for a while are forgotten.
const FORGET_EVERY_MS: i64 = 10_000;
/// How often it is logged that rates are not shared.
const COMPLAIN_EVERY_MS: i64 = 60_000;

/// So many requests in so long a time. All of them may come at once; then each takes its share of
/// the time to be free again (GCRA with a burst of `requests`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
}

/// Whether one more may be asked, and how many after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Whether this one is answered.
    pub is_allowed: bool,
    /// How many may come at once; 0 where nothing is limited.
    pub limit: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// How long until as many as ever may come.
    pub reset_after: Duration,
    /// How long until the next is answered; nothing if this one is.
    pub retry_after: Duration,
}

/// Processes that count together.
#[async_trait]
pub trait SharedRates: fmt::Debug + Send + Sync {
    /// Counts one request of the principal with this name.
    async fn check(&self, key: &str, limit: Limit) -> Result<Rate, SharedRatesError>;
}

/// Why processes cannot count together now.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SharedRatesError(pub String);

type Local = RateLimiter<Arc<str>, DefaultKeyedStateStore<Arc<str>>, Steady, StateInformationMiddleware>;

/// The rates of all principals.
pub struct Rates {
    local: Option<(Limit, Local)>,
    shared: Option<Arc<dyn SharedRates>>,
    clock: Arc<dyn Clock>,
    forgot_ms: AtomicI64,
    complained_ms: AtomicI64,
}

/// The clock that tests may set.
struct Steady(Arc<dyn Clock>);

impl governor::clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.steady_ms()).unwrap_or_default())
    }
}

impl Rates {
    /// Without a limit, or with one of nothing, nobody is kept waiting.
    pub(crate) fn new(limit: Option<Limit>, shared: Option<Arc<dyn SharedRates>>, clock: Arc<dyn Clock>) -> Self {
        let local = limit.and_then(|limit| {
            let requests = NonZeroU32::new(limit.requests)?;
            let quota = Quota::with_period(limit.per / requests.get())?.allow_burst(requests);
            let steady = Steady(Arc::clone(&clock));
            Some((limit, Local::new(quota, DefaultKeyedStateStore::default(), steady)))
        });
        let now_ms = clock.steady_ms();
        Self { local, shared, forgot_ms: now_ms.into(), complained_ms: (now_ms - COMPLAIN_EVERY_MS).into(), clock }
    }

    /// Counts a request. Those of this machine, where nobody is asked who they are, are not
    /// limited.
    pub async fn check(&self, principal: &Principal) -> Rate {
        let Some((limit, local)) = self.local.as_ref().filter(|_| !is_of_this_machine(principal)) else {
            return Rate::unlimited();
        };
        if let Some(shared) = &self.shared {
            match tokio::time::timeout(SHARED_TIMEOUT, shared.check(principal.id(), *limit)).await {
                Ok(Ok(rate)) => return rate,
                Ok(Err(error)) => self.complain(&error.to_string()),
                Err(_) => self.complain(&format!("no answer within {} ms", SHARED_TIMEOUT.as_millis())),
            }
        }
        self.forget(local);
        rate(local, *limit, principal.id().into())
    }

    /// Keeps in memory only those who have asked lately.
    fn forget(&self, local: &Local) {
        if self.is_due(&self.forgot_ms, FORGET_EVERY_MS) {
            local.retain_recent();
            local.shrink_to_fit();
        }
    }

    fn complain(&self, error: &str) {
        if self.is_due(&self.complained_ms, COMPLAIN_EVERY_MS) {
            tracing::warn!(error, "rates are not shared with other processes now; each counts by itself");
        }
    }

    fn is_due(&self, last_ms: &AtomicI64, every_ms: i64) -> bool {
        let (last, now) = (last_ms.load(Ordering::Relaxed), self.clock.steady_ms());
        now - last >= every_ms && last_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn rate(local: &Local, limit: Limit, key: Arc<str>) -> Rate {
    let per_request = limit.per / limit.requests;
    match local.check_key(&key) {
        Ok(state) => {
            let remaining = state.remaining_burst_capacity();
            let reset_after = per_request * (limit.requests - remaining.min(limit.requests));
            Rate { is_allowed: true, limit: limit.requests, remaining, reset_after, retry_after: Duration::ZERO }
        }
        Err(until) => {
            let retry_after = until.wait_time_from(local.clock().now());
            let reset_after = retry_after + per_request * (limit.requests - 1);
            Rate { is_allowed: false, limit: limit.requests, remaining: 0, reset_after, retry_after }
        }
    }
}

impl Rate {
    fn unlimited() -> Self {
        let none = Duration::ZERO;
        Self { is_allowed: true, limit: 0, remaining: u32::MAX, reset_after: none, retry_after: none }
    }
}

fn is_of_this_machine(principal: &Principal) -> bool {
    let known = [("anonymous", Principal::anonymous as fn() -> Principal), ("operator", Principal::operator)];
    known.iter().any(|(id, of)| principal.id() == *id && *principal == of())
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.local.as_ref().map(|(limit, _)| limit);
        f.debug_struct("Rates").field("limit", &limit).field("shared", &self.shared).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use vitral_query::{RowFilters, Scopes};
    use vitral_schemas::time::ManualClock;

    use super::*;

    fn rates(requests: u32, shared: Option<Arc<dyn SharedRates>>) -> (Rates, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(50_000));
        let limit = Limit { requests, per: Duration::from_secs(10) };
        (Rates::new(Some(limit), shared, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn principal(id: &str) -> Principal {
        Principal::new(id, Scopes::default(), RowFilters::default())
    }

    #[tokio::test]
    async fn each_principal_has_its_own_and_gets_it_back() {
        let (rates, clock) = rates(5, None);
        for remaining in (0..5).rev() {
            let rate = rates.check(&principal("a")).await;
            assert_eq!((rate.is_allowed, rate.limit, rate.remaining), (true, 5, remaining));
            assert_eq!(rate.reset_after, Duration::from_secs(2) * (5 - remaining));
        }
        let rate = rates.check(&principal("a")).await;
        assert_eq!((rate.is_allowed, rate.remaining, rate.retry_after), (false, 0, Duration::from_secs(2)));
        assert!(rates.check(&principal("b")).await.is_allowed);
        clock.set_ms(51_999);
        assert!(!rates.check(&principal("a")).await.is_allowed);
        clock.set_ms(52_000);
        assert!(rates.check(&principal("a")).await.is_allowed);
        assert!(!rates.check(&principal("a")).await.is_allowed);
    }

    #[tokio::test]
    async fn without_a_limit_and_on_this_machine_nobody_waits() {
        let (none, _) = rates(0, None);
        let (few, _) = rates(1, None);
        for _ in 0..3 {
            assert!(none.check(&principal("a")).await.is_allowed);
            assert_eq!(few.check(&Principal::anonymous()).await, Rate::unlimited());
        }
        few.check(&principal("anonymous")).await;
        assert!(!few.check(&principal("anonymous")).await.is_allowed, "only by its name");
    }

    #[tokio::test]
    async fn those_who_ask_no_more_are_forgotten() {
        let (rates, clock) = rates(5, None);
        for number in 0..1_000 {
            rates.check(&principal(&number.to_string())).await;
        }
        let known = || rates.local.as_ref().expect("a limit").1.len();
        assert_eq!(known(), 1_000);
        clock.set_ms(50_000 + FORGET_EVERY_MS + 10_000);
        rates.check(&principal("a")).await;
        assert!(known() <= 1, "{}", known());
    }

    #[derive(Debug)]
    struct Away;

    #[async_trait]
    impl SharedRates for Away {
        async fn check(&self, _: &str, _: Limit) -> Result<Rate, SharedRatesError> {
            Err(SharedRatesError("connection refused".to_owned()))
        }
    }

    #[derive(Debug)]
    struct Refuses;

    #[async_trait]
    impl SharedRates for Refuses {
        async fn check(&self, key: &str, limit: Limit) -> Result<Rate, SharedRatesError> {
            assert_eq!((key, limit.requests), ("a", 2));
            Ok(Rate { is_allowed: false, ..Rate::unlimited() })
        }
    }

    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl SharedRates for Silent {
        async fn check(&self, _: &str, _: Limit) -> Result<Rate, SharedRatesError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn shared_rates_decide_and_this_process_while_they_are_away() {
        let (shared, _) = rates(2, Some(Arc::new(Refuses)));
        assert!(!shared.check(&principal("a")).await.is_allowed);
        let (alone, _) = rates(2, Some(Arc::new(Away)));
        let allowed = [
            alone.check(&principal("a")).await.is_allowed,
            alone.check(&principal("a")).await.is_allowed,
            alone.check(&principal("a")).await.is_allowed,
        ];
        assert_eq!(allowed, [true, true, false]);
    }

    #[tokio::test]
    async fn shared_rates_that_never_answer_keep_nobody_waiting() {
        let (alone, _) = rates(1, Some(Arc::new(Silent)));
        assert!(alone.check(&principal("a")).await.is_allowed);
        assert!(!alone.check(&principal("a")).await.is_allowed);
    }
}
