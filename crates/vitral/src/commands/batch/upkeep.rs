//! `vitral batch run retencao|compactacao`: what is stored becomes cold, goes away, or becomes fewer files.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use vitral_catalog::Catalog;
use vitral_schemas::topic::Topic;
use vitral_store::archive::{self, LastRetention, Limits, Outlook, Retained};
use vitral_store::lease::{Holder, Lease, UPKEEP};
use vitral_store::maintenance::{self, Compacted};
use vitral_store::{Act, Location, StoreError};

use crate::cli::answer;
use crate::config::Retention;

/// How long another upkeep is waited for.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Before any row came.
const LONG_AGO_MS: i64 = -(1 << 48);

/// What changes rows that are stored excludes its like, on whatever host.
pub async fn lease(store: &Location) -> Result<Lease, StoreError> {
    Lease::take(store, UPKEEP, &Holder::of_process(), PATIENCE).await
}

pub async fn compact(store: &Location) -> anyhow::Result<()> {
    lease(store).await?.during(compact_all(store)).await
}

async fn compact_all(store: &Location) -> anyhow::Result<()> {
    let (mut failed, mut before, mut after, mut deleted_files) = (Vec::new(), 0, 0, 0);
    for (table, outcome) in maintenance::compact(store).await? {
        match outcome {
            Ok(Compacted { files_before, files_after, deleted }) => {
                answer(&format!("{table}: {files_before} files became {files_after}, {deleted} old ones deleted"));
                before += files_before;
                after += files_after;
                deleted_files += deleted;
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                answer(&format!("{table}: failed: {error:#}"));
                failed.push(table);
            }
        }
    }
    if before != after || deleted_files > 0 {
        let act = Act::of_command("compactar", store.to_string()).before(json!({ "arquivos": before }).to_string());
        let act = act.after(json!({ "arquivos": after, "apagados": deleted_files }).to_string());
        let act = if failed.is_empty() { act } else { act.failed(format!("not {}", failed.join(", "))) };
        act.record(store).await?;
    }
    if !failed.is_empty() {
        bail!("{} tables could not be compacted, all others were: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

pub async fn retain(retention: &Retention, catalog: &Catalog, store: &Location, yes: bool) -> anyhow::Result<()> {
    if let Some(unknown) = retention.legal_hold.iter().find(|name| catalog.topic(name).is_none()) {
        bail!("configuration: retention.legal_hold names {unknown}, which is no topic's table");
    }
    lease(store).await?.during(retain_all(retention, catalog, store, yes)).await
}

async fn retain_all(retention: &Retention, catalog: &Catalog, store: &Location, yes: bool) -> anyhow::Result<()> {
    let now = Utc::now();
    let before_ms = |days: i64| (now - TimeDelta::days(days)).timestamp_millis();
    let (hot_days, kept_days) = retention.days();
    let mut problems = Vec::new();
    for topic in &catalog.topics {
        let is_held = retention.legal_hold.contains(&topic.name);
        let limits = Limits {
            hot_ms: hot_days.map_or(LONG_AGO_MS, before_ms),
            cold_ms: kept_days.filter(|_| !is_held).map(before_ms),
            now_ms: now.timestamp_millis(),
        };
        match of_topic(topic, store, limits, yes).await {
            Ok(None) => {}
            Ok(Some(Retained { moved, gone })) => {
                let held = if is_held { "; under legal hold, none may go" } else { "" };
                answer(&format!("{}: {moved} rows moved to the cold part, {gone} deleted from it{held}", topic.name));
            }
            Err(error) => problems.push(format!("{}: {error:#}", topic.name)),
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

async fn of_topic(topic: &Topic, store: &Location, limits: Limits, yes: bool) -> anyhow::Result<Option<Retained>> {
    let Some(outlook) = archive::outlook(topic, store, limits).await? else { return Ok(None) };
    let Outlook { going, total, .. } = outlook;
    if going > 0 {
        let shown = |ms| DateTime::from_timestamp_millis(ms).map(|t| t.to_rfc3339_opts(SecondsFormat::Secs, true));
        let cut_off = limits.cold_ms.and_then(shown).unwrap_or_default();
        answer(&format!("of {} {going} of {total} rows go, which came before {cut_off}", topic.name));
    }
    let last = LastRetention::read(store, topic).await?;
    if let Some(reason) = LastRetention::concern(last.as_ref(), limits, &outlook)
        && !yes
        && !is_agreed(topic, &outlook, &reason.to_string())?
    {
        bail!(
            "nothing is moved or deleted, as {reason}: if that is meant, run it with --yes; else correct retention.hot_days and retention.cold_days (\"never\" keeps rows for ever)"
        );
    }
    let act = || {
        let before = json!({ "linhas": total }).to_string();
        Act::of_command("reter", topic.name.clone()).before(before)
    };
    let done = match archive::retain(topic, store, limits).await {
        Ok(Some(done)) => done,
        Ok(None) => return Ok(None),
        Err(error) => {
            act().failed(&error).record(store).await?;
            return Err(error.into());
        }
    };
    LastRetention::record(store, topic, limits, done).await?;
    if done != Retained::default() {
        let Retained { moved, gone } = done;
        let after = json!({ "linhas": total - gone.min(total), "movidas": moved, "apagadas": gone });
        act().after(after.to_string()).record(store).await?;
    }
    Ok(Some(done))
}

/// Asks whoever sits at a terminal; nobody else can agree.
fn is_agreed(topic: &Topic, outlook: &Outlook, reason: &str) -> anyhow::Result<bool> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Ok(false);
    }
    let Outlook { going, total, .. } = outlook;
    eprint!("{reason}. Delete {going} of {total} rows of {} for good? Write yes: ", topic.name);
    stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
