//! What an import would do, with nothing written: how each column is understood, the first rows as
//! they would come in, and what would be refused and why.

mod unused;

use std::collections::HashSet;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, History, Layout, Location};

pub use self::unused::Unused;
use super::forms::{Form, Forms, Numbers, zone};
use super::identity::{Marker, Marks};
use super::known::{Known, Standing};
use super::legacy::Legacy;
use super::mapping::Mapping;
use super::opening::Opened;
use super::reader::Reader;
use super::source::Row;
use super::twice::Meanings;
use super::{File, Import, ImportReport, stored};
use crate::error::BatchError;

/// Rows that are shown.
const SHOWN: usize = 5;

/// What an import of a file would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The file's columns that would be used.
    pub columns: Vec<Column>,
    /// The first rows that would count, in the topic's columns that have a value in any of them.
    pub rows: RecordBatch,
    /// The file's columns that would not be used.
    pub unused: Vec<Unused>,
    /// Counts of the rows that were looked at, and why some would be refused.
    pub imported: ImportReport,
    /// Whether that is every row of the file.
    pub is_whole: bool,
}

/// A column of the file that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub theirs: String,
    /// The topic's column that it fills.
    pub ours: String,
    /// How its cells are written; empty where there is nothing to know.
    pub form: String,
    /// Its first cell.
    pub example: String,
}

impl Import {
    /// Looks at a file without importing it: at the whole of it, or else, once its forms are known,
    /// at its first rows only.
    pub async fn preview(
        &self,
        file: &File,
        store: &Location,
        is_whole: bool,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<Preview, BatchError> {
        let history = History::read(&self.topic, &Layout::of(store).history(&self.topic)).await?;
        let archive = Archive::read(&self.topic, store).await?;
        let stream_from_ms = self.stream_from_ms(archive.as_ref()).await?;
        let known = Known::new(self.ask.is_by_item());
        let (mut known, mut legacy) = (known, Legacy::new(&self.topic, &self.target));
        let Opened { mut source, mapping, mut marker, forms, .. } =
            self.open(file, Some(&mut known), false, progress)?;
        stored::learn(self, history.as_ref(), archive, &marker, &[], &mut known, &mut legacy).await?;

        let header = source.header().to_vec();
        let notes = [source.notes(), &forms.notes, &mapping.hints].concat();
        let mut unused = unused::Counter::new(&header, &mapping.unused);
        let mut imported = ImportReport { unused: mapping.unused.clone(), notes, ..ImportReport::default() };
        let mut columns = self.used(&mapping, &forms);
        let mut reader = Reader::new(self, (&file.name, ""), mapping, forms, header, stream_from_ms)?;
        let mut first: Vec<RecordBatch> = Vec::new();
        let mut meanings = if is_whole { Meanings::new(&self.topic, &self.target) } else { None };
        loop {
            let mut rows = source.next()?;
            if !is_whole {
                rows.truncate(SHOWN);
            }
            if rows.is_empty() {
                break;
            }
            fill_examples(&mut columns, &rows);
            unused.count(&rows);
            // Of the first rows alone it is not asked what is in.
            let standing = |marks: &Marks| if is_whole { known.standing(marks) } else { Standing::New };
            let New { new, differing } = New::of(rows, &mut marker, standing, &mut imported);
            if !new.is_empty() {
                let batch = reader.read(&new, &mut known, &mut legacy, &mut imported)?;
                if let Some(meanings) = &mut meanings {
                    meanings.add(&batch, &differing).map_err(engine)?;
                }
                let so_far: usize = first.iter().map(RecordBatch::num_rows).sum();
                first.push(counted(&batch).map_err(engine)?.slice_most(SHOWN - so_far.min(SHOWN)));
            }
            if !is_whole {
                break;
            }
            let (done, of) = source.progress();
            progress(of + done, 2 * of);
        }
        imported.known_of = known.by_import();
        // Of the first rows alone nothing is to be said.
        if is_whole {
            imported.notes.extend(reader.notes());
        }
        if let Some(meanings) = meanings {
            let archive = Archive::read(&self.topic, store).await?;
            imported.twice = meanings.compare(history.as_ref(), archive, &known, imported.period_micros, &[]).await?;
        }
        let rows = concat_batches(reader.schema(), first.iter()).map_err(engine)?;
        let rows = self.filled(&rows).map_err(engine)?;
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        Ok(Preview { columns, rows, unused: unused.end(), imported, is_whole })
    }

    /// The file's columns that are used, by their place.
    fn used(&self, mapping: &Mapping, forms: &Forms) -> Vec<(usize, Column)> {
        let column = |(index, ours): (usize, &str)| {
            let (theirs, form) = (mapping.heading(index).to_owned(), self.words(forms.columns[index]));
            (index, Column { theirs, ours: ours.to_owned(), form, example: String::new() })
        };
        mapping.filled().map(column).collect()
    }

    /// The topic's columns that have a value in any row.
    fn filled(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let names: Vec<&str> = self.topic.columns.iter().map(|column| column.name.as_str()).collect();
        let kept: Vec<usize> = (0..rows.num_columns())
            .filter(|index| {
                let is_ours = names.contains(&rows.schema_ref().field(*index).name().as_str());
                is_ours && rows.column(*index).null_count() < rows.num_rows()
            })
            .collect();
        rows.project(&kept)
    }

    fn words(&self, form: Form) -> String {
        match form {
            Form::Numbers(Numbers::Plain) => "numbers as 1,234.56".to_owned(),
            Form::Numbers(Numbers::Brazilian) => "numbers as 1.234,56".to_owned(),
            Form::Time(time) => {
                let order = match (time.count, time.dates) {
                    (Some(count), _) => format!("counted: {count:?}").to_lowercase(),
                    (None, Some(dates)) => format!("dates as {}", dates.words()),
                    (None, None) => "dates as yyyy-mm-dd".to_owned(),
                };
                let zone = time
                    .offset_minutes
                    .map_or_else(|| self.zone.to_string(), |minutes| format!("UTC{}", zone::shown(minutes)));
                format!("{order}, {zone} where no offset is given")
            }
            Form::WholeFloats => "whole numbers, written as 123.0".to_owned(),
            Form::Clock { .. } | Form::Any => String::new(),
        }
    }
}

/// Rows that would come in.
struct New {
    new: Vec<(Row, Marks)>,
    /// The cells of those that differ from what is in by their amounts alone.
    differing: HashSet<u128>,
}

impl New {
    /// Counts the others.
    fn of(
        rows: Vec<Row>,
        marker: &mut Marker,
        mut standing: impl FnMut(&Marks) -> Standing,
        imported: &mut ImportReport,
    ) -> Self {
        let (mut new, mut differing) = (Vec::with_capacity(rows.len()), HashSet::new());
        for row in rows {
            let marks = marker.marks(&row);
            let standing = standing(&marks);
            if imported.count_known(standing) {
                continue;
            }
            if standing == Standing::NewAmounts {
                differing.insert(marks.cells);
            }
            new.push((row, marks));
        }
        Self { new, differing }
    }
}

trait Most {
    fn slice_most(&self, rows: usize) -> RecordBatch;
}

impl Most for RecordBatch {
    fn slice_most(&self, rows: usize) -> RecordBatch {
        self.slice(0, rows.min(self.num_rows()))
    }
}

fn engine(source: ArrowError) -> BatchError {
    super::failed(source.into())
}

fn fill_examples(columns: &mut [(usize, Column)], rows: &[Row]) {
    for (index, column) in columns.iter_mut().filter(|(_, column)| column.example.is_empty()) {
        let cell = rows.iter().find_map(|row| row.cells.get(*index)?.as_ref());
        column.example = cell.map(|cell| cell.text.clone()).unwrap_or_default();
    }
}

/// The rows that would count.
fn counted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let Some(verdicts) = batch.column_by_name(history_columns::VERDICT) else { return Ok(batch.slice(0, 0)) };
    let is_counted = verdicts.as_string::<i32>().iter().map(|verdict| Some(verdict == Some(Verdict::Counted.name())));
    filter_record_batch(batch, &is_counted.collect::<BooleanArray>())
}
