//! A circuit breaker: what fails again and again is left alone for a while, so that nobody waits
//! for it in vain.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{ConnectError, Lookup, Portion};

/// Failures in a row after which nothing is asked. Fewer would take one lost answer for an outage;
/// each of more is a batch that waited out all its attempts.
const FAILURES_MAX: u32 = 3;
/// How long nothing is asked then. A system that comes back is asked again within so long, and one
/// that is away is asked this often.
const PAUSE: Duration = Duration::from_secs(5);

/// Fails at once while what it wraps is believed to be away.
#[derive(Debug)]
pub struct CircuitBreaker<T> {
    inner: T,
    breaker: Breaker,
}

/// Whether something is believed to be away, as those find who ask it.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when nothing is asked.
    open_until: Option<Instant>,
}

impl<T> CircuitBreaker<T> {
    /// Leaves `inner` alone for some seconds after some failures in a row; then one call tries
    /// whether it is back.
    pub fn new(inner: T) -> Self {
        Self::with_pause(inner, PAUSE)
    }

    fn with_pause(inner: T, pause: Duration) -> Self {
        Self { inner, breaker: Breaker::new(FAILURES_MAX, pause) }
    }
}

impl Breaker {
    /// Leaves alone for so long what has failed so many times in a row; then one call tries whether
    /// it is back.
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, state: Mutex::default() }
    }

    /// Whether a call may go through. While it is open, the first after the pause may, and others
    /// wait for what becomes of it.
    ///
    /// # Errors
    /// It is not to be asked now.
    pub fn enter(&self) -> Result<(), ConnectError> {
        let mut state = self.state();
        let now = Instant::now();
        match state.open_until {
            Some(until) if now < until => {
                let times = if state.failures == 1 {
                    "a moment ago".to_owned()
                } else {
                    format!("{} times in a row", state.failures)
                };
                Err(ConnectError::unasked(format!("not asked: it failed {times}")))
            }
            Some(_) => {
                state.open_until = Some(now + self.pause);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What became of a call that went through.
    pub fn leave(&self, is_failure: bool) {
        let mut state = self.state();
        if !is_failure {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.failures_max {
            state.open_until = Some(Instant::now() + self.pause);
        }
    }

    /// A panic between lock and unlock leaves plain values behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<T: Lookup> Lookup for CircuitBreaker<T> {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        self.breaker.enter()?;
        let outcome = self.inner.get(keys).await;
        // What refuses a key is there.
        self.breaker.leave(outcome.as_ref().is_err_and(|error| !error.is_of_keys()));
        outcome
    }

    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        self.inner.all()
    }

    fn is_stale(&self) -> bool {
        self.inner.is_stale()
    }

    fn portion(&self) -> Portion {
        self.inner.portion()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use arrow::array::new_null_array;
    use arrow::datatypes::{DataType, Schema};

    use super::*;

    #[derive(Debug, Default)]
    struct Moody {
        asked: AtomicUsize,
        is_back: AtomicBool,
    }

    #[async_trait]
    impl Lookup for &Moody {
        fn schema(&self) -> SchemaRef {
            Schema::empty().into()
        }

        async fn get(&self, _: &ArrayRef) -> Result<RecordBatch, ConnectError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.is_back.load(Ordering::SeqCst) {
                true => Ok(RecordBatch::new_empty(self.schema())),
                false => Err(ConnectError::outage("away")),
            }
        }
    }

    /// Refuses every key, and is there.
    #[derive(Debug)]
    struct Choosy;

    #[async_trait]
    impl Lookup for Choosy {
        fn schema(&self) -> SchemaRef {
            Schema::empty().into()
        }

        async fn get(&self, _: &ArrayRef) -> Result<RecordBatch, ConnectError> {
            Err(ConnectError::permanent("not this key").of_keys())
        }
    }

    #[tokio::test]
    async fn keys_that_are_refused_open_nothing() {
        let breaker = CircuitBreaker::with_pause(Choosy, Duration::from_secs(3600));
        for _ in 0..10 {
            let error = breaker.get(&new_null_array(&DataType::Utf8, 1)).await.expect_err("refused");
            assert!(error.is_of_keys(), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_away_is_left_alone_until_one_call_finds_it_back() {
        let moody = Moody::default();
        let keys = new_null_array(&DataType::Utf8, 1);
        let closed = CircuitBreaker::with_pause(&moody, Duration::from_secs(3600));
        for _ in 0..10 {
            closed.get(&keys).await.expect_err("away");
        }
        assert_eq!(moody.asked.load(Ordering::SeqCst), FAILURES_MAX as usize);
        let reopened = CircuitBreaker::with_pause(&moody, Duration::ZERO);
        for _ in 0..5 {
            reopened.get(&keys).await.expect_err("away");
        }
        moody.is_back.store(true, Ordering::SeqCst);
        reopened.get(&keys).await.expect("back");
        moody.is_back.store(false, Ordering::SeqCst);
        let error = reopened.get(&keys).await.expect_err("away again").to_string();
        assert_eq!(error, "away", "failures are counted from none again");
    }
}
