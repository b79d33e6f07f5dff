//! Shows readers what any process has imported.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::histories::{Histories, HistoryReceiver};
use tokio::sync::watch;
use vitral_schemas::health::{Health, TaskHealth};
use vitral_schemas::topic::Topic;

use crate::error::StoreError;
use crate::history::History;
use crate::layout::Layout;
use crate::location::Location;

/// How often to poll for new rows.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Polls for rows that imports have added.
pub struct HistoryPoller {
    topics: Vec<Topic>,
    store: Location,
    health: Arc<Health>,
    opened: BTreeMap<String, History>,
    shown: watch::Sender<Arc<Histories>>,
}

impl HistoryPoller {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "imported rows";

    /// The poller, to be run, and what it shows.
    pub fn new(topics: Vec<Topic>, store: Location, health: Arc<Health>) -> (Self, HistoryReceiver) {
        let (shown, receiver) = watch::channel(Arc::default());
        (Self { topics, store, health, opened: BTreeMap::new(), shown }, receiver)
    }

    /// Runs until it is dropped. Failures are logged, and polling goes on.
    pub async fn run(&mut self) {
        loop {
            match self.poll().await {
                Ok(()) => self.health.task(Self::NAME, TaskHealth::done),
                Err(error) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(error, "imported rows cannot be read; trying again");
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    async fn poll(&mut self) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for topic in &self.topics {
            match self.opened.get_mut(&topic.name) {
                Some(history) => {
                    if history.refresh().await? {
                        changed.push((topic.name.clone(), history.provider().await?));
                    }
                }
                None => {
                    let place = Layout::of(&self.store).history(topic);
                    if let Some(history) = History::read(topic, &place).await? {
                        changed.push((topic.name.clone(), history.provider().await?));
                        self.opened.insert(topic.name.clone(), history);
                    }
                }
            }
        }
        if !changed.is_empty() {
            self.shown.send_modify(|shown| Arc::make_mut(shown).extend(changed));
        }
        Ok(())
    }
}
