//! That a table is set aside, kept for later processes and for those that only read.

use super::KeyedTable;
use super::versions::place;
use crate::error::StoreError;

/// Next to a version's states while it is set aside: since when, in milliseconds, and on the next
/// line why.
const FAILURE_FILE: &str = "_failure";

impl KeyedTable {
    /// Since when, in milliseconds, and why it is set aside; none if it is not.
    pub async fn failure(&self) -> Result<Option<(i64, String)>, StoreError> {
        let text = place(&self.plan, &self.store, &self.version).read_text(FAILURE_FILE).await?;
        Ok(text.and_then(|text| {
            let (since, reason) = text.split_once('\n')?;
            Some((since.parse().ok()?, reason.to_owned()))
        }))
    }

    /// Keeps that it is set aside, for later processes; or that it is not any more.
    pub async fn set_failure(&self, failure: Option<(i64, &str)>) -> Result<(), StoreError> {
        let folder = place(&self.plan, &self.store, &self.version);
        match failure {
            Some((since_ms, reason)) => folder.write_text(FAILURE_FILE, &format!("{since_ms}\n{reason}")).await,
            None if folder.read_text(FAILURE_FILE).await?.is_some() => folder.delete(FAILURE_FILE).await,
            None => Ok(()),
        }
    }
}
