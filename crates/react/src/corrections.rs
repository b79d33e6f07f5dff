//! Corrections of the past, by replays and imports: what changes by them is known to nobody as
//! news.
//!
//! While a process runs, it sees imports as they come. Those that it does not see are found at a
//! start, and once the table of alerts is opened again after a failure, by comparing how often each
//! topic was corrected with what was noted when the last of them had been evaluated.

use std::collections::BTreeSet;

use vitral_catalog::Catalog;
use vitral_store::alerts::AlertLog;
use vitral_store::{Archive, History, Layout, Location, StoreError};

/// Tables that are kept up to date take in an import later than other readers; only then is it
/// noted.
const NOTED_AFTER_MS: i64 = 30_000;

/// What of them is known.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    /// Alerts that have not been evaluated since a start that found some: what they find first is
    /// of the past.
    lacking: BTreeSet<String>,
    /// When the last was seen, on the steady clock, until it is noted.
    seen_ms: Option<i64>,
    /// How often each topic had been corrected when that was last noted or looked for; none before
    /// the start.
    known: Option<String>,
}

impl Corrections {
    /// At a start and after a failure: what came in between was not seen.
    pub async fn look(
        &mut self,
        catalog: &Catalog,
        store: &Location,
        log: &AlertLog,
        steady_ms: i64,
    ) -> Result<(), StoreError> {
        let now = so_far(catalog, store).await?;
        let (known, seen_ms) = match &self.known {
            Some(known) => (Some(known.clone()), steady_ms),
            // At a start no table is read before it has taken in everything.
            None => (log.corrections().await?, i64::MIN),
        };
        if known.as_ref() != Some(&now) {
            self.lacking = catalog.alerts().map(|(view, _)| view.name.clone()).collect();
            self.seen_ms = Some(seen_ms);
        }
        self.known = Some(now);
        Ok(())
    }

    /// Whether what this alert finds is of the past.
    pub fn lack(&self, alert: &str) -> bool {
        self.lacking.contains(alert)
    }

    /// These alerts have been evaluated.
    pub fn taken_in(&mut self, alerts: &BTreeSet<String>) {
        self.lacking.retain(|name| !alerts.contains(name));
    }

    /// An import was seen.
    pub fn changed(&mut self, steady_ms: i64) {
        self.seen_ms = Some(steady_ms);
    }

    /// Notes what every alert has taken in.
    pub async fn keep(
        &mut self,
        catalog: &Catalog,
        store: &Location,
        log: &AlertLog,
        steady_ms: i64,
    ) -> Result<(), StoreError> {
        let is_due = self.seen_ms.is_some_and(|seen_ms| steady_ms.saturating_sub(seen_ms) >= NOTED_AFTER_MS);
        if is_due && self.lacking.is_empty() {
            let now = so_far(catalog, store).await?;
            log.set_corrections(&now).await?;
            (self.known, self.seen_ms) = (Some(now), None);
        }
        Ok(())
    }
}

/// How often each topic was corrected, in a form to be compared with that of another time. A topic
/// that never was is not in it, so that its beginning is not taken for a correction.
async fn so_far(catalog: &Catalog, store: &Location) -> Result<String, StoreError> {
    let mut known = Vec::new();
    for topic in &catalog.topics {
        let (archive, history) =
            (Archive::read(topic, store).await?, History::read(topic, &Layout::of(store).history(topic)).await?);
        let replays = if let Some(archive) = archive { archive.replays().await? } else { 0 };
        let imports = if let Some(history) = history { history.sequence().await? } else { 0 };
        if (replays, imports) != (0, 0) {
            known.push(format!("{}={replays}+{imports}", topic.name));
        }
    }
    Ok(known.join("\n"))
}
