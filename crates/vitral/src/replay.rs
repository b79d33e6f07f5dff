//! A replay's second half: the windows whose rows changed are computed again, even if the process that changed them died between.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vitral_batch::Engine;
use vitral_batch::reconcile::{Range, reconcile, repair};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_schemas::window::Windows;
use vitral_store::Location;

const FILE: &str = "replay-pending.json";

/// Event times of rows that came to count, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    oldest_ms: i64,
    newest_ms: i64,
}

/// Notes, before a replay's commit, whose windows it changes.
pub async fn note(store: &Location, (oldest_ms, newest_ms): (i64, i64)) -> anyhow::Result<()> {
    let known = pending(store).await?;
    let noted = known.map_or(Pending { oldest_ms, newest_ms }, |known| Pending {
        oldest_ms: known.oldest_ms.min(oldest_ms),
        newest_ms: known.newest_ms.max(newest_ms),
    });
    Ok(store.write_text(FILE, &serde_json::to_string(&noted)?).await?)
}

/// Publishes anew the windows that a replay has changed; how many metrics did change.
pub async fn finish_replay(catalog: &Catalog, settings: &DomainSettings, store: &Location) -> anyhow::Result<usize> {
    let Some(Pending { oldest_ms, newest_ms }) = pending(store).await? else { return Ok(0) };
    let longest = catalog.metrics.iter().map(|metric| Windows::new(metric.window, settings.time_zone).longest_ms());
    let range = Range { from_ms: oldest_ms - longest.max().unwrap_or_default(), to_ms: newest_ms + 1 };
    let compared = reconcile(catalog, settings, store, &Engine::Local, range, None).await?;
    let changed = repair(catalog, settings, store, &compared).await?;
    store.delete(FILE).await?;
    Ok(changed)
}

async fn pending(store: &Location) -> anyhow::Result<Option<Pending>> {
    let Some(text) = store.read_text(FILE).await? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{FILE} in {store} is damaged: delete it and run vitral reconcile --repair"))
}
