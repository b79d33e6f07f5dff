//! Upkeep of what is stored: small files become large ones, old rows become cold, and rows that are
//! too old are deleted.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use vitral_catalog::Catalog;
use vitral_schemas::topic::Topic;
use vitral_store::archive::{self, LastRetention, Limits, Outlook, RetentionConcern, RetentionReport};
use vitral_store::keyed::keep_balances;
use vitral_store::lease::{Holder, Lease, UPKEEP};
use vitral_store::maintenance::{self, Compacted};
use vitral_store::{Act, KeyedPlan, Location, StoreError};

use crate::error::BatchError;

/// How long another process's upkeep is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3600);
/// Before any row came.
const LONG_AGO_MS: i64 = -(1 << 48);

/// What changes rows that are stored excludes its like, on whatever host.
pub async fn lease(store: &Location) -> Result<Lease, StoreError> {
    Lease::take(store, UPKEEP, &Holder::of_process(), PATIENCE).await
}

/// Compacts every table below the store, and records that; one that fails does not keep the others
/// from it.
pub async fn compact(store: &Location) -> Result<Vec<(String, Result<Compacted, StoreError>)>, BatchError> {
    lease(store).await?.during(compact_all(store)).await
}

async fn compact_all(store: &Location) -> Result<Vec<(String, Result<Compacted, StoreError>)>, BatchError> {
    let compacted = maintenance::compact(store).await?;
    let done = || compacted.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let before: usize = done().map(|table| table.files_before).sum();
    let after: usize = done().map(|table| table.files_after).sum();
    let deleted: usize = done().map(|table| table.deleted).sum();
    let failed: Vec<&str> =
        compacted.iter().filter(|(_, outcome)| outcome.is_err()).map(|(table, _)| table.as_str()).collect();
    if before != after || deleted > 0 {
        let act = Act::of_command("compactar", store.to_string()).before(json!({ "arquivos": before }).to_string());
        let act = act.after(json!({ "arquivos": after, "apagados": deleted }).to_string());
        let act = if failed.is_empty() { act } else { act.failed(format!("not {}", failed.join(", "))) };
        act.record(store).await?;
    }
    Ok(compacted)
}

/// How long archived rows are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Days after which rows become cold, from when they came; none if they never do.
    pub hot_days: Option<i64>,
    /// Days after which they are deleted, from when they came; none if they never are.
    pub kept_days: Option<i64>,
    /// Topics' tables of which nothing is deleted.
    pub legal_hold: Vec<String>,
}

impl RetentionPolicy {
    /// The name of a table under legal hold that is not a topic's.
    pub fn unknown_hold(&self, catalog: &Catalog) -> Option<&str> {
        self.legal_hold.iter().map(String::as_str).find(|name| catalog.topic(name).is_none())
    }

    fn limits(&self, topic: &Topic, now: DateTime<Utc>) -> Limits {
        let before_ms = |days: i64| (now - TimeDelta::days(days)).timestamp_millis();
        let is_held = self.holds(topic);
        Limits {
            hot_ms: self.hot_days.map_or(LONG_AGO_MS, before_ms),
            cold_ms: self.kept_days.filter(|_| !is_held).map(before_ms),
            now_ms: now.timestamp_millis(),
        }
    }

    fn holds(&self, topic: &Topic) -> bool {
        self.legal_hold.contains(&topic.name)
    }
}

/// What retention would do to one topic's archive, for review before it is done.
#[derive(Debug)]
pub struct PlannedRetention<'a> {
    topic: &'a Topic,
    limits: Limits,
    /// How many rows would be moved and deleted.
    pub outlook: Outlook,
    /// Why somebody should agree first.
    pub concern: Option<RetentionConcern>,
    /// Nothing may be deleted, whatever the days say.
    pub is_held: bool,
}

impl<'a> PlannedRetention<'a> {
    /// None if the topic has no archive. To be done under the [`lease`].
    pub async fn plan(
        topic: &'a Topic,
        policy: &RetentionPolicy,
        store: &Location,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, BatchError> {
        let limits = policy.limits(topic, now);
        let Some(outlook) = archive::outlook(topic, store, limits).await? else { return Ok(None) };
        let last = LastRetention::read(store, topic).await?;
        let concern = LastRetention::concern(last.as_ref(), limits, &outlook);
        Ok(Some(Self { topic, limits, outlook, concern, is_held: policy.holds(topic) }))
    }

    /// Rows that came before this are deleted.
    pub fn cut_off(&self) -> Option<DateTime<Utc>> {
        self.limits.cold_ms.and_then(DateTime::from_timestamp_millis)
    }

    /// Does it, and records that; none if the archive went away meanwhile.
    /// First the opening balances of tables that are kept up to date are kept, if rows go.
    pub async fn apply(
        self,
        tables: &[Arc<KeyedPlan>],
        store: &Location,
    ) -> Result<Option<RetentionReport>, BatchError> {
        let Self { topic, limits, outlook: Outlook { total, going, .. }, .. } = self;
        if going > 0 {
            keep_balances(tables, store).await?;
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
        if done != RetentionReport::default() {
            let RetentionReport { moved, purged } = done;
            let after = json!({ "linhas": total - purged.min(total), "movidas": moved, "apagadas": purged });
            act().after(after.to_string()).record(store).await?;
        }
        Ok(Some(done))
    }
}
