//! XLSX: the visible sheets with rows, one after the other. Its numbers and dates are typed; what
//! was entered as text is read as somebody wrote it.
//!
//! A thread of its own reads the sheets and is never more than a few batches ahead, so that a file
//! of any length takes little memory besides its shared texts.

mod bounds;
mod cells;
mod layout;
mod sheets;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, sync_channel};
use std::thread;

use calamine::{Xlsx, XlsxError, open_workbook};

use self::cells::Look;
use self::sheets::{Chosen, Sheet, Workbook};
use super::damage::caught;
use super::{Opening, Row, SerialEpoch, Source, batch_rows, header};
use crate::import::ImportError;

/// Batches that wait to be taken.
const AHEAD: usize = 2;

pub(super) struct Spreadsheet {
    name: String,
    header: Vec<String>,
    notes: Vec<String>,
    epoch: SerialEpoch,
    /// Asks the thread to read from the first row on, and says where to.
    readings: Sender<SyncSender<Result<Part, XlsxError>>>,
    parts: Receiver<Result<Part, XlsxError>>,
    /// Rows of the sheets up to where it is read, and all that the file says it has.
    read: u64,
    rows: u64,
}

/// What the thread hands over.
enum Part {
    /// With how many rows of the sheets are read.
    Rows(Vec<Row>, u64),
    End,
}

impl Spreadsheet {
    pub(super) fn open(path: &Path, name: &str, opening: &Opening<'_>) -> Result<Self, ImportError> {
        let failed = ImportError::read(name);
        let (workbook, chosen, seen) = caught(&failed, || {
            bounds::check(path).map_err(&failed)?;
            let mut workbook: Workbook =
                open_workbook(path).map_err(|error: XlsxError| failed(io::Error::other(error)))?;
            let chosen = sheets::choose(&mut workbook, name, opening)?;
            let seen = layout::notes(path, &chosen.sheets).map_err(&failed)?;
            Ok((workbook, chosen, seen))
        })?;
        let epoch = if workbook.has_1904_epoch() { SerialEpoch::From1904 } else { SerialEpoch::From1900 };
        let Chosen { heading, sheets, mut notes } = chosen;
        notes.extend(seen);
        let header = header::distinct(&heading);
        let rows = sheets.iter().map(|sheet| sheet.rows).sum();
        let (readings, asked) = mpsc::channel();
        let (_, parts) = sync_channel(AHEAD);
        let mut reading = Reading { path: path.into(), workbook, heading, sheets, styled: None };
        let run = move || {
            while let Ok(parts) = asked.recv() {
                // A reader that hung up wants nothing more, not even errors.
                let read = caught(|error| Stopped::Failed(XlsxError::Io(error)), || reading.run(&parts));
                let _ = match read {
                    Ok(()) => parts.send(Ok(Part::End)),
                    Err(Stopped::Failed(error)) => parts.send(Err(error)),
                    Err(Stopped::HungUp) => Ok(()),
                };
            }
        };
        thread::Builder::new().name("spreadsheet".to_owned()).spawn(run).map_err(&failed)?;
        let mut sheet = Self { name: name.to_owned(), header, notes, epoch, readings, parts, read: 0, rows };
        sheet.rewind()?;
        Ok(sheet)
    }

    fn died(&self) -> ImportError {
        ImportError::read(&self.name)(io::Error::other("its reader has died"))
    }
}

impl Source for Spreadsheet {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn serial_epoch(&self) -> SerialEpoch {
        self.epoch
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        let part = self.parts.recv().map_err(|_| self.died())?;
        match part.map_err(|error| ImportError::read(&self.name)(io::Error::other(error)))? {
            Part::Rows(rows, read) => {
                self.read = read;
                Ok(rows)
            }
            Part::End => Ok(Vec::new()),
        }
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        let (sender, parts) = sync_channel(AHEAD);
        // The thread stops what it reads for the old one.
        self.parts = parts;
        self.read = 0;
        self.readings.send(sender).map_err(|_| self.died())
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.rows.max(self.read))
    }
}

enum Stopped {
    Failed(XlsxError),
    HungUp,
}

impl From<XlsxError> for Stopped {
    fn from(error: XlsxError) -> Self {
        Self::Failed(error)
    }
}

/// What the thread works with.
struct Reading {
    path: Box<Path>,
    workbook: Workbook,
    heading: Vec<String>,
    sheets: Vec<Sheet>,
    /// The workbook once more, for the formats of its cells, where one adds something to what it
    /// holds.
    styled: Option<Workbook>,
}

impl Reading {
    fn run(&mut self, parts: &SyncSender<Result<Part, XlsxError>>) -> Result<(), Stopped> {
        let mut before = 0;
        for sheet in &self.sheets {
            let mut batch = Batch { parts, heading: &self.heading, sheet, before, rows: Vec::new() };
            let mut cells = self.workbook.worksheet_cells_reader(&sheet.name)?;
            let looks: Vec<Option<Look>> =
                cells.styles().iter().map(|style| Look::of(&style.number_format.as_ref()?.format_code)).collect();
            let mut styles = match looks.iter().any(Option::is_some) {
                false => None,
                true => {
                    if self.styled.is_none() {
                        self.styled = Some(open_workbook::<Xlsx<BufReader<File>>, _>(&self.path)?);
                    }
                    let styled = self.styled.as_mut();
                    styled.map(|workbook| workbook.worksheet_cells_reader(&sheet.name)).transpose()?
                }
            };
            let mut next_style = None;
            let mut row = batch.row(0);
            while let Some(record) = cells.next_cell_with_formula_metadata()? {
                let (line, column) = record.pos;
                if i64::from(line) + 1 != row.line {
                    let done = std::mem::replace(&mut row, batch.row(i64::from(line) + 1));
                    batch.push(done)?;
                }
                // Cells without a format of their own have no style.
                while let Some(reader) = &mut styles
                    && next_style.is_none_or(|(row, column, _)| (row, column) < record.pos)
                {
                    match reader.next_style_id()? {
                        Some(style) => next_style = Some(style),
                        None => styles = None,
                    }
                }
                let style = next_style.filter(|(row, column, _)| (*row, *column) == record.pos);
                let look = style.and_then(|(_, _, style)| looks.get(style)?.as_ref());
                // What is to the right of the header belongs to nothing.
                if let Some(Some(column)) = sheet.columns.get(column as usize) {
                    row.cells[*column] = cells::cell(record.pos, &record.value, record.formula.as_ref(), look);
                }
            }
            batch.push(row)?;
            batch.send()?;
            before += sheet.rows;
        }
        Ok(())
    }
}

/// Rows of a sheet that are not handed over yet.
struct Batch<'a> {
    parts: &'a SyncSender<Result<Part, XlsxError>>,
    heading: &'a [String],
    sheet: &'a Sheet,
    /// Rows of the sheets before.
    before: u64,
    rows: Vec<Row>,
}

impl Batch<'_> {
    fn row(&self, line: i64) -> Row {
        Row {
            sheet: Some(Arc::clone(&self.sheet.name)),
            line,
            cells: vec![None; self.heading.len()],
            broken: None,
            is_unended: false,
        }
    }

    /// Rows above the header are none, and so are those that only look like something, in which
    /// spreadsheets end.
    fn push(&mut self, mut row: Row) -> Result<(), Stopped> {
        if row.line <= self.sheet.header_line || row.cells.iter().all(Option::is_none) {
            return Ok(());
        }
        let cell = |index: usize| row.cells[index].as_ref().map_or("", |cell| cell.text.as_str());
        if (0..self.heading.len()).all(|index| header::clean(cell(index)) == self.heading[index]) {
            row.broken = Some(header::HEADER_AGAIN.to_owned());
        }
        self.rows.push(row);
        if self.rows.len() >= batch_rows(self.heading.len()) { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Stopped> {
        let rows = std::mem::take(&mut self.rows);
        let Some(last) = rows.last() else { return Ok(()) };
        let read = self.before + u64::try_from(last.line).unwrap_or_default();
        self.parts.send(Ok(Part::Rows(rows, read))).map_err(|_| Stopped::HungUp)
    }
}

#[cfg(test)]
mod tests;
