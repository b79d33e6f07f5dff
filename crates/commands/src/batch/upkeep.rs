//! `vitral batch run retencao|compactacao`: what is stored becomes cold, is deleted, or becomes
//! fewer files.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::sync::Arc;

use anyhow::bail;
use chrono::{SecondsFormat, Utc};
use vitral_batch::import::wording::counted;
use vitral_batch::reconcile::keyed_plans;
use vitral_batch::upkeep::{self, PlannedRetention, RetentionPolicy};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_process::output::answer;
use vitral_schemas::topic::Topic;
use vitral_store::archive::{Outlook, RetentionReport};
use vitral_store::maintenance::Compacted;
use vitral_store::{KeyedPlan, Location};

pub async fn compact(store: &Location) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (table, outcome) in upkeep::compact(store).await? {
        match outcome {
            Ok(Compacted { files_before, files_after, deleted }) => {
                let before = counted(files_before as u64, "file");
                answer(&format!("{table}: {before} became {files_after}, {deleted} old ones deleted"));
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                answer(&format!("{table}: failed: {error:#}"));
                failed.push(table);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} tables could not be compacted, all others were: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

pub async fn retain(
    policy: &RetentionPolicy,
    (catalog, settings): (&Catalog, &DomainSettings),
    store: &Location,
    yes: bool,
) -> anyhow::Result<()> {
    if let Some(unknown) = policy.unknown_hold(catalog) {
        bail!("configuration: retention.legal_hold names {unknown}, which is not a topic's table");
    }
    upkeep::lease(store).await?.during(retain_all(policy, (catalog, settings), store, yes)).await
}

async fn retain_all(
    policy: &RetentionPolicy,
    (catalog, settings): (&Catalog, &DomainSettings),
    store: &Location,
    yes: bool,
) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut problems = Vec::new();
    for topic in &catalog.topics {
        let outcome = async {
            let Some(planned) = PlannedRetention::plan(topic, policy, store, now).await? else { return Ok(()) };
            of_topic(topic, planned, &keyed_plans(catalog, topic, settings)?, store, yes).await
        };
        if let Err(error) = outcome.await {
            problems.push(format!("{}: {error:#}", topic.name));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

async fn of_topic(
    topic: &Topic,
    planned: PlannedRetention<'_>,
    tables: &[Arc<KeyedPlan>],
    store: &Location,
    yes: bool,
) -> anyhow::Result<()> {
    let Outlook { going, total, .. } = planned.outlook;
    if going > 0 {
        let cut_off = planned.cut_off().map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
        answer(&format!(
            "{going} of {total} rows of {}, received before {}, will be deleted",
            topic.name,
            cut_off.unwrap_or_default()
        ));
    }
    if let Some(reason) = planned.concern
        && !yes
        && !is_agreed(topic, &planned.outlook, &reason.to_string())?
    {
        bail!(
            "nothing is moved or deleted, as {reason}: if that is intended, run it with --yes; else correct retention.hot_days and retention.cold_days (\"never\" keeps rows forever)"
        );
    }
    let held = if planned.is_held { "; under legal hold, none may be deleted" } else { "" };
    if let Some(RetentionReport { moved, purged }) = planned.apply(tables, store).await? {
        let moved = counted(moved, "row");
        answer(&format!("{}: {moved} moved to the cold part, {purged} deleted from it{held}", topic.name));
    }
    Ok(())
}

/// Asks at a terminal; elsewhere nobody can agree.
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
