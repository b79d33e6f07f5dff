//! Files of rows: a header, then cells of text, whatever the format.

mod delimited;
mod parquet;
mod spreadsheet;

use std::path::Path;

use super::ImportError;

/// Rows that are read together.
const BATCH_ROWS: usize = 16 * 1024;

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Of a text file the line where it begins, else its number, the header included.
    pub(super) line: i64,
    /// A cell for each column of the header; empty ones are none.
    pub(super) cells: Vec<Option<Cell>>,
    /// Why it is no row of this table.
    pub(super) broken: Option<String>,
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Whether the file says what it is, so that a number is in plain form; else somebody wrote it.
    pub(super) is_typed: bool,
}

impl Cell {
    /// None without text.
    fn written(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self { text, is_typed: false })
    }

    fn typed(text: String) -> Self {
        Self { text, is_typed: true }
    }
}

/// A file that is being read.
pub(super) trait Source: Send {
    /// The columns, as the file names them.
    fn header(&self) -> &[String];

    /// The next rows; none at the end.
    fn next(&mut self) -> Result<Vec<Row>, ImportError>;

    /// Goes back behind the header.
    fn rewind(&mut self) -> Result<(), ImportError>;

    /// How much is read, of how much.
    fn progress(&self) -> (u64, u64);
}

/// Opens a file by its ending; `name` is what people call it.
pub(super) fn open(path: &Path, name: &str) -> Result<Box<dyn Source>, ImportError> {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    match ending.as_str() {
        "csv" | "tsv" | "txt" => Ok(Box::new(delimited::Delimited::open(path, name)?)),
        "parquet" => Ok(Box::new(parquet::Columns::open(path, name)?)),
        "xlsx" => Ok(Box::new(spreadsheet::Spreadsheet::open(path, name)?)),
        _ => Err(ImportError::Format { file: name.to_owned() }),
    }
}

/// Whether a file's name ends like one that can be imported.
pub(super) fn is_known(name: &str) -> bool {
    ["csv", "tsv", "txt", "parquet", "xlsx"].iter().any(|ending| name.to_lowercase().ends_with(&format!(".{ending}")))
}
