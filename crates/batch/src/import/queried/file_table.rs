//! The file as a table of texts, `arquivo`, read on a thread of its own as the query asks for its
//! rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use vitral_catalog::{LINE_COLUMN, Profile, SHEET_COLUMN};

use super::statuses::StatusColumns;
use super::{Opener, Shared, WAITING};
use crate::import::ImportError;
use crate::import::mapping::key;
use crate::import::message::shortest;
use crate::import::source::{Cell, Kind, Row};

/// The file's columns, its lines and its sheets.
pub(super) fn schema_of<'a>(header: impl IntoIterator<Item = &'a String>) -> SchemaRef {
    let mut fields =
        vec![Field::new(LINE_COLUMN, DataType::Int64, false), Field::new(SHEET_COLUMN, DataType::Utf8, true)];
    let is_own = |name: &str| [LINE_COLUMN, SHEET_COLUMN].contains(&name);
    let names = header.into_iter().filter(|name| !name.is_empty() && !is_own(name));
    fields.extend(names.map(|name| Field::new(name, DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

/// The file as a table that is read once.
pub(super) struct FileStream {
    pub(super) schema: SchemaRef,
    pub(super) opener: Opener,
    pub(super) shared: Arc<Shared>,
    /// Headings in which a cell that cannot be used breaks its row; all of them where it is not
    /// known which are used.
    pub(super) needed: Option<Vec<String>>,
    /// What says where the states of rows stand, if they are wanted.
    pub(super) with_status: Option<Profile>,
}

impl std::fmt::Debug for FileStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStream").finish_non_exhaustive()
    }
}

impl PartitionStream for FileStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), WAITING);
        let sender = builder.tx();
        let (schema, opener, shared) = (Arc::clone(&self.schema), Arc::clone(&self.opener), Arc::clone(&self.shared));
        let (needed, with_status) = (self.needed.clone(), self.with_status.clone());
        builder.spawn_blocking(move || {
            let external = |error: ImportError| DataFusionError::External(Box::new(error));
            let mut source = opener().map_err(external)?;
            let header = source.header().to_vec();
            let by_name: HashMap<&str, usize> =
                header.iter().enumerate().rev().map(|(place, name)| (name.as_str(), place)).collect();
            let of_file = schema.fields().iter().skip(2);
            let places: Vec<Option<usize>> = of_file.map(|field| by_name.get(field.name().as_str()).copied()).collect();
            let is_needed: Vec<bool> =
                header.iter().map(|name| needed.as_ref().is_none_or(|needed| needed.contains(&key(name)))).collect();
            let status = with_status.and_then(|profile| StatusColumns::new(&profile, &header));
            loop {
                let rows = source.next().map_err(external)?;
                let (done, of) = source.progress();
                shared.done.store(done, Ordering::Relaxed);
                shared.of.store(of, Ordering::Relaxed);
                if rows.is_empty() {
                    return Ok(());
                }
                let (whole, broken): (Vec<Row>, Vec<Row>) =
                    rows.into_iter().map(|row| with_unusable(row, &is_needed)).partition(|row| row.broken.is_none());
                shared.read.fetch_add(whole.len() as u64, Ordering::Relaxed);
                if !broken.is_empty()
                    && let Ok(mut all) = shared.broken.lock()
                {
                    all.extend(broken.into_iter().map(|row| Row { cells: Vec::new(), ..row }));
                }
                if let (Some(columns), Ok(mut statuses)) = (&status, shared.statuses.lock()) {
                    whole.iter().for_each(|row| statuses.read(row, columns));
                }
                let batch = batch_of(&schema, &places, &whole)?;
                if sender.blocking_send(Ok(batch)).is_err() {
                    return Ok(());
                }
            }
        });
        builder.build()
    }
}

/// A row whose needed cells cannot be used is broken.
fn with_unusable(mut row: Row, is_needed: &[bool]) -> Row {
    let mut cells = row.cells.iter().zip(is_needed);
    let found = cells.find_map(|(cell, needed)| cell.as_ref().filter(|cell| *needed && cell.kind == Kind::Unusable));
    if let (None, Some(cell)) = (&row.broken, found) {
        row.broken = Some(cell.text.clone());
    }
    row
}

/// A number as a text, with the sign that its format shows if that makes another number of it.
fn number(cell: &Cell) -> String {
    let number = shortest(&cell.text);
    match cell.sign.as_deref() {
        // What amounts of the domain's own currency show too, so that conditions on them go on
        // being numbers.
        None | Some("R$" | "$") => number,
        Some("%") => format!("{number} %"),
        Some(sign) => format!("{sign} {number}"),
    }
}

/// `places`: for each of the file's columns in the schema its place in a row.
fn batch_of(schema: &SchemaRef, places: &[Option<usize>], rows: &[Row]) -> PlanResult<RecordBatch> {
    let mut lines = Int64Builder::with_capacity(rows.len());
    let mut sheets = StringBuilder::new();
    for row in rows {
        lines.append_value(row.line);
        sheets.append_option(row.sheet.as_deref());
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(lines.finish()), Arc::new(sheets.finish())];
    for place in places {
        let mut texts = StringBuilder::new();
        for row in rows {
            match place.and_then(|place| row.cells.get(place)?.as_ref()) {
                // NaN is how programs write that there is none; an unusable cell of an optional
                // column is none either.
                Some(cell) if cell.kind == Kind::Float && cell.text == "NaN" => texts.append_null(),
                Some(cell) if cell.kind == Kind::Unusable => texts.append_null(),
                Some(cell) if cell.kind == Kind::Float => texts.append_value(number(cell)),
                Some(cell) => texts.append_value(&cell.text),
                None => texts.append_null(),
            }
        }
        columns.push(Arc::new(texts.finish()));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
