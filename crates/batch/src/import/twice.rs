//! Rows that count twice by what they mean: the same order, product, instant and worth came before,
//! in cells that are written otherwise, or by the stream, without an event id that tells.
//!
//! Only cells say whether a row is in, so that it comes in. It is named. What is stored is looked
//! at once, within the period of the rows that came in, and what is kept in memory is a hash for
//! each of those.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit};
use futures::TryStreamExt;
use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic, archive_columns, history_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::{ArchiveReader, History, bulk_session};

use super::amounts::{Amounts, shown};
use super::failed;
use super::identity::{ByMark, hash};
use super::known::Known;
use crate::error::BatchError;

/// Rows that are shown of each import.
const EXAMPLES: u64 = 3;

/// Rows that came in though others mean the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twice {
    /// How many.
    pub rows: u64,
    /// The first of them, for people.
    pub examples: Vec<String>,
}

/// How many rows came in that mean the same and are not found yet.
#[derive(Default)]
struct CameIn {
    with_id: u32,
    without_id: u32,
}

/// What rows that came in mean.
pub(super) struct Meanings {
    /// The key without its amounts, and what every row of the table has.
    names: Vec<String>,
    constants: Vec<(String, String)>,
    amounts: Amounts,
    event_time: String,
    event_id: Option<String>,
    came_in: ByMark<CameIn>,
}

/// What some rows mean, one after the other.
struct Rows {
    texts: Vec<ArrayRef>,
    amounts: super::amounts::Columns,
    ids: Option<ArrayRef>,
}

impl Rows {
    fn text(&self, place: usize, row: usize) -> &str {
        let column = self.texts[place].as_string::<i32>();
        if column.is_valid(row) { column.value(row) } else { "" }
    }

    /// None where nothing says which order it is.
    fn mark(&self, row: usize) -> Option<u128> {
        let worth = self.amounts.worth(row).unwrap_or_default().to_string();
        let texts = (0..self.texts.len()).map(|place| self.text(place, row));
        (!self.text(0, row).is_empty()).then(|| hash(texts.chain([worth.as_str()])))
    }

    fn has_id(&self, row: usize) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.is_valid(row))
    }
}

impl Meanings {
    /// None for a table whose key does not say what is sold when.
    pub(super) fn new(topic: &Topic, target: &ImportTarget) -> Option<Self> {
        let is_amount = |name: &String| {
            let kind = topic.columns.iter().find(|column| column.name == *name).map(|column| column.kind);
            matches!(kind, Some(ColumnKind::Integer | ColumnKind::Decimal { .. }))
        };
        let names: Vec<String> = target.key.iter().filter(|name| !is_amount(name)).cloned().collect();
        let event_time = topic.columns[topic.event_time].name.clone();
        names.contains(&event_time).then(|| Self {
            names,
            constants: target.constants.clone(),
            amounts: Amounts::of(topic, target),
            event_time,
            event_id: topic.event_id.map(|index| topic.columns[index].name.clone()),
            came_in: ByMark::default(),
        })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let text = |name: &String| batch.column_by_name(name).map(|column| cast(column, &DataType::Utf8)).transpose();
        let texts = self.names.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let ids = self.event_id.as_ref().and_then(|name| batch.column_by_name(name)).cloned();
        Ok(Rows { texts: texts.into_iter().flatten().collect(), amounts: self.amounts.columns(batch)?, ids })
    }

    /// Takes counted rows into account, but for those with such cells: they are known to be like
    /// others.
    pub(super) fn add(&mut self, batch: &RecordBatch, without: &HashSet<u128>) -> Result<(), ArrowError> {
        let column = |name: &str| batch.column_by_name(name);
        let (Some(verdicts), Some(cells)) = (column(history_columns::VERDICT), column(history_columns::CELLS)) else {
            return Ok(());
        };
        let (verdicts, cells) = (verdicts.as_string::<i32>(), cells.as_binary::<i32>());
        let rows = self.rows(batch)?;
        for row in 0..batch.num_rows() {
            if verdicts.value(row) != Verdict::Counted.name() || without.contains(&mark_of(cells.value(row))) {
                continue;
            }
            let Some(mark) = rows.mark(row) else { continue };
            let came_in = self.came_in.entry(mark).or_default();
            *(if rows.has_id(row) { &mut came_in.with_id } else { &mut came_in.without_id }) += 1;
        }
        Ok(())
    }

    /// By import, and under an empty name by the stream, what is stored and means the same; but for
    /// the imports `taken`, whose rows are not to count, or are these.
    pub(super) async fn compare(
        mut self,
        history: Option<&History>,
        archive: Option<ArchiveReader>,
        known: &Known,
        period_micros: Option<(i64, i64)>,
        taken: &[String],
    ) -> Result<BTreeMap<String, Twice>, BatchError> {
        let mut twice = BTreeMap::new();
        let Some((oldest, newest)) = period_micros.filter(|_| !self.came_in.is_empty()) else { return Ok(twice) };
        let instant = |micros: i64| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let time = || ident(&self.event_time);
        let within = time().gt_eq(instant(oldest)).and(time().lt_eq(instant(newest)));
        let is = |(name, text): &(String, String)| ident(name).eq(lit(text.clone()));
        let wanted = self.constants.iter().map(is).fold(within, Expr::and);
        let counted = |name: &str| ident(name).eq(lit(Verdict::Counted.name()));

        let not_taken = ident(history_columns::IMPORT).in_list(taken.iter().map(|id| lit(id.clone())).collect(), true);
        if let Some(history) = history {
            let of_history = wanted.clone().and(counted(history_columns::VERDICT)).and(not_taken);
            self.find(history.provider().await?, of_history, known, &mut twice).await?;
        }
        if let Some(archive) = archive {
            let of_stream = wanted.and(counted(archive_columns::VERDICT));
            self.find(archive.provider().await?, of_stream, known, &mut twice).await?;
        }
        Ok(twice)
    }

    async fn find(
        &mut self,
        stored: Arc<dyn TableProvider>,
        wanted: Expr,
        known: &Known,
        twice: &mut BTreeMap<String, Twice>,
    ) -> Result<(), BatchError> {
        let schema = stored.schema();
        let mut columns: Vec<&str> = vec![history_columns::IMPORT, history_columns::CELLS, history_columns::KEY];
        columns.extend(self.names.iter().map(String::as_str));
        let Amounts { total, price, count } = &self.amounts;
        columns.extend([total, price, count, &self.event_id].into_iter().flatten().map(String::as_str));
        columns.retain(|name| schema.field_with_name(name).is_ok());
        let columns: Vec<Expr> = columns.into_iter().map(ident).collect();
        let run = async { bulk_session(2).read_table(stored)?.filter(wanted)?.select(columns)?.execute_stream().await };
        let mut batches = run.await.map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            self.find_in(&batch, known, twice).map_err(|source| failed(source.into()))?;
        }
        Ok(())
    }

    fn find_in(
        &mut self,
        batch: &RecordBatch,
        known: &Known,
        twice: &mut BTreeMap<String, Twice>,
    ) -> Result<(), ArrowError> {
        let rows = self.rows(batch)?;
        let column = |name: &str, to: &DataType| batch.column_by_name(name).map(|column| cast(column, to)).transpose();
        let cells = column(history_columns::CELLS, &DataType::Binary)?;
        let keys = column(history_columns::KEY, &DataType::Binary)?;
        let imports = column(history_columns::IMPORT, &DataType::Utf8)?;
        for row in 0..batch.num_rows() {
            let mark = |column: &Option<ArrayRef>| {
                let column = column.as_ref().filter(|column| column.is_valid(row))?;
                Some(mark_of(column.as_binary::<i32>().value(row)))
            };
            // A row that is like one of the file in its cells is that one.
            if mark(&cells).is_some_and(|cells| known.in_file(cells) > 0)
                || mark(&keys).is_some_and(|key| known.has_key(key))
            {
                continue;
            }
            let Some(came_in) = rows.mark(row).and_then(|mark| self.came_in.get_mut(&mark)) else { continue };
            // Rows with event ids of their own are different events.
            let left = match (came_in.without_id, rows.has_id(row)) {
                (0, true) => continue,
                (0, false) => &mut came_in.with_id,
                _ => &mut came_in.without_id,
            };
            if *left == 0 {
                continue;
            }
            *left -= 1;
            let import = imports.as_ref().map_or("", |imports| imports.as_string::<i32>().value(row));
            let found = twice.entry(import.to_owned()).or_default();
            found.rows += 1;
            if found.rows <= EXAMPLES {
                let texts =
                    (0..rows.texts.len()).map(|place| format!("{} {}", self.names[place], rows.text(place, row)));
                let worth = shown(rows.amounts.worth(row).unwrap_or_default());
                found.examples.push(format!("{}, worth {worth}", texts.collect::<Vec<_>>().join(", ")));
            }
        }
        Ok(())
    }
}

fn mark_of(bytes: &[u8]) -> u128 {
    <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).unwrap_or_default()
}
