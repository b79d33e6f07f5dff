//! What a table must hold, computed again: for reconciliation.

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use vitral_engine::in_key_bucket;

use super::KeyedTable;
use super::compute::Opening;
use crate::archive::{ArchiveReader, Reached};
use crate::error::StoreError;
use crate::history::History;
use crate::keyed::source::{Range, imported_rows, stream_rows};

/// Whether a table can be compared with what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It has what the history has.
    Current,
    /// The history has changed since.
    BehindHistory,
    /// Rows of the archive were fed again since.
    BehindReplay,
}

/// Both sides of a comparison.
#[derive(Debug)]
pub struct Sides {
    /// The rows that are read.
    pub published: DataFrame,
    /// Those that must be there.
    pub expected: DataFrame,
}

impl KeyedTable {
    /// Whether what it was made of is still what there is, but for rows behind those that are in.
    pub async fn freshness(&self, archive: &ArchiveReader, history: Option<&History>) -> Result<Freshness, StoreError> {
        if self.transaction("replays").await? != Some(archive.replays().await?) {
            return Ok(Freshness::BehindReplay);
        }
        let sequence = match history {
            Some(history) => history.sequence().await?,
            None => 0,
        };
        let is_current = self.transaction("importacoes").await?.unwrap_or_default() == sequence;
        Ok(if is_current { Freshness::Current } else { Freshness::BehindHistory })
    }

    /// What is archived up to `reach` and not in it, in words; none if all of it is.
    pub async fn lack(&self, reach: &[Reached]) -> Result<Option<String>, StoreError> {
        for Reached { log, partition, next } in reach {
            let own = self.next_offset(log, *partition).await?.unwrap_or_default();
            if own < *next {
                return Ok(Some(format!("offsets {own} to {} of partition {partition}", *next - 1)));
            }
        }
        Ok(None)
    }

    /// Both sides of a comparison: the rows that are read, and the same from the opening balances,
    /// all rows of the archive behind these that are in, and all imports. Of one bucket of keys out
    /// of so many, or of all.
    pub async fn sides(
        &mut self,
        archive: &ArchiveReader,
        history: Option<&History>,
        bucket: Option<(i64, i64)>,
    ) -> Result<Sides, StoreError> {
        let reach = self.own_reach(archive).await?;
        let Opening { states: opening, ranges, .. } = self.opening(archive, &reach).await?;
        let mut states: Vec<LogicalPlan> = opening.into_iter().collect();
        if let Some(history) = history {
            let imported = imported_rows(&self.plan.topic, history, None).await?;
            states.push(self.plan.partial(imported).map_err(self.failed())?);
        }
        self.sides_from(archive, ranges, states, bucket).await
    }

    /// The rows that are read, and the same from these states and the archive's rows behind them.
    pub(super) async fn sides_from(
        &mut self,
        archive: &ArchiveReader,
        ranges: Vec<Range>,
        states: Vec<LogicalPlan>,
        bucket: Option<(i64, i64)>,
    ) -> Result<Sides, StoreError> {
        let ranges: Vec<Range> = ranges.into_iter().filter(|range| range.from < range.until).collect();
        self.learn_logs(archive, &ranges).await?;
        let of_stream = stream_rows(&self.plan.topic, archive, &ranges, &self.logs).await?;
        let mut all = LogicalPlanBuilder::from(self.plan.partial(of_stream).map_err(self.failed())?);
        for states in states {
            all = all.union(states).map_err(self.failed())?;
        }
        let expected = all.build().and_then(|states| self.plan.rows(states)).map_err(self.failed())?;
        let published = self.plan.rows(self.states().await?).map_err(self.failed())?;
        Ok(Sides { published: self.of_bucket(published, bucket)?, expected: self.of_bucket(expected, bucket)? })
    }

    /// How far the archive goes, as far as its rows are in.
    pub(super) async fn own_reach(&self, archive: &ArchiveReader) -> Result<Vec<Reached>, StoreError> {
        let mut reach = archive.reach().await?;
        for reached in &mut reach {
            let own = self.next_offset(&reached.log, reached.partition).await?;
            reached.next = own.unwrap_or_default().min(reached.next);
        }
        Ok(reach)
    }

    fn of_bucket(&self, rows: LogicalPlan, bucket: Option<(i64, i64)>) -> Result<DataFrame, StoreError> {
        let frame = self.plan.frame(rows);
        let Some(bucket) = bucket else { return Ok(frame) };
        frame.filter(in_key_bucket(self.plan.view.keys.iter().map(ident), bucket)).map_err(self.failed())
    }
}
