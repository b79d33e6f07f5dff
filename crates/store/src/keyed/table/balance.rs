//! Opening balances: what rows have added to a table that retention is about to purge.
//!
//! They are states like those of the table itself, computed from the archive alone, and go through
//! the archive's cold part: nothing there is replayed any more, and nothing else is purged. They
//! are kept by what the table's statement says, so that another version of the functions begins
//! with them too.

use std::sync::Arc;

use datafusion::logical_expr::{LogicalPlanBuilder, ident, lit};
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_schemas::position::PartitionId;

use super::{KeyedTable, versions};
use crate::archive::{Archive, ArchiveReader, Reached};
use crate::error::StoreError;
use crate::keyed::plan::KeyedPlan;
use crate::keyed::source::STREAM;
use crate::location::Location;
use crate::table::Table;

/// Keeps the opening balances of tables of one topic through the cold part of its archive. To be
/// called before rows are purged.
pub async fn keep_balances(plans: &[Arc<KeyedPlan>], store: &Location) -> Result<(), StoreError> {
    for plan in plans {
        let Some(archive) = Archive::read(&plan.topic, store).await? else { continue };
        let reach = archive.cold_reach();
        if reach.is_empty() {
            continue;
        }
        archive.check_columns(&plan.topic)?;
        let mut balance = KeyedTable::open_balance(plan, store).await?;
        let mut transactions = Vec::new();
        if balance.transaction("desde").await?.is_none() {
            // What was purged before the table was declared is nowhere.
            let purged_ms = archive.newest_purged().map(|newest| newest.ms() + 1);
            transactions.push((balance.name("desde"), purged_ms.unwrap_or(i64::MIN)));
        }
        balance.add(&archive, &reach, transactions).await?;
        balance.compact().await?;
    }
    Ok(())
}

impl KeyedTable {
    async fn open_balance(plan: &Arc<KeyedPlan>, store: &Location) -> Result<Self, StoreError> {
        let id = versions::balanced(plan, store).await?;
        let place = versions::balance_place(plan, store, &id);
        let table = versions::open_states(plan, &place).await?;
        Ok(Self::of(plan, store, table, versions::balance_application(plan, &id)))
    }

    /// The opening balances of this table's statement; none if nothing was ever purged.
    pub(super) async fn balance(&self) -> Result<Option<Self>, StoreError> {
        let id = versions::balanced(&self.plan, &self.store).await?;
        let Some(table) =
            Table::read(&self.plan.view.name, &versions::balance_place(&self.plan, &self.store, &id)).await?
        else {
            return Ok(None);
        };
        Ok(Some(Self::of(&self.plan, &self.store, table, versions::balance_application(&self.plan, &id))))
    }

    /// Whether rows behind those that are in were purged, and opening balances are of all that
    /// were.
    pub(super) async fn is_whole_in_balance(
        &self,
        archive: &ArchiveReader,
        reach: &[Reached],
    ) -> Result<bool, StoreError> {
        let mut lacks = false;
        for Reached { log, partition, .. } in reach {
            if let Some(purged) = archive.purged_through(log, *partition) {
                lacks |= purged >= self.next_offset(log, *partition).await?.unwrap_or_default();
            }
        }
        if !lacks {
            return Ok(false);
        }
        let Some(balance) = self.balance().await? else { return Ok(false) };
        for Reached { log, partition, .. } in reach {
            let next = balance.next_offset(log, *partition).await?.unwrap_or_default();
            if archive.purged_through(log, *partition) >= Some(next) {
                return Ok(false);
            }
        }
        Ok(balance.since_ms().await? <= self.since_ms().await?)
    }

    /// Makes opening balances of what came from these partitions: rows behind it are nowhere any
    /// more, and these states are all that there is of those before. So whatever is computed again
    /// has them too.
    pub(super) async fn found_balance(
        &self,
        reach: &[Reached],
        partitions: &[PartitionId],
        since_ms: i64,
    ) -> Result<(), StoreError> {
        let mut balance = Self::open_balance(&self.plan, &self.store).await?;
        if balance.application == self.application {
            return Ok(());
        }
        let origins = partitions.iter().map(|partition| lit(format!("{STREAM}{partition}"))).collect();
        let of_partitions = ident(ORIGIN_COLUMN).in_list(origins, false);
        let mut transactions = vec![(balance.name("desde"), since_ms)];
        for Reached { log, partition, .. } in reach.iter().filter(|reached| partitions.contains(&reached.partition)) {
            let next = self.next_offset(log, *partition).await?.unwrap_or_default();
            if balance.next_offset(log, *partition).await?.unwrap_or_default() > next {
                // They have more of it.
                return Ok(());
            }
            transactions.push((balance.partition(log, *partition), next.0));
        }
        let states = LogicalPlanBuilder::from(self.states().await?).filter(of_partitions.clone());
        let states = states.and_then(LogicalPlanBuilder::build).map_err(self.failed())?;
        if balance.table.file_count()? == 0 {
            return balance.append(states, false, &transactions).await;
        }
        balance.replace(of_partitions, states, false, &transactions).await
    }
}
