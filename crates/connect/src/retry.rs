//! The one retry policy: waits that double up to a longest, with jitter, so that those that failed
//! together do not come back together.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::{ConnectError, RetryHint};

/// How often and for how long attempts are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait; jitter adds up to as much again.
    pub first: Duration,
    /// No wait grows beyond this, but for its jitter.
    pub longest: Duration,
    /// For how long attempts are made; none for as long as it takes.
    pub patience: Option<Duration>,
    /// How many attempts may follow the first; none for as many as fit.
    pub retries: Option<usize>,
}

impl RetryPolicy {
    /// Attempts without end, for what must not be given up, such as a commit.
    pub const fn endless(first: Duration, longest: Duration) -> Self {
        Self { first, longest, patience: None, retries: None }
    }

    /// Attempts for as long as `patience`, with waits from `first` to `longest`.
    pub const fn within(patience: Duration, first: Duration, longest: Duration) -> Self {
        Self { first, longest, patience: Some(patience), retries: None }
    }

    /// So many attempts after the first, with waits from `first` to `longest`.
    pub const fn times(retries: usize, first: Duration, longest: Duration) -> Self {
        Self { first, longest, patience: None, retries: Some(retries) }
    }

    /// Begins a series of attempts.
    pub fn attempts(&self) -> Attempts {
        let waits = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_jitter()
            .without_max_times()
            .build();
        Attempts {
            waits,
            deadline: self.patience.map(|patience| Instant::now() + patience),
            failed: 0,
            retries: self.retries,
        }
    }
}

/// One series of attempts.
#[derive(Debug)]
pub struct Attempts {
    waits: ExponentialBackoff,
    deadline: Option<Instant>,
    failed: usize,
    retries: Option<usize>,
}

impl Attempts {
    /// An attempt has failed: how long to wait before the next, or none if patience or the attempts
    /// are over.
    pub fn failed(&mut self) -> Option<Duration> {
        self.failed += 1;
        let is_last = self.retries.is_some_and(|retries| self.failed > retries);
        if is_last || self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        self.waits.next()
    }

    /// Whether any attempt of the series has failed.
    pub fn have_failed(&self) -> bool {
        self.failed > 0
    }
}

/// Repeats `work` until it succeeds, patience runs out, or the error says that waiting cannot help.
///
/// # Errors
/// The error of the last attempt.
pub async fn retry<T, F: Future<Output = Result<T, ConnectError>>>(
    policy: &RetryPolicy,
    mut work: impl FnMut() -> F,
) -> Result<T, ConnectError> {
    let mut attempts = policy.attempts();
    loop {
        let error = match work().await {
            Ok(value) => return Ok(value),
            Err(error) if error.retry_hint() == RetryHint::Permanent => return Err(error),
            Err(error) => error,
        };
        match attempts.failed() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_the_longest_and_never_come_at_the_same_moment() {
        let policy = RetryPolicy::endless(100 * MS, 400 * MS);
        let waits = |mut attempts: Attempts| -> Vec<Duration> {
            (0..6).map(|_| attempts.failed().expect("there is no end")).collect()
        };
        let (one, other) = (waits(policy.attempts()), waits(policy.attempts()));
        for (wait, base) in one.iter().zip([100, 200, 400, 400, 400, 400]) {
            assert!(*wait >= base * MS && *wait <= 2 * base * MS, "{one:?}");
        }
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn what_cannot_pass_is_tried_once_and_what_can_until_it_does() {
        let policy = RetryPolicy::endless(MS, MS);
        let tried = Cell::new(0);
        let attempt = |hint: RetryHint, successes_after: u32| {
            tried.set(tried.get() + 1);
            let outcome =
                if tried.get() > successes_after { Ok(tried.get()) } else { Err(ConnectError::new(hint, "no")) };
            std::future::ready(outcome)
        };
        assert_eq!(retry(&policy, || attempt(RetryHint::Outage, 3)).await.expect("in the end"), 4);
        tried.set(0);
        retry(&policy, || attempt(RetryHint::Permanent, 3)).await.expect_err("a refusal");
        assert_eq!(tried.get(), 1);
    }

    #[tokio::test]
    async fn attempts_are_counted() {
        let tried = Cell::new(0);
        let attempt = || {
            tried.set(tried.get() + 1);
            std::future::ready(Err::<(), _>(ConnectError::outage("away")))
        };
        retry(&RetryPolicy::times(2, MS, MS), attempt).await.expect_err("no success");
        assert_eq!(tried.get(), 3, "the first and two more");
    }

    #[tokio::test]
    async fn patience_ends() {
        let policy = RetryPolicy::within(5 * MS, MS, MS);
        let error = retry(&policy, || std::future::ready(Err::<(), _>(ConnectError::outage("away")))).await;
        assert_eq!(error.expect_err("no success").to_string(), "away");
    }
}
