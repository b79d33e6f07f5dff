//! Rows that did not count, fed again: `vitral ledger replay`.
//!
//! A refused message is decoded again, by what the catalog says now; a late row counts, because
//! somebody asked for it. What has a counted row's event id is a duplicate. Each row takes the
//! place of the one with its offset, verdict and all, in one commit, so that every offset has one
//! row at any moment, and a replay that is cut short continues with what is left. The windows that
//! the rows belong to are noted before the commit and published again by [`finish`], at the latest
//! when the next process starts.
//!
//! Only for the owner of the archive: a running stream has folded what the archive said when it
//! read it, and stops when it finds a replay.
//!
//! Columns are looked up for rows that count now and were never looked up: what a row has once been
//! given stays.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ident, lit};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::TopicLookups;
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_panes::PanesError;
use vitral_schemas::kept_payload::is_cut;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_schemas::window::Windows;
use vitral_store::archive::ArchiveBatch;
use vitral_store::{Archive, ArchiveReader, Location};

use super::LedgerFilter;
use super::pending::Pending;
use crate::engine::Engine;
use crate::error::BatchError;
use crate::reconcile::{Selection, WindowRange, reconcile, repair};
use crate::unanswered::Unanswered;

/// Rows of one commit: each is named in it by its offset.
const ROWS_AT_ONCE: usize = 10_000;

/// What became of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Rows that count now.
    pub counted: usize,
    /// Rows whose event id had counted meanwhile.
    pub duplicate: usize,
    /// Refused again.
    pub refused: usize,
    /// Of those refused, how many cannot be fed again at all: only their beginning was kept.
    pub cut: usize,
    /// The oldest and newest event time of those that count now, in milliseconds.
    pub times_ms: Option<(i64, i64)>,
    /// Of those that count now, rows that could not be looked up.
    pub unanswered: Unanswered,
}

/// Rows that are ready to take their places, and what becomes of them.
struct Batch {
    rows: Option<ArchiveBatch>,
    replayed: Replayed,
}

/// Feeds rows of one topic again. [`finish`] publishes their windows.
pub async fn replay(
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    lookups: &TopicLookups,
    filter: &LedgerFilter,
    now_ms: i64,
) -> Result<Replayed, BatchError> {
    let failed = |source: ArrowError| failed(topic)(source.into());
    let Some(mut archive) = Archive::read(topic, store).await? else { return Ok(Replayed::default()) };
    let found = archive.replayable(filter.condition()).await?;
    let found = concat_batches(&topic.archive_schema(), &found).map_err(failed)?;
    // Of two rows with the same id, the first counts.
    let found = ArchiveBatch::new(topic, found).and_then(|found| found.in_offset_order()).map_err(failed)?;
    let mut total = Replayed::default();
    for first in (0..found.len()).step_by(ROWS_AT_ONCE) {
        let rows = found.slice(first, ROWS_AT_ONCE.min(found.len() - first));
        let batch = classify(topic, settings, &archive, lookups, &rows, now_ms).await?;
        if let Some((oldest_ms, newest_ms)) = batch.replayed.times_ms {
            Pending { oldest_ms, newest_ms }.add(store).await?;
        }
        if let Some(rows) = batch.rows {
            archive.replay(rows).await?;
        }
        total = total.and(batch.replayed);
    }
    Ok(total)
}

/// Publishes the windows again that replays have changed; how many metrics did change.
pub async fn finish(catalog: &Catalog, settings: &DomainSettings, store: &Location) -> Result<usize, BatchError> {
    let Some(Pending { oldest_ms, newest_ms }) = Pending::read(store).await? else { return Ok(0) };
    let longest = catalog.metrics.iter().map(|metric| Windows::new(metric.window, settings.time_zone).longest_ms());
    let longest_ms = longest.max().unwrap_or_default();
    // A session that a row joins, or extends, may end with the row's day.
    let has_sessions = catalog.metrics.iter().any(|metric| metric.window.session_gap_micros().is_some());
    let to_ms = newest_ms + 1 + if has_sessions { longest_ms } else { 0 };
    let range = WindowRange::of_ms(oldest_ms - longest_ms, to_ms);
    let compared = reconcile(catalog, settings, store, &Engine::Local, range, Selection::default()).await?;
    let changed = repair(catalog, settings, store, &compared).await?;
    Pending::clear(store).await?;
    Ok(changed)
}

impl Replayed {
    fn and(self, other: Self) -> Self {
        let times = self.times_ms.into_iter().chain(other.times_ms);
        let times_ms = times.reduce(|(oldest, newest), (a, b)| (oldest.min(a), newest.max(b)));
        let mut unanswered = self.unanswered;
        unanswered.add(&other.unanswered);
        Self {
            counted: self.counted + other.counted,
            duplicate: self.duplicate + other.duplicate,
            refused: self.refused + other.refused,
            cut: self.cut + other.cut,
            times_ms,
            unanswered,
        }
    }
}

/// Gives each row its new verdict; those that keep their old one are left out.
async fn classify(
    topic: &Topic,
    settings: &DomainSettings,
    archive: &ArchiveReader,
    lookups: &TopicLookups,
    rows: &ArchiveBatch,
    now_ms: i64,
) -> Result<Batch, BatchError> {
    let arrow_failed = |source: ArrowError| failed(topic)(source.into());
    let is_refused: Vec<bool> = rows.verdicts().map(|verdict| verdict == Some(Verdict::Refused)).collect();
    let payload = |row: usize| (is_refused[row] && rows.payloads().is_valid(row)).then(|| rows.payloads().value(row));
    let session = engine_session(EngineConfig::default()).map_err(failed(topic))?;
    let rules = RowRules::new(topic, &session).map_err(PanesError::from)?;
    let decoded = Decoder::new(topic, settings.time_zone).decode((0..rows.len()).map(payload));
    let (values, forbidden) = rules.apply(decoded.columns, now_ms).map_err(failed(topic))?;
    let refused: BTreeSet<usize> =
        decoded.refused.iter().map(|refusal| refusal.row).chain(forbidden.into_keys()).collect();
    // A late row has its columns already.
    let own = RecordBatch::try_new(values.schema(), rows.columns().to_vec()).map_err(arrow_failed)?;
    let from: Vec<(usize, usize)> = (0..rows.len()).map(|row| (usize::from(!is_refused[row]), row)).collect();
    let columns = interleave_record_batch(&[&values, &own], &from).map_err(arrow_failed)?;

    let mut counted_ids = counted_ids(topic, archive, &columns).await?;
    let times = columns.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let mut replayed = Replayed::default();
    let (mut changed, mut verdicts) = (Vec::new(), Vec::new());
    for row in 0..rows.len() {
        if refused.contains(&row) || times.is_null(row) {
            replayed.refused += 1;
            replayed.cut += usize::from(payload(row).is_some_and(is_cut));
            continue;
        }
        let partition = PartitionId(rows.partitions().value(row));
        let is_new = event_id(topic, &columns, row).is_none_or(|id| counted_ids.insert((partition, id.to_owned())));
        if is_new {
            let time_ms = times.value(row).div_euclid(MICROS_PER_MS);
            replayed = replayed.and(Replayed { counted: 1, times_ms: Some((time_ms, time_ms)), ..Replayed::default() });
        } else {
            replayed.duplicate += 1;
        }
        changed.push(row as u64);
        verdicts.push(if is_new { Verdict::Counted } else { Verdict::Duplicate });
    }
    if changed.is_empty() {
        return Ok(Batch { rows: None, replayed });
    }
    let changed = UInt64Array::from(changed);
    let mut columns = take_record_batch(&columns, &changed).map_err(arrow_failed)?;
    if !lookups.is_empty() {
        // Rows that did not count were never looked up.
        let counts: BooleanArray = verdicts.iter().map(|verdict| Some(*verdict == Verdict::Counted)).collect();
        let found = lookups.find(&columns, &counts).await.map_err(arrow_failed)?;
        replayed.unanswered.add_found(topic, &found);
        columns = found.put_into(&columns, 0).map_err(arrow_failed)?;
    }
    let rows = rows.take(&changed).and_then(|rows| rows.with_verdicts(&verdicts, columns.columns()));
    Ok(Batch { rows: Some(rows.map_err(arrow_failed)?), replayed })
}

fn event_id<'a>(topic: &Topic, columns: &'a RecordBatch, row: usize) -> Option<&'a str> {
    let ids = columns.column(topic.event_id?).as_string::<i32>();
    ids.is_valid(row).then(|| ids.value(row))
}

/// Which of these rows' ids counted rows have, with their partition.
async fn counted_ids(
    topic: &Topic,
    archive: &ArchiveReader,
    columns: &RecordBatch,
) -> Result<BTreeSet<(PartitionId, String)>, BatchError> {
    let Some(index) = topic.event_id else { return Ok(BTreeSet::new()) };
    let ids: BTreeSet<&str> = (0..columns.num_rows()).filter_map(|row| event_id(topic, columns, row)).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let id = ident(&topic.columns[index].name);
    let wanted = ident(archive_columns::VERDICT)
        .eq(lit(Verdict::Counted.name()))
        .and(id.in_list(ids.into_iter().map(lit).collect(), false));
    let mut known = BTreeSet::new();
    for batch in archive.rows(wanted).await? {
        let batch = ArchiveBatch::new(topic, batch).map_err(|source| failed(topic)(source.into()))?;
        let pairs = batch.partitions().values().iter().zip(batch.column(index).as_string::<i32>());
        known.extend(pairs.filter_map(|(partition, id)| Some((PartitionId(*partition), id?.to_owned()))));
    }
    Ok(known)
}

fn failed(topic: &Topic) -> impl Fn(DataFusionError) -> BatchError {
    BatchError::engine(&topic.name, "fed again")
}
