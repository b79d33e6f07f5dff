//! Rows that did not count, fed again: `vitral ledger replay`.
//!
//! A refused message is decoded anew, by what the catalog says now; a late row counts, because somebody asked for it. What has a
//! counted row's event id is a duplicate. Each row takes the place of the one with its offset, verdict and all, in one commit, so that
//! every offset has one row at any moment, and a replay that is cut short goes on with what is left. The windows that the rows belong
//! to are computed again afterwards, by whoever called this.
//!
//! Only for who owns the archive: a running stream has folded what the archive said when it read it, and stops when it finds a replay.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ident, lit};
use vitral_catalog::DomainSettings;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_store::{Archive, ArchiveReader, Location};

use crate::error::StreamError;
use crate::judge::{Judge, Moment};
use crate::kept_payload::is_cut;

/// Rows of one commit: each is named in it by its offset.
const ROWS_AT_ONCE: usize = 10_000;
/// The topic's columns come after the archive's own.
const OWN_COLUMNS: usize = 8;

/// Which rows of the ledger.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What stands in the ledger for this alone; every refused and every late row if none.
    pub cause: Option<Cause>,
    /// Arrived at or after, and before, in milliseconds.
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
}

/// Why a row did not count. Duplicates did: by their first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Refused(Reason),
    Late,
    /// Offsets that were passed over: there is nothing to feed again.
    Unread(Unread),
}

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    pub counted: usize,
    pub duplicate: usize,
    /// Refused again.
    pub refused: usize,
    /// Of those refused, how many cannot be fed again at all: only their beginning was kept.
    pub cut: usize,
    /// The oldest and newest event time of those that count now, in milliseconds.
    pub times_ms: Option<(i64, i64)>,
}

/// Rows that are ready to take their places, and what becomes of them.
struct Batch {
    rows: Option<RecordBatch>,
    replayed: Replayed,
}

impl Wanted {
    /// As a condition on the archive's rows.
    pub fn condition(&self) -> Expr {
        use archive_columns::{ARRIVAL, REASON, VERDICT};
        let is = |verdict: Verdict| ident(VERDICT).eq(lit(verdict.name()));
        let mut wanted = match self.cause {
            Some(Cause::Refused(reason)) => is(Verdict::Refused).and(ident(REASON).eq(lit(reason.name()))),
            Some(Cause::Late) => is(Verdict::Late),
            Some(Cause::Unread(reason)) => is(Verdict::Undelivered).and(ident(REASON).eq(lit(reason.name()))),
            None => is(Verdict::Refused).or(is(Verdict::Late)),
        };
        let instant = |ms: i64| lit(ScalarValue::TimestampMicrosecond(Some(ms * MICROS_PER_MS), Some("UTC".into())));
        if let Some(from_ms) = self.from_ms {
            wanted = wanted.and(ident(ARRIVAL).gt_eq(instant(from_ms)));
        }
        if let Some(to_ms) = self.to_ms {
            wanted = wanted.and(ident(ARRIVAL).lt(instant(to_ms)));
        }
        wanted
    }

    /// The same for a list: without a cause, also what was passed over on somebody's word.
    pub fn listed(&self) -> Expr {
        let all_unread =
            Unread::ALL.map(|reason| Self { cause: Some(Cause::Unread(reason)), ..self.clone() }.condition());
        match self.cause {
            Some(_) => self.condition(),
            None => all_unread.into_iter().fold(self.condition(), Expr::or),
        }
    }
}

/// Feeds the wanted rows again. Before each commit `about_to` is told the oldest and newest event time that come to count: windows
/// of these times will have to be computed again, whatever happens to this process.
pub async fn replay<E: From<StreamError>>(
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    wanted: &Wanted,
    now_ms: i64,
    mut about_to: impl AsyncFnMut((i64, i64)) -> Result<(), E>,
) -> Result<Replayed, E> {
    let Some(mut archive) = Archive::read(topic, store).await.map_err(StreamError::from)? else {
        return Ok(Replayed::default());
    };
    let mut total = Replayed::default();
    let found = archive.replayable(wanted.condition()).await.map_err(StreamError::from)?;
    let schema = topic.archive_schema();
    let found = concat_batches(&schema, &found).map_err(|source| failed(topic, source.into()))?;
    let found = in_offset_order(&found).map_err(|source| failed(topic, source))?;
    for first in (0..found.num_rows()).step_by(ROWS_AT_ONCE) {
        let rows = found.slice(first, ROWS_AT_ONCE.min(found.num_rows() - first));
        let batch = judge(topic, settings, &archive, &rows, now_ms).await?;
        if let Some(times_ms) = batch.replayed.times_ms {
            about_to(times_ms).await?;
        }
        if let Some(rows) = batch.rows {
            archive.replay(rows).await.map_err(StreamError::from)?;
        }
        total = total.and(batch.replayed);
    }
    Ok(total)
}

impl Replayed {
    fn and(self, other: Self) -> Self {
        let times = self.times_ms.into_iter().chain(other.times_ms);
        let times_ms = times.reduce(|(oldest, newest), (a, b)| (oldest.min(a), newest.max(b)));
        Self {
            counted: self.counted + other.counted,
            duplicate: self.duplicate + other.duplicate,
            refused: self.refused + other.refused,
            cut: self.cut + other.cut,
            times_ms,
        }
    }
}

/// By partition and offset: of two rows with the same id, the first counts.
fn in_offset_order(rows: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let by = |column: usize| arrow::compute::SortColumn { values: Arc::clone(rows.column(column)), options: None };
    let order = arrow::compute::lexsort_to_indices(&[by(4), by(0), by(1)], None)?;
    Ok(take_record_batch(rows, &order)?)
}

/// Gives each row its new verdict; those that keep their old one are left out.
async fn judge(
    topic: &Topic,
    settings: &DomainSettings,
    archive: &ArchiveReader,
    rows: &RecordBatch,
    now_ms: i64,
) -> Result<Batch, StreamError> {
    let failed = |source| failed(topic, source);
    let session = engine_session(EngineConfig::default()).map_err(failed)?;
    let judge = Judge::new(topic, &session, usize::MAX)?;
    let payloads = rows.column_by_name(archive_columns::PAYLOAD).map(|column| column.as_binary::<i32>().clone());
    let payloads = payloads.unwrap_or_else(|| BinaryArray::new_null(rows.num_rows()));
    let is_refused = verdicts(rows).map(|verdict| verdict == Some(Verdict::Refused)).collect::<Vec<_>>();
    let mut decoder = Decoder::new(topic, settings.time_zone);
    let payload = |row: usize| (is_refused[row] && payloads.is_valid(row)).then(|| payloads.value(row));
    let decoded = decoder.decode((0..rows.num_rows()).map(payload));
    let (decoded, refused) = judge.complete(decoded, Moment { now_ms, effective_ms: None }).map_err(failed)?;
    let refused: BTreeSet<usize> = refused.iter().map(|refusal| refusal.row).collect();
    // A late row has its columns already.
    let own = rows.project(&(OWN_COLUMNS..rows.num_columns()).collect::<Vec<_>>()).map_err(|e| failed(e.into()))?;
    let own = RecordBatch::try_new(decoded.schema(), own.columns().to_vec()).map_err(|e| failed(e.into()))?;
    let from: Vec<(usize, usize)> = (0..rows.num_rows()).map(|row| (usize::from(!is_refused[row]), row)).collect();
    let columns = interleave_record_batch(&[&decoded, &own], &from).map_err(|e| failed(e.into()))?;

    let mut known = known_ids(topic, archive, rows, &columns).await?;
    let times = columns.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let partitions = rows.column(0).as_primitive::<Int32Type>();
    let mut replayed = Replayed::default();
    let mut changed = Vec::new();
    let mut names = Vec::new();
    for row in 0..rows.num_rows() {
        if refused.contains(&row) || times.is_null(row) {
            replayed.refused += 1;
            replayed.cut += usize::from(payload(row).is_some_and(is_cut));
            continue;
        }
        let is_new =
            event_id(topic, &columns, row).is_none_or(|id| known.insert((partitions.value(row), id.to_owned())));
        if is_new {
            let time_ms = times.value(row).div_euclid(MICROS_PER_MS);
            replayed = replayed.and(Replayed { counted: 1, times_ms: Some((time_ms, time_ms)), ..Replayed::default() });
        } else {
            replayed.duplicate += 1;
        }
        changed.push(row as u64);
        names.push(if is_new { Verdict::Counted.name() } else { Verdict::Duplicate.name() });
    }
    if changed.is_empty() {
        return Ok(Batch { rows: None, replayed });
    }
    let order = arrow::array::UInt64Array::from(changed);
    let kept = take_record_batch(rows, &order).map_err(|e| failed(e.into()))?;
    let columns = take_record_batch(&columns, &order).map_err(|e| failed(e.into()))?;
    let mut all: Vec<ArrayRef> = kept.columns()[..5].to_vec();
    all.push(Arc::new(StringArray::from(names)));
    all.push(Arc::new(StringArray::new_null(kept.num_rows())));
    // The payload stays: it is what the row was made of.
    all.push(Arc::clone(kept.column(7)));
    all.extend(columns.columns().iter().cloned());
    let rows = RecordBatch::try_new(topic.archive_schema(), all).map_err(|e| failed(e.into()))?;
    Ok(Batch { rows: Some(rows), replayed })
}

fn verdicts(rows: &RecordBatch) -> impl Iterator<Item = Option<Verdict>> + '_ {
    rows.column(5).as_string::<i32>().iter().map(|name| name.and_then(Verdict::from_name))
}

fn event_id<'a>(topic: &Topic, columns: &'a RecordBatch, row: usize) -> Option<&'a str> {
    let ids = columns.column(topic.event_id?).as_string::<i32>();
    ids.is_valid(row).then(|| ids.value(row))
}

/// Which of the rows' ids counted rows of the same partition have.
async fn known_ids(
    topic: &Topic,
    archive: &ArchiveReader,
    rows: &RecordBatch,
    columns: &RecordBatch,
) -> Result<BTreeSet<(i32, String)>, StreamError> {
    let Some(index) = topic.event_id else { return Ok(BTreeSet::new()) };
    let ids = (0..rows.num_rows()).filter_map(|row| event_id(topic, columns, row));
    let ids: BTreeSet<&str> = ids.collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let id = ident(&topic.columns[index].name);
    let wanted = ident(archive_columns::VERDICT)
        .eq(lit(Verdict::Counted.name()))
        .and(id.in_list(ids.into_iter().map(lit).collect(), false));
    let mut known = BTreeSet::new();
    for batch in archive.rows(wanted).await? {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let ids = batch.column(OWN_COLUMNS + index).as_string::<i32>();
        let pairs = partitions.values().iter().zip(ids.iter());
        known.extend(pairs.filter_map(|(partition, id)| Some((*partition, id?.to_owned()))));
    }
    Ok(known)
}

fn failed(topic: &Topic, source: DataFusionError) -> StreamError {
    StreamError::Batch { topic: topic.name.clone(), action: "replayed", source }
}
