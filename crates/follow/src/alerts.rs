//! What alerts have seen, as the stream's process has stored it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::watch;
use vitral_connect::with_causes;
use vitral_schemas::health::{Health, TaskHealth};
use vitral_store::alerts::{episode_rows, episode_schema, read_episodes, transitions_table};
use vitral_store::{AlertReceiver, Location, StoreError, StoredAt, stored_at};

/// How often to look for new transitions.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// How often all is read though there are none: what was delivered is noted elsewhere.
const READ_EVERY: Duration = Duration::from_secs(30);

/// Shows what is stored of alerts.
pub struct AlertPoller {
    store: Location,
    health: Arc<Health>,
    seen: Option<(Option<StoredAt>, Instant)>,
    shown: watch::Sender<Arc<RecordBatch>>,
}

impl AlertPoller {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "stored alerts";

    /// The poller, to be run, and what it shows.
    pub fn new(store: Location, health: Arc<Health>) -> (Self, AlertReceiver) {
        let (shown, receiver) = watch::channel(Arc::new(RecordBatch::new_empty(episode_schema())));
        (Self { store, health, seen: None, shown }, receiver)
    }

    /// Runs until it is dropped. Failures are logged, and polling goes on.
    pub async fn run(&mut self) {
        loop {
            match self.poll().await {
                Ok(()) => self.health.task(Self::NAME, TaskHealth::done),
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::warn!(error, "what alerts have seen cannot be read; trying again");
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    async fn poll(&mut self) -> Result<(), StoreError> {
        let newest = transitions_table(&self.store).await?.and_then(|rows| stored_at(&rows));
        let is_known = self.seen.as_ref().is_some_and(|(seen, read)| *seen == newest && read.elapsed() < READ_EVERY);
        if is_known {
            return Ok(());
        }
        if let Some(episodes) = read_episodes(&self.store).await? {
            match episode_rows(episodes.all()) {
                Ok(rows) => drop(self.shown.send_replace(Arc::new(rows))),
                Err(error) => tracing::error!(%error, "what alerts have seen cannot be shown"),
            }
        }
        self.seen = Some((newest, Instant::now()));
        Ok(())
    }
}
