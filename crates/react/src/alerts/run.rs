//! The loop: evaluate, commit, deliver, and wait.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_schemas::health::TaskHealth;

use super::Alerts;
use crate::error::ReactError;

/// How often to look for a commit or for a time that has come.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// After a failure of the store.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Alerts {
    /// Runs until it is dropped. Failures are reported and tried again.
    pub async fn run(&mut self) {
        // What an earlier run left may be half done.
        self.log = None;
        if self.inputs.view.wait_for(|view| view.ready).await.is_err() {
            return;
        }
        loop {
            let started = Instant::now();
            let wait = match self.poll().await {
                Ok(()) => {
                    let health = Arc::clone(&self.inputs.view.borrow().health);
                    health.task(Self::NAME, TaskHealth::done);
                    // Evaluations take half of one processor at most.
                    POLL_EVERY.max(started.elapsed())
                }
                Err(error) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(error, "alerts could not be evaluated; trying again");
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.outbox.wait() => {}
            }
        }
    }

    /// Evaluates what has changed or is due, commits what follows, and hands on what is to be
    /// delivered.
    pub async fn poll(&mut self) -> Result<(), ReactError> {
        if self.log.is_none() {
            self.open().await?;
        }
        self.look_for_silences().await;
        self.deliver().await?;
        self.evaluate().await?;
        self.deliver().await
    }
}
