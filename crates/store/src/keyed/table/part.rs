//! The states of one bucket of keys, kept from one comparison to the next: with the rows that came
//! since, they must give what the table has by then. So a comparison needs the rows since the last
//! one, not all that were ever archived.

use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_engine::in_key_bucket;

use super::check::Sides;
use super::{KeyedTable, versions};
use crate::archive::{ArchiveReader, Reached};
use crate::error::StoreError;
use crate::history::History;
use crate::keyed::source::Range;
use crate::table::Table;

impl KeyedTable {
    /// Which bucket is kept, out of so many; none if none is, or rows were replayed, imports
    /// changed, or rows purged that it does not have.
    pub async fn kept_bucket(&self, archive: &ArchiveReader, buckets: i64) -> Result<Option<(i64, i64)>, StoreError> {
        let Some(part) = self.part().await? else { return Ok(None) };
        let Some(bucket) = part.transaction(&format!("parte/{buckets}")).await? else { return Ok(None) };
        for what in ["replays", "importacoes"] {
            if part.transaction(what).await? != self.transaction(what).await? {
                return Ok(None);
            }
        }
        for Reached { log, partition, .. } in archive.reach().await? {
            let next = part.next_offset(&log, partition).await?.unwrap_or_default();
            if archive.purged_through(&log, partition) >= Some(next) {
                return Ok(None);
            }
        }
        Ok(Some((bucket, buckets)))
    }

    /// Both sides of a comparison of the bucket that is kept; of all that there is, if none is.
    pub async fn sides_since(
        &mut self,
        archive: &ArchiveReader,
        history: Option<&History>,
        bucket: (i64, i64),
    ) -> Result<Sides, StoreError> {
        let Some(part) = self.part().await? else { return self.sides(archive, history, Some(bucket)).await };
        let mut ranges = Vec::new();
        for reached in self.own_reach(archive).await? {
            let from = part.next_offset(&reached.log, reached.partition).await?.unwrap_or_default();
            ranges.push(Range::new(&reached, from.min(reached.next)));
        }
        self.sides_from(archive, ranges, vec![part.states().await?], Some(bucket)).await
    }

    /// Keeps the states of a bucket as they are now, in the place of those that were kept.
    pub async fn keep_bucket(&self, archive: &ArchiveReader, (bucket, buckets): (i64, i64)) -> Result<(), StoreError> {
        let (plan, version) = (&self.plan, &self.plan.version);
        let table = versions::open_states(plan, &versions::part_place(plan, &self.store, version)).await?;
        let mut part = Self::of(plan, &self.store, table, versions::part_application(plan, version));
        let mut transactions = vec![(part.name(&format!("parte/{buckets}")), bucket)];
        for what in ["replays", "importacoes"] {
            let own = self.transaction(what).await?;
            transactions.extend(own.map(|number| (part.name(what), number)));
        }
        for Reached { log, partition, .. } in archive.reach().await? {
            let own = self.next_offset(&log, partition).await?;
            transactions.extend(own.map(|next| (part.partition(&log, partition), next.0)));
        }
        let states = self.states_of_bucket((bucket, buckets)).await?;
        part.replace(ident(ORIGIN_COLUMN).is_not_null(), states, false, &transactions).await?;
        part.vacuum().await
    }

    async fn states_of_bucket(&self, bucket: (i64, i64)) -> Result<LogicalPlan, StoreError> {
        let of_bucket = in_key_bucket(self.plan.view.keys.iter().map(ident), bucket);
        let states = LogicalPlanBuilder::from(self.states().await?).filter(of_bucket);
        states.and_then(LogicalPlanBuilder::build).map_err(self.failed())
    }

    /// What is kept; none if nothing ever was.
    async fn part(&self) -> Result<Option<Self>, StoreError> {
        let (plan, version) = (&self.plan, &self.plan.version);
        let table = Table::read(&plan.view.name, &versions::part_place(plan, &self.store, version)).await?;
        Ok(table.map(|table| Self::of(plan, &self.store, table, versions::part_application(plan, version))))
    }
}
