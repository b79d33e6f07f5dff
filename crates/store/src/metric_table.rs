//! The final rows of one metric version.
//!
//! A commit appends the rows of whole windows and carries how far the metric is published. It is
//! derived from committed rows of the archive only: after a crash before it, the same windows are
//! published from there.
//!
//! A version that began after events were purged has no windows of their time. There, what the
//! version before it published still holds.

mod earlier;
mod followed;
mod progress;
mod published;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::Expr;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::window::Windows;

use self::earlier::Earlier;
pub use self::progress::MetricProgress;
use self::progress::corrections;
pub use self::published::PublishedWindows;
use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// A stream that merges files at the same time causes conflicts with a repair.
const REPAIR_ATTEMPTS: usize = 5;

/// Next to a version's rows: the statement that declares it.
const DEFINITION_FILE: &str = "_definition.sql";
/// There too while the version is set aside: since when, in milliseconds, and on the next line why.
const FAILURE_FILE: &str = "_failure";

/// The published rows of one version of a metric, and up to when they are published.
#[derive(Debug)]
pub struct MetricTable {
    metric: String,
    version: String,
    /// Of all metrics' tables.
    location: Location,
    application: String,
    table: Table,
    published_through_ms: Option<i64>,
    /// The version of the table that was last seen to be published through there.
    checked_version: Option<u64>,
    /// Windows from before it had events; none if it had all of them.
    earlier: Option<Earlier>,
}

/// A version of a metric that was published at some time.
#[derive(Debug, Clone)]
pub struct PublishedVersion {
    /// The version, as its folder is called.
    pub version: String,
    /// The end of the last published window, in milliseconds since the epoch.
    pub published_through_ms: i64,
    /// The statement that declares it.
    pub definition: String,
}

impl MetricTable {
    /// Opens the table of `metric` at `version` below `location`.
    pub async fn open(metric: &str, version: &str, schema: SchemaRef, location: &Location) -> Result<Self, StoreError> {
        let table = Table::open(metric, &location.join(metric).join(version), schema).await?;
        let application = application(metric, version);
        let published_through_ms = table.transaction(&application).await?;
        let mut opened = Self {
            metric: metric.to_owned(),
            version: version.to_owned(),
            location: location.clone(),
            application,
            checked_version: table.version(),
            table,
            published_through_ms,
            earlier: None,
        };
        opened.look_for_earlier().await?;
        Ok(opened)
    }

    /// Takes windows that lack events from earlier versions: they can no longer be computed. Those
    /// are the windows that start before the first pane after `newest_purged`, the newest event
    /// that is purged, except for those before `done_ms`, which the version already has. To be
    /// called before a history is computed, which begins where this says, or at the oldest event.
    pub async fn begin_where_whole(
        &mut self,
        windows: &Windows,
        newest_purged: Option<EventTime>,
        done_ms: Option<i64>,
    ) -> Result<Option<i64>, StoreError> {
        let whole_from_ms = newest_purged.map(|newest| windows.pane_end_ms(windows.pane_start_ms(newest.micros())));
        if let Some(from_ms) = whole_from_ms.filter(|from_ms| done_ms < Some(*from_ms)) {
            self.begin_at(from_ms, done_ms).await?;
        }
        Ok(done_ms.max(whole_from_ms))
    }

    async fn begin_at(&mut self, from_ms: i64, done_ms: Option<i64>) -> Result<(), StoreError> {
        let (from, left_at) = (earlier::from(&self.application), earlier::left_at(&self.application));
        let mut transactions = vec![(from.clone(), from_ms)];
        // A version that was left and is declared again has its own windows from before it was
        // left. One that was cut short before it had computed any begins again, and knows already
        // which those are.
        if let Some(done_ms) = done_ms
            && self.table.transaction(&left_at).await? != Some(done_ms)
        {
            let first_ms = self.table.transaction(&from).await?;
            transactions.push((left_at, done_ms));
            transactions.extend(first_ms.map(|ms| (earlier::first_from(&self.application), ms)));
        }
        self.table.append(Vec::new(), &transactions).await?;
        self.look_for_earlier().await
    }

    async fn look_for_earlier(&mut self) -> Result<(), StoreError> {
        let Some(from_ms) = self.table.transaction(&earlier::from(&self.application)).await? else { return Ok(()) };
        let earlier = Earlier::find(&self.metric, &self.version, &self.location, self.table.schema(), from_ms).await?;
        self.earlier = Some(earlier);
        Ok(())
    }

    /// Keeps the statement that declares the version, so that a later catalog's process can go on
    /// with it.
    pub async fn define(metric: &str, version: &str, location: &Location, definition: &str) -> Result<(), StoreError> {
        let folder = location.join(metric).join(version);
        if folder.read_text(DEFINITION_FILE).await?.as_deref() == Some(definition) {
            return Ok(());
        }
        folder.write_text(DEFINITION_FILE, definition).await
    }

    /// Since when, in milliseconds, and why the version is set aside; none if it is not.
    pub async fn failure(
        metric: &str,
        version: &str,
        location: &Location,
    ) -> Result<Option<(i64, String)>, StoreError> {
        let text = location.join(metric).join(version).read_text(FAILURE_FILE).await?;
        Ok(text.and_then(|text| {
            let (since, reason) = text.split_once('\n')?;
            Some((since.parse().ok()?, reason.to_owned()))
        }))
    }

    /// Keeps that the version is set aside, for later processes; or that it is not any more.
    pub async fn set_failure(
        metric: &str,
        version: &str,
        location: &Location,
        failure: Option<(i64, &str)>,
    ) -> Result<(), StoreError> {
        let folder = location.join(metric).join(version);
        match failure {
            Some((since_ms, reason)) => folder.write_text(FAILURE_FILE, &format!("{since_ms}\n{reason}")).await,
            None if folder.read_text(FAILURE_FILE).await?.is_some() => folder.delete(FAILURE_FILE).await,
            None => Ok(()),
        }
    }

    /// Whether a process has begun to serve the version.
    pub async fn is_defined(metric: &str, version: &str, location: &Location) -> Result<bool, StoreError> {
        Ok(location.join(metric).join(version).read_text(DEFINITION_FILE).await?.is_some())
    }

    /// The versions of a metric below `location` that have a definition and were published, the
    /// furthest last.
    pub async fn versions(metric: &str, location: &Location) -> Result<Vec<PublishedVersion>, StoreError> {
        let folder = location.join(metric);
        let mut versions = Vec::new();
        for version in folder.folders().await? {
            let Some(definition) = folder.join(&version).read_text(DEFINITION_FILE).await? else { continue };
            let Some((_, Some(published_through_ms))) = Self::read(metric, &version, location).await? else { continue };
            versions.push(PublishedVersion { version, published_through_ms, definition });
        }
        versions.sort_by_key(|version| version.published_through_ms);
        Ok(versions)
    }

    /// The rows of a metric's version below `location` as they are now, and through which watermark
    /// they are published; none if there are none.
    pub async fn read(
        metric: &str,
        version: &str,
        location: &Location,
    ) -> Result<Option<(Arc<dyn TableProvider>, Option<i64>)>, StoreError> {
        let Some(table) = Table::read(metric, &location.join(metric).join(version)).await? else {
            return Ok(None);
        };
        let published_through_ms = table.transaction(&application(metric, version)).await?;
        Ok(Some((table.provider().await?, published_through_ms)))
    }

    /// The same rows with those of the versions before, as a stream shows them.
    pub async fn rows(
        metric: &str,
        version: &str,
        location: &Location,
    ) -> Result<Option<(Arc<dyn TableProvider>, Option<i64>)>, StoreError> {
        let Some(table) = Table::read(metric, &location.join(metric).join(version)).await? else {
            return Ok(None);
        };
        let application = application(metric, version);
        let published_through_ms = table.transaction(&application).await?;
        let own = table.provider().await?;
        let rows = match table.transaction(&earlier::from(&application)).await? {
            None => own,
            Some(from_ms) => Earlier::find(metric, version, location, table.schema(), from_ms).await?.with(own).await?,
        };
        Ok(Some((rows, published_through_ms)))
    }

    /// Replaces the rows that `wanted` names, in one commit, while a stream may be running. How far
    /// the metric is published does not change.
    pub async fn replace(
        metric: &str,
        version: &str,
        location: &Location,
        wanted: Expr,
        rows: RecordBatch,
    ) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            let Some(mut table) = Table::read(metric, &location.join(metric).join(version)).await? else {
                return Ok(());
            };
            let counter = corrections(&application(metric, version));
            let number = table.transaction(&counter).await?.unwrap_or_default() + 1;
            match table.replace(wanted.clone(), rows.clone(), &[(counter, number)]).await {
                Err(error) if attempt < REPAIR_ATTEMPTS => {
                    tracing::warn!(metric, attempt, %error, source = ?error, "not repaired; trying again");
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// The effective watermark through which windows are published, in milliseconds.
    pub fn published_through_ms(&self) -> Option<i64> {
        self.published_through_ms
    }

    /// The published rows, those of earlier versions included.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        let own = self.table.provider().await?;
        match &self.earlier {
            None => Ok(own),
            Some(earlier) => earlier.with(own).await,
        }
    }

    /// Adds the rows of the windows that closed since the last call. Publishing the same watermark
    /// again does nothing.
    pub async fn publish(&mut self, rows: Vec<RecordBatch>, through_ms: i64) -> Result<(), StoreError> {
        if self.published_through_ms >= Some(through_ms) {
            return Ok(());
        }
        if self.table.version() != self.checked_version {
            if self.table.transaction(&self.application).await? != self.published_through_ms {
                return Err(StoreError::Overtaken { table: self.table.name.clone() });
            }
            self.checked_version = self.table.version();
        }
        let transaction = [(self.application.clone(), through_ms)];
        match self.table.append(rows, &transaction).await {
            Ok(true) => self.checked_version = self.table.version(),
            Ok(false) => {}
            Err(error) => {
                self.table.refresh().await?;
                if self.table.transaction(&self.application).await? != Some(through_ms) {
                    return Err(error);
                }
            }
        }
        self.published_through_ms = Some(through_ms);
        Ok(())
    }

    /// Before this, in milliseconds, windows start that were computed from history; none before any
    /// was.
    pub async fn backfilled_until_ms(&self) -> Result<Option<i64>, StoreError> {
        self.table.transaction(&self.backfill_application()).await
    }

    /// Adds the rows of all windows that start before `until_ms` and after those of the last call:
    /// a backfill that is cut short goes on where it was.
    pub async fn backfill(&mut self, rows: Vec<RecordBatch>, until_ms: i64) -> Result<(), StoreError> {
        let application = self.backfill_application();
        if let Err(error) = self.table.append(rows, &[(application.clone(), until_ms)]).await {
            self.table.refresh().await?;
            if self.table.transaction(&application).await? != Some(until_ms) {
                return Err(error);
            }
        }
        Ok(())
    }

    fn backfill_application(&self) -> String {
        format!("backfill/{}", self.application)
    }

    /// Reads what another process has written; true if it has written anything.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        let mut changed = self.table.version() != before;
        if let Some(earlier) = &mut self.earlier {
            changed |= earlier.refresh().await?;
        }
        Ok(changed)
    }

    /// Merges small files if there are many; true if it did.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        self.table.compact().await
    }

    /// Deletes files that no reader can need any more.
    pub async fn vacuum(&mut self) -> Result<(), StoreError> {
        self.table.vacuum().await.map(|_| ())
    }
}

fn application(metric: &str, version: &str) -> String {
    format!("{metric}@{version}")
}
