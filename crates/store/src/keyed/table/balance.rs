//! Opening balances: what rows have added to a table that retention is about to purge.
//!
//! They are states like those of the table itself, computed from the archive alone, and go through the archive's cold part: nothing there is
//! replayed any more, and nothing else is purged. They are kept by what the table's statement says, so that another version of the
//! functions begins with them too.

use std::sync::Arc;

use vitral_schemas::time::MICROS_PER_MS;

use super::KeyedTable;
use crate::archive::Archive;
use crate::error::StoreError;
use crate::keyed::plan::KeyedPlan;
use crate::layout::Layout;
use crate::location::Location;
use crate::table::Table;

/// Keeps the opening balances of tables of one topic through the cold part of its archive. To be called before rows are purged.
pub async fn keep_balances(plans: &[Arc<KeyedPlan>], store: &Location) -> Result<(), StoreError> {
    for plan in plans {
        let Some(archive) = Archive::read(&plan.topic, store).await? else { continue };
        let reach = archive.cold_reach();
        if reach.is_empty() {
            continue;
        }
        let table = Table::open(&plan.view.name, &place(plan, store), Arc::clone(plan.state_schema())).await?;
        let mut balance = KeyedTable::of(plan, store, table, application(plan));
        let mut transactions = Vec::new();
        if balance.table.file_count()? == 0 {
            // What was purged before the table was declared is nowhere.
            let purged_ms = archive.purged_micros().map(|micros| micros.div_euclid(MICROS_PER_MS) + 1);
            transactions.push((balance.name("desde"), purged_ms.unwrap_or(i64::MIN)));
        }
        balance.add(&archive, &reach, transactions).await?;
        balance.compact().await?;
    }
    Ok(())
}

impl KeyedTable {
    /// The opening balances of this table's statement; none if nothing was ever purged.
    pub(super) async fn balance(&self) -> Result<Option<Self>, StoreError> {
        let Some(table) = Table::read(&self.plan.view.name, &place(&self.plan, &self.store)).await? else {
            return Ok(None);
        };
        Ok(Some(Self::of(&self.plan, &self.store, table, application(&self.plan))))
    }
}

fn place(plan: &KeyedPlan, store: &Location) -> Location {
    Layout::of(store).keyed().join(&plan.view.name).join(&format!("saldo_{}", plan.definition_id))
}

fn application(plan: &KeyedPlan) -> String {
    format!("saldo/{}@{}", plan.view.name, plan.definition_id)
}
