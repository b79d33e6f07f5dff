//! Files that no reader needs any more.

use std::time::Duration;

use deltalake::operations::vacuum::VacuumMode;

use super::Table;
use crate::error::StoreError;

/// Readers that began before a merge still find its old files for this long.
const OLD_FILES_KEPT: Duration = Duration::from_secs(3600);
/// Files that no commit names are left by killed writers, or are the first of a write that is still
/// under way: a job over years, or a move to a bucket, takes hours. Keeping the former for days
/// costs space, deleting the latter loses rows.
const UNNAMED_FILES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

impl Table {
    /// How many files hold its rows.
    pub(crate) fn file_count(&self) -> Result<usize, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "counted"))?;
        Ok(state.log_data().iter().count())
    }

    /// How many rows its files say that they hold.
    pub(crate) fn row_count(&self) -> Result<u64, StoreError> {
        let state = self.delta.snapshot().map_err(StoreError::table(&self.name, "counted"))?;
        Ok(state.log_data().iter().filter_map(|file| file.num_records()).map(|rows| rows as u64).sum())
    }

    /// Deletes the files that commits have removed, once no reader can need them; how many.
    pub(crate) async fn vacuum(&mut self) -> Result<usize, StoreError> {
        self.delete_files(VacuumMode::Lite, OLD_FILES_KEPT).await
    }

    /// Deletes the files that killed writers have left, once no writer can still be about to name
    /// them; how many.
    pub(crate) async fn delete_unnamed_files(&mut self) -> Result<usize, StoreError> {
        self.delete_files(VacuumMode::Full, UNNAMED_FILES_KEPT).await
    }

    async fn delete_files(&mut self, mode: VacuumMode, kept: Duration) -> Result<usize, StoreError> {
        self.refresh().await?;
        let (delta, metrics) = self
            .delta
            .clone()
            .vacuum()
            .with_mode(mode)
            .with_retention_period(deltalake_duration(kept))
            .with_enforce_retention_duration(false)
            .await
            .map_err(StoreError::table(&self.name, "vacuumed"))?;
        tracing::debug!(table = self.name, files = metrics.files_deleted.len(), "old files deleted");
        self.delta = delta;
        Ok(metrics.files_deleted.len())
    }
}

fn deltalake_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or_else(|_| chrono::Duration::hours(1))
}
