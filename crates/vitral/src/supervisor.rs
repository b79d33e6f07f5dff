//! Background work: started again when it ends or panics, and seen in `/readyz` meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::task::JoinSet;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_follow::{AlertPoller, Follower};
use vitral_process::output::panic_words;
use vitral_react::{Alerts, Sinks};
use vitral_schemas::health::Health;
use vitral_store::HistoryPoller;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// Runs until it is dropped. What it keeps between runs must be right even after one that panicked.
pub trait Work: Send + 'static {
    fn name(&self) -> &'static str;
    fn run(&mut self) -> impl Future<Output = ()> + Send;
}

/// Background work of a process, which ends when this is dropped.
pub struct Supervisor {
    tasks: JoinSet<()>,
    health: Arc<Health>,
}

impl Supervisor {
    pub fn new(health: Arc<Health>) -> Self {
        Self { tasks: JoinSet::new(), health }
    }

    /// Runs the work until it is stopped. From its end until it has done something it is down.
    pub fn start<W: Work>(&mut self, work: W) {
        self.tasks.spawn(keep_running(work, Arc::clone(&self.health)));
    }

    /// Ends the work, wherever it stands, and waits until nothing of it runs.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn keep_running<W: Work>(mut work: W, health: Arc<Health>) {
    let name = work.name();
    health.task(name, |_| ());
    let mut wait = RETRY_FIRST;
    loop {
        let started = Instant::now();
        let mut run = std::pin::pin!(AssertUnwindSafe(work.run()).catch_unwind());
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = tokio::time::sleep(wait * 2) => {
                health.task(name, |task| task.down = None);
                run.await
            }
        };
        let reason = match ended {
            Ok(()) => "it ended".to_owned(),
            Err(panic) => format!("it panicked: {}", panic_words(panic.as_ref())),
        };
        tracing::error!(task = name, reason, wait_seconds = wait.as_secs(), "background work is restarted");
        health.task(name, |task| {
            task.restarts += 1;
            task.down.get_or_insert((Instant::now(), String::new())).1 = reason;
        });
        tokio::time::sleep(wait).await;
        wait = if started.elapsed() > RETRY_LONGEST * 2 { RETRY_FIRST } else { (wait * 2).min(RETRY_LONGEST) };
    }
}

impl Work for ContinuousReconciliation {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

impl Work for Alerts {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

impl Work for Sinks {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

impl Work for HistoryPoller {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

impl Work for Follower {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

impl Work for AlertPoller {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&mut self) {
        self.run().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics, ends, and then does its work.
    struct Unsteady {
        runs: usize,
        health: Arc<Health>,
    }

    impl Work for Unsteady {
        fn name(&self) -> &'static str {
            "unsteady"
        }

        async fn run(&mut self) {
            self.runs += 1;
            match self.runs {
                1 => panic!("no {}", "luck"),
                2 => {}
                _ => {
                    self.health.task("unsteady", |task| task.done());
                    std::future::pending().await
                }
            }
        }
    }

    #[tokio::test]
    async fn work_that_ends_is_started_again_and_seen() {
        let health = Arc::new(Health::default());
        let mut supervisor = Supervisor::new(Arc::clone(&health));
        supervisor.start(Unsteady { runs: 0, health: Arc::clone(&health) });
        let seen = async |wanted: &dyn Fn(&vitral_schemas::health::TaskHealth) -> bool| {
            while !health.tasks().get("unsteady").is_some_and(wanted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        seen(&|task| task.down.as_ref().is_some_and(|(_, reason)| reason == "it panicked: no luck")).await;
        seen(&|task| task.down.as_ref().is_some_and(|(_, reason)| reason == "it ended")).await;
        seen(&|task| task.down.is_none() && task.restarts == 2 && task.done.is_some()).await;
        supervisor.stop().await;
        assert!(supervisor.tasks.is_empty());
    }
}
