//! The final rows of one metric version.
//!
//! A commit appends the rows of whole windows and carries how far the metric is published. It is derived from committed
//! rows of the archive only: after a crash before it, the same windows are published from there.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::Expr;

use crate::error::StoreError;
use crate::table::Table;

/// A stream that merges files meanwhile gets in the way of a repair.
const REPAIR_ATTEMPTS: usize = 5;

#[derive(Debug)]
pub struct MetricTable {
    application: String,
    table: Table,
    published_through_ms: Option<i64>,
}

impl MetricTable {
    /// Opens the table of `metric` at `version` below `folder`.
    pub async fn open(metric: &str, version: &str, schema: SchemaRef, folder: &Path) -> Result<Self, StoreError> {
        let table = Table::open(metric, &folder.join(metric).join(version), schema).await?;
        let application = application(metric, version);
        let published_through_ms = table.transaction(&application).await?;
        Ok(Self { application, table, published_through_ms })
    }

    /// The rows of a metric's version below `folder` as they are now, and through which M they are published; none if there are none.
    pub async fn read(
        metric: &str,
        version: &str,
        folder: &Path,
    ) -> Result<Option<(Arc<dyn TableProvider>, Option<i64>)>, StoreError> {
        let Some(table) = Table::read(metric, &folder.join(metric).join(version)).await? else {
            return Ok(None);
        };
        let published_through_ms = table.transaction(&application(metric, version)).await?;
        Ok(Some((table.provider().await?, published_through_ms)))
    }

    /// Replaces the rows that `wanted` names, in one commit and beside a running stream. What is published stays as far as it is.
    pub async fn replace(
        metric: &str,
        version: &str,
        folder: &Path,
        wanted: Expr,
        rows: RecordBatch,
    ) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            let Some(mut table) = Table::read(metric, &folder.join(metric).join(version)).await? else { return Ok(()) };
            match table.replace(wanted.clone(), rows.clone()).await {
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

    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.table.provider().await
    }

    /// Adds the rows of the windows that closed since the last call. Publishing the same watermark again does nothing.
    pub async fn publish(&mut self, rows: Vec<RecordBatch>, through_ms: i64) -> Result<(), StoreError> {
        if self.published_through_ms >= Some(through_ms) {
            return Ok(());
        }
        let transaction = [(self.application.clone(), through_ms)];
        if let Err(error) = self.table.append(rows, &transaction).await {
            self.table.refresh().await?;
            if self.table.transaction(&self.application).await? != Some(through_ms) {
                return Err(error);
            }
        }
        self.published_through_ms = Some(through_ms);
        Ok(())
    }

    /// Sees what another process has written; true if it has.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// Merges small files if there are many; true if it did.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        self.table.compact().await
    }

    pub async fn vacuum(&mut self) -> Result<(), StoreError> {
        self.table.vacuum().await
    }
}

fn application(metric: &str, version: &str) -> String {
    format!("{metric}@{version}")
}
