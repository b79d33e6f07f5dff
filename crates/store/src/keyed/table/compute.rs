//! All that came from the stream, from opening balances and the archive.

use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_schemas::position::Offset;

use super::{KeyedTable, is_few};
use crate::archive::{ArchiveReader, Reached};
use crate::error::StoreError;
use crate::keyed::source::{Range, STREAM, stream_rows};

/// Where a computation begins.
pub(super) struct Opening {
    /// The opening balances.
    pub(super) states: Option<LogicalPlan>,
    /// The offsets of the archive's rows behind them.
    pub(super) ranges: Vec<Range>,
    /// Since when both together are whole, in milliseconds; none if they are of all events.
    pub(super) since_ms: Option<i64>,
}

impl KeyedTable {
    /// Replaces all that came from the stream by what the opening balances and the archive give.
    pub(super) async fn compute(&mut self, archive: &ArchiveReader, replays: i64) -> Result<(), StoreError> {
        let reach = archive.reach().await?;
        let Opening { states: opening, ranges, since_ms } = self.opening(archive, &reach).await?;
        self.learn_logs(archive, &ranges).await?;
        let rows = stream_rows(&self.plan.topic, archive, &ranges, &self.logs).await?;
        let mut states = self.plan.partial(rows).map_err(self.failed())?;
        if let Some(opening) = opening {
            let both = LogicalPlanBuilder::from(states).union(opening).and_then(LogicalPlanBuilder::build);
            states = both.and_then(|both| self.plan.merge(both)).map_err(self.failed())?;
        }
        let mut transactions: Vec<(String, i64)> = self.through(&ranges).collect();
        transactions.push((self.name("replays"), replays));
        transactions.push((self.name("desde"), since_ms.unwrap_or(i64::MIN)));
        if self.table.file_count()? == 0 {
            return match self.append(states, is_few(&ranges), &transactions).await {
                Err(error) if is_few(&ranges) => Err(self.explained(archive, &ranges, error).await),
                outcome => outcome,
            };
        }
        self.replace(of_stream(), states, is_few(&ranges), &transactions).await
    }

    /// What is in before the archive's rows, the offsets of those, and since when both together are
    /// whole.
    pub(super) async fn opening(&self, archive: &ArchiveReader, reach: &[Reached]) -> Result<Opening, StoreError> {
        let balance = self.balance().await?;
        let mut since_ms = match &balance {
            Some(balance) => balance.since_ms().await?,
            None => None,
        };
        let mut ranges = Vec::new();
        for reached in reach {
            let from = match &balance {
                Some(balance) => balance.next_offset(&reached.log, reached.partition).await?.unwrap_or_default(),
                None => Offset::default(),
            };
            if archive.purged_through(&reached.log, reached.partition) >= Some(from) {
                let purged_ms = archive.newest_purged().map(|newest| newest.ms() + 1);
                since_ms = since_ms.max(purged_ms);
            }
            ranges.push(Range::new(reached, from.min(reached.next)));
        }
        let states = match &balance {
            Some(balance) => Some(balance.states().await?),
            None => None,
        };
        Ok(Opening { states, ranges, since_ms })
    }
}

/// The states that came from the stream.
fn of_stream() -> Expr {
    // The sign behind the slash: all that begins so, for readers that know no patterns.
    let end = format!("{}0", STREAM.trim_end_matches('/'));
    ident(ORIGIN_COLUMN).gt_eq(lit(STREAM)).and(ident(ORIGIN_COLUMN).lt(lit(end)))
}
