//! Published rows as another process shows them: of one commit after the other.

use super::{MetricTable, application};
use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

impl MetricTable {
    /// A version's table below `location`, for reading; none if there is none.
    pub async fn follow(metric: &str, version: &str, location: &Location) -> Result<Option<Self>, StoreError> {
        let Some(table) = Table::read(metric, &location.join(metric).join(version)).await? else { return Ok(None) };
        let application = application(metric, version);
        let mut followed = Self {
            metric: metric.to_owned(),
            version: version.to_owned(),
            location: location.clone(),
            published_through_ms: table.transaction(&application).await?,
            application,
            checked_version: table.version(),
            table,
            earlier: None,
        };
        followed.look_for_earlier().await?;
        Ok(Some(followed))
    }

    /// The version, as its folder is called.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Goes to one commit, or to the newest; true if it was at another.
    pub async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        let mut has_moved = self.table.move_to(commit).await?;
        if has_moved {
            self.published_through_ms = self.table.transaction(&self.application).await?;
            self.checked_version = self.table.version();
        }
        match &mut self.earlier {
            Some(earlier) if has_moved || commit.is_none() => has_moved |= earlier.refresh().await?,
            None if has_moved => self.look_for_earlier().await?,
            _ => {}
        }
        Ok(has_moved)
    }
}
