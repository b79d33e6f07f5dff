//! Shows what is imported, by whatever process, to the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vitral_catalog::Catalog;
use vitral_schemas::health::{Health, TaskHealth};
use vitral_schemas::history::{Histories, HistoryReceiver};
use vitral_store::{History, Location, StoreError};

use crate::supervisor::Work;

/// How often it is looked for new rows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub struct Watcher {
    catalog: Arc<Catalog>,
    store: Location,
    health: Arc<Health>,
    opened: BTreeMap<String, History>,
    shown: watch::Sender<Arc<Histories>>,
}

impl Work for Watcher {
    fn name(&self) -> &'static str {
        "imported rows"
    }

    /// What fails is told and tried again.
    async fn run(&mut self) {
        loop {
            match self.look().await {
                Ok(()) => self.health.task(self.name(), TaskHealth::done),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    tracing::warn!(error = format!("{error:#}"), "imported rows cannot be read; trying again");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Watcher {
    /// The watcher, to be run, and what it shows.
    pub fn new(catalog: Arc<Catalog>, store: Location, health: Arc<Health>) -> (Self, HistoryReceiver) {
        let (shown, receiver) = watch::channel(Arc::default());
        (Self { catalog, store, health, opened: BTreeMap::new(), shown }, receiver)
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for topic in &self.catalog.topics {
            match self.opened.get_mut(&topic.name) {
                Some(history) => {
                    if history.refresh().await? {
                        changed.push((topic.name.clone(), history.provider().await?));
                    }
                }
                None => {
                    let location = self.store.join("history").join(&topic.name);
                    if let Some(history) = History::read(topic, &location).await? {
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
