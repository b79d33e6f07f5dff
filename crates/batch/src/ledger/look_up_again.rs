//! Columns that are looked up once more, for rows that count:
//! `vitral ledger replay --look-up-again`.
//!
//! What is found now takes the place of what a row has; what is not found, or not answered, leaves
//! it. So rows from before a column get its values, and those that came while a system was away.
//! Nothing else of a row changes, and rows that stay as they are are not written. As with
//! [`super::replay`], windows are noted before each commit and published again by
//! [`super::replay::finish`], and a running stream stops. Rows of files are not of the archive: to
//! import the file in the place of its import looks theirs up again.

use arrow::array::{BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat_batches, is_not_null, or, take_record_batch};
use arrow::error::ArrowError;
use datafusion::logical_expr::{ident, lit};
use futures::TryStreamExt;
use vitral_connect::TopicLookups;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::archive::ArchiveBatch;
use vitral_store::{Archive, ArchiveReader, Location};

use super::LedgerFilter;
use super::pending::Pending;
use crate::error::BatchError;
use crate::unanswered::Unanswered;

/// Rows of one commit, or a little more: each is named in it by its offset. No more of them are in
/// memory.
const ROWS_AT_ONCE: usize = 10_000;

/// What became of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedUpAgain {
    /// Rows that were looked up.
    pub rows: usize,
    /// Of those, rows that have other values now.
    pub changed: usize,
    /// Of those, rows without an answer, which keep what they had.
    pub unanswered: Unanswered,
}

/// Looks up all looked-up columns of the topic's counted rows that arrived in the filter's time.
pub async fn look_up_again(
    topic: &Topic,
    store: &Location,
    lookups: &TopicLookups,
    filter: &LedgerFilter,
) -> Result<LookedUpAgain, BatchError> {
    let mut done = LookedUpAgain::default();
    if lookups.is_empty() {
        return Ok(done);
    }
    let Some(mut archive) = Archive::read(topic, store).await? else { return Ok(done) };
    let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
    // Of the version that was opened, whatever is committed meanwhile.
    let mut found = archive.replayable_stream(filter.arrived(counted)).await?;
    let mut waiting: Vec<RecordBatch> = Vec::new();
    loop {
        let batch = found.try_next().await.map_err(BatchError::engine(&topic.name, "looked up again"))?;
        let is_end = batch.is_none();
        waiting.extend(batch);
        let count: usize = waiting.iter().map(RecordBatch::num_rows).sum();
        if count >= ROWS_AT_ONCE || (is_end && count > 0) {
            commit(topic, store, lookups, &mut archive, std::mem::take(&mut waiting), &mut done).await?;
        }
        if is_end {
            return Ok(done);
        }
    }
}

/// Looks these rows up, and puts those that have other values now in their places.
async fn commit(
    topic: &Topic,
    store: &Location,
    lookups: &TopicLookups,
    archive: &mut ArchiveReader,
    rows: Vec<RecordBatch>,
    done: &mut LookedUpAgain,
) -> Result<(), BatchError> {
    let failed = |source: ArrowError| BatchError::engine(&topic.name, "looked up again")(source.into());
    let rows = concat_batches(&topic.archive_schema(), &rows).map_err(failed)?;
    let rows = ArchiveBatch::new(topic, rows).map_err(failed)?;
    done.rows += rows.len();
    let before = RecordBatch::try_new(topic.schema(), rows.columns().to_vec()).map_err(failed)?;
    let after = looked_up(topic, lookups, &before, &mut done.unanswered).await.map_err(failed)?;
    let Some((after, is_changed)) = after else { return Ok(()) };
    let places = is_changed.values().set_indices().map(|row| row as u64);
    let changed: UInt64Array = places.collect();
    let after = take_record_batch(&after, &changed).map_err(failed)?;
    if let Some(pending) = Pending::of(topic, &after) {
        pending.add(store).await?;
    }
    let verdicts = vec![Verdict::Counted; changed.len()];
    let rows = rows.take(&changed).and_then(|rows| rows.with_verdicts(&verdicts, after.columns()));
    archive.replay(rows.map_err(failed)?).await?;
    done.changed += changed.len();
    Ok(())
}

/// The rows with what is found now, and which of them differ; none if none does.
async fn looked_up(
    topic: &Topic,
    lookups: &TopicLookups,
    before: &RecordBatch,
    unanswered: &mut Unanswered,
) -> Result<Option<(RecordBatch, BooleanArray)>, ArrowError> {
    let all = BooleanArray::from(vec![true; before.num_rows()]);
    let found = lookups.find(before, &all).await?;
    unanswered.add_found(topic, &found);
    let found = found.put_into(before, 0)?;
    let mut columns = before.columns().to_vec();
    let mut is_changed = BooleanArray::from(vec![false; before.num_rows()]);
    let own = topic.columns.iter().enumerate().filter(|(_, column)| column.lookup.is_some());
    for (index, _) in own {
        let (old, new) = (before.column(index), found.column(index));
        let kept = zip(&is_not_null(new)?, new, old)?;
        is_changed = or(&is_changed, &distinct(&kept, old)?)?;
        columns[index] = kept;
    }
    let after = RecordBatch::try_new(before.schema(), columns)?;
    Ok((is_changed.true_count() > 0).then_some((after, is_changed)))
}
