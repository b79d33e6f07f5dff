//! Files of rows: a header, then cells as the file has them, whatever its format.
//!
//! Architecture invariant: nothing here interprets what somebody wrote. A source says where a cell
//! is, what is in it, and what kind of value the format itself declares; forms of dates and numbers
//! are found above, from whole columns.

mod cell;
mod damage;
mod delimited;
mod header;
mod parquet;
mod signature;
mod spreadsheet;

use std::path::Path;
use std::sync::Arc;

pub(super) use self::cell::{Cell, Kind};
pub(super) use self::header::{Fit, HEADER_AGAIN, Headings, distinct};
use super::ImportError;

/// Rows that are read together,
const BATCH_ROWS: usize = 16 * 1024;
/// or fewer where they are wide, so that memory is bounded.
const BATCH_CELLS: usize = 2 << 20;

/// How many rows of so many columns are read together.
fn batch_rows(width: usize) -> usize {
    (BATCH_CELLS / width.max(1)).clamp(1, BATCH_ROWS)
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The sheet of a workbook.
    pub(super) sheet: Option<Arc<str>>,
    /// Of a text file the physical line where the row begins, of a sheet its row; of other formats
    /// its number, as if a header stood above it.
    pub(super) line: i64,
    /// A cell for each column of the header; empty ones are none. A line of a text file may end
    /// early.
    pub(super) cells: Vec<Option<Cell>>,
    /// Why this is not a row of the table.
    pub(super) broken: Option<String>,
    /// The file ends in it, without an end of the line: it may be cut off.
    pub(super) is_unended: bool,
}

impl Row {
    /// Where the row stands, as people look it up.
    pub(super) fn place(&self) -> String {
        match &self.sheet {
            Some(sheet) => format!("sheet {sheet}, line {}", self.line),
            None => format!("line {}", self.line),
        }
    }
}

/// The day that a spreadsheet counts as number 0 of its serial dates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SerialEpoch {
    /// Day 1 is 1900-01-01, with a leap day that year 1900 did not have.
    #[default]
    From1900,
    /// Day 0 is 1904-01-01.
    From1904,
}

/// A file that is being read.
pub(super) trait Source: Send {
    /// The columns as the file names them; one that is named twice is `Valor`, then `Valor_2`; one
    /// without a name is empty.
    fn header(&self) -> &[String];

    /// What is not read, for people: lines above the header, sheets that are left out.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// What may be wrong with how the file is read, if its columns are not understood.
    fn doubt(&self) -> Option<&str> {
        None
    }

    /// How dates are counted where they stand as plain numbers.
    fn serial_epoch(&self) -> SerialEpoch {
        SerialEpoch::default()
    }

    /// Columns whose cells are lists or structures, which no cell can hold.
    fn nested(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Every row, also those that a condition leaves out, in the same order and with the same
    /// header; none where nothing is left out. Only these columns need cells.
    fn all(&self, _columns: &[usize]) -> Option<Box<dyn Source>> {
        None
    }

    /// From here on only these columns need cells, in formats that store columns apart. Goes back
    /// to the first row.
    fn keep(&mut self, _columns: &[bool]) -> Result<(), ImportError> {
        self.rewind()
    }

    /// The next rows; none at the end.
    fn next(&mut self) -> Result<Vec<Row>, ImportError>;

    /// Goes back to the first row.
    fn rewind(&mut self) -> Result<(), ImportError>;

    /// How much is read, of how much.
    fn progress(&self) -> (u64, u64);
}

/// How a file is to be opened.
pub(super) struct Opening<'a> {
    /// The line where the header stands, as the user says.
    pub(super) header_row: Option<u32>,
    /// The sheets of a workbook that are meant, as the user says; `all` means every visible one.
    pub(super) sheets: &'a [String],
    /// What can be a header; for a workbook, which sheets are alike.
    pub(super) headings: &'a dyn Headings,
}

/// Opens a file by its ending; `name` is what people call it.
pub(super) fn open(path: &Path, name: &str, opening: &Opening<'_>) -> Result<Box<dyn Source>, ImportError> {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    let unused = match ending.as_str() {
        "csv" | "tsv" | "txt" | "parquet" if !opening.sheets.is_empty() => Some("--sheet"),
        "parquet" if opening.header_row.is_some() => Some("--header-row"),
        _ => None,
    };
    if let Some(flag) = unused {
        return Err(ImportError::Flag { file: name.to_owned(), flag });
    }
    if is_known(name) {
        signature::check(path, name, &ending)?;
    }
    match ending.as_str() {
        "csv" | "tsv" | "txt" => Ok(Box::new(delimited::Delimited::open(path, name, opening)?)),
        "parquet" => Ok(Box::new(parquet::Columns::open(path, name)?)),
        "xlsx" => Ok(Box::new(spreadsheet::Spreadsheet::open(path, name, opening)?)),
        _ => Err(ImportError::format(name)),
    }
}

/// Whether a file's name ends like one that can be imported.
pub(super) fn is_known(name: &str) -> bool {
    ["csv", "tsv", "txt", "parquet", "xlsx"].iter().any(|ending| name.to_lowercase().ends_with(&format!(".{ending}")))
}
