//! What a file says otherwise than what is in: rows whose amounts have changed since, and rows that
//! it leaves out by now. Neither adds anything, so that nobody would notice: they are named, with
//! the import that has them.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use futures::TryStreamExt;
use vitral_schemas::topic::{ColumnKind, Topic, history_columns};
use vitral_store::History;

use super::failed;
use super::identity::{ByMark, Marks, event_id};
use super::known::Known;
use super::left_out::Left;
use super::mapping::Mapping;
use crate::error::BatchError;

/// Rows that are shown of each import.
const EXAMPLES: usize = 3;

/// What a file says otherwise than one import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The import's id.
    pub import: String,
    /// Rows with other amounts; what is in was left as it is.
    pub amounts: u64,
    /// Rows that came in alongside others of the same item, with other amounts.
    pub added: u64,
    /// Rows that are in, and that the file leaves out now.
    pub left_out: u64,
    /// Rows of the import that the file does not have.
    pub missing: u64,
    /// The first of these rows, for people.
    pub examples: Vec<String>,
}

/// A row of the file that may say something else.
#[derive(Debug)]
struct Line {
    name: String,
    line: i64,
    amounts: Vec<Option<String>>,
    is_added: bool,
}

/// By what lasts of a row: the imports that have it, with its amounts.
type Stored = ByMark<Vec<(String, Vec<Option<String>>)>>;

#[derive(Debug)]
pub(super) struct Changes {
    /// The topic's amounts that the file fills, by their place.
    columns: Vec<(usize, String)>,
    event_id: Option<String>,
    rows: ByMark<Vec<Line>>,
}

/// A row that may differ from what is in, with its values.
pub(super) struct Candidate<'a> {
    pub(super) marks: Marks,
    pub(super) name: &'a str,
    pub(super) line: i64,
    pub(super) is_added: bool,
}

impl Changes {
    pub(super) fn new(topic: &Topic, mapping: &Mapping) -> Self {
        let is_amount = |kind| matches!(kind, ColumnKind::Integer | ColumnKind::Decimal { .. } | ColumnKind::Currency);
        let is_filled = |name: &str| mapping.filled().any(|(_, filled)| filled == name);
        let columns = topic.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| is_amount(column.kind) && is_filled(&column.name));
        Self {
            columns: columns.map(|(index, column)| (index, column.name.clone())).collect(),
            event_id: topic.event_id.map(|index| topic.columns[index].name.clone()),
            rows: ByMark::default(),
        }
    }

    /// Keeps what rows say, by the topic's columns; those that could not be read are none.
    pub(super) fn add(&mut self, rows: &[Option<Candidate<'_>>], values: &RecordBatch) -> Result<(), ArrowError> {
        let amounts: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|(index, _)| cast(values.column(*index), &DataType::Utf8))
            .collect::<Result<_, _>>()?;
        for (row, candidate) in rows.iter().enumerate() {
            let Some(Candidate { marks, name, line, is_added }) = candidate else { continue };
            let Some(mark) = marks.lasting() else { continue };
            let line =
                Line { name: (*name).to_owned(), line: *line, amounts: texts(&amounts, row), is_added: *is_added };
            self.rows.entry(mark).or_default().push(line);
        }
        Ok(())
    }

    /// What is in, compared with what was kept; but for the imports `taken`.
    pub(super) async fn compare(
        mut self,
        history: &History,
        known: &mut Known,
        left: &[Left],
        taken: &[String],
        is_named: impl Fn(&str) -> bool,
    ) -> Result<Vec<Changed>, BatchError> {
        let mut changed = BTreeMap::<String, Changed>::new();
        for Left { marks, name, place } in left {
            let Some(import) = known.left_out(marks).filter(|import| is_named(import)) else { continue };
            let of_import = changed.entry(import.to_owned()).or_default();
            of_import.left_out += 1;
            if of_import.left_out <= EXAMPLES as u64 {
                of_import.examples.push(format!("{name} ({place}): counted, and left out here"));
            }
        }
        if changed.is_empty() && self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let (mut stored, totals) = self.stored(history, known, taken).await?;
        let mut differing = Vec::new();
        for (mark, lines) in std::mem::take(&mut self.rows) {
            let mut theirs = stored.remove(&mark).unwrap_or_default();
            let mut ours = lines;
            ours.retain(|line| match theirs.iter().position(|(_, amounts)| *amounts == line.amounts) {
                // Written in another way, and worth the same.
                Some(same) => {
                    let (import, _) = theirs.swap_remove(same);
                    if line.is_added {
                        differing.push((
                            line.line,
                            import.clone(),
                            true,
                            format!("{} (line {}): the same amounts", line.name, line.line),
                        ));
                    }
                    false
                }
                None => true,
            });
            for (line, (import, amounts)) in ours.iter().zip(&theirs) {
                differing.push((line.line, import.clone(), line.is_added, self.words(line, amounts)));
            }
        }
        differing.sort();
        for (_, import, is_added, words) in differing {
            let of_import = changed.entry(import).or_default();
            *(if is_added { &mut of_import.added } else { &mut of_import.amounts }) += 1;
            if of_import.amounts + of_import.added <= EXAMPLES as u64 {
                of_import.examples.push(words);
            }
        }
        let known_of = known.by_import();
        let with_names = changed.into_iter().map(|(import, changed)| {
            let has = known_of.get(&import).copied().unwrap_or_default() + changed.left_out + changed.added;
            let missing = totals.get(&import).copied().unwrap_or_default().saturating_sub(has);
            Changed { import, missing, ..changed }
        });
        Ok(with_names.collect())
    }

    /// Of the rows that were kept the stored ones that no row of the file has all cells of; and how
    /// many rows each import has.
    async fn stored(
        &self,
        history: &History,
        known: &Known,
        taken: &[String],
    ) -> Result<(Stored, BTreeMap<String, u64>), BatchError> {
        use history_columns::{CELLS, IMPORT, ITEM};
        let engine = |source: ArrowError| failed(source.into());
        let mut columns = vec![IMPORT, CELLS, ITEM];
        columns.extend(self.columns.iter().map(|(_, name)| name.as_str()));
        columns.extend(self.event_id.as_deref());
        let mut found = Stored::default();
        let mut same: ByMark<u32> = ByMark::default();
        let mut totals = BTreeMap::<String, u64>::new();
        let mut batches = history.counted(&columns).await?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let (imports, cells) = (batch.column(0).as_string::<i32>(), batch.column(1).as_binary::<i32>());
            let items = batch.column(2).as_binary::<i32>();
            let amounts: Vec<ArrayRef> = (3..3 + self.columns.len())
                .map(|index| cast(batch.column(index), &DataType::Utf8))
                .collect::<Result<_, _>>()
                .map_err(engine)?;
            let ids = match &self.event_id {
                Some(_) => Some(cast(batch.column(3 + self.columns.len()), &DataType::Utf8).map_err(engine)?),
                None => None,
            };
            let ids = ids.as_ref().map(|ids| ids.as_string::<i32>());
            let hash = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).unwrap_or_default();
            for row in 0..batch.num_rows() {
                let import = imports.value(row);
                if taken.iter().any(|taken| taken == import) {
                    continue;
                }
                match totals.get_mut(import) {
                    Some(rows) => *rows += 1,
                    None => {
                        totals.insert(import.to_owned(), 1);
                    }
                }
                let id = ids.filter(|ids| ids.is_valid(row)).map(|ids| event_id(ids.value(row)));
                let mark = id.or_else(|| items.is_valid(row).then(|| hash(items.value(row))));
                let Some(mark) = mark.filter(|mark| self.rows.contains_key(mark)) else { continue };
                let cells = hash(cells.value(row));
                let same = same.entry(cells).or_default();
                if *same < known.in_file(cells) {
                    *same += 1;
                } else {
                    found.entry(mark).or_default().push((import.to_owned(), texts(&amounts, row)));
                }
            }
        }
        Ok((found, totals))
    }

    fn words(&self, line: &Line, stored: &[Option<String>]) -> String {
        let shown = |amount: &Option<String>| amount.clone().unwrap_or_else(|| "nothing".to_owned());
        let columns =
            self.columns.iter().zip(line.amounts.iter().zip(stored)).filter(|(_, (here, there))| here != there);
        let words =
            columns.map(|((_, name), (here, there))| format!("{name} {} here, {} is in", shown(here), shown(there)));
        format!("{} (line {}): {}", line.name, line.line, words.collect::<Vec<_>>().join("; "))
    }
}

fn texts(columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |column: &ArrayRef| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
    columns.iter().map(text).collect()
}
