//! States as another process shows them: of one commit after the other.

use std::sync::Arc;

use super::{KeyedTable, versions};
use crate::error::StoreError;
use crate::keyed::plan::KeyedPlan;
use crate::location::Location;
use crate::table::Table;

impl KeyedTable {
    /// The states of one version in `store`, by its folder, for reading; none if there are none.
    pub async fn follow(plan: &Arc<KeyedPlan>, version: &str, store: &Location) -> Result<Option<Self>, StoreError> {
        let found = Table::read(&plan.view.name, &versions::place(plan, store, version)).await?;
        Ok(found.map(|table| Self::of_version(plan, store, table, version.to_owned())))
    }

    /// Goes to one commit, or to the newest; true if it was at another.
    pub async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        let has_moved = self.table.move_to(commit).await?;
        if has_moved {
            self.bounds = None;
        }
        Ok(has_moved)
    }
}
