//! Rows as bytes, in the format that was asked for, piece by piece.

mod arrow_stream;
mod csv;
mod json;
mod parquet;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

pub use self::arrow_stream::ArrowRows;
pub use self::csv::CsvRows;
pub use self::json::{JsonRows, utc_text};
pub use self::parquet::write_parquet;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An array of objects.
    Json,
    /// A header and lines, as RFC 4180 has them.
    Csv,
    /// An object in each line.
    NdJson,
    /// Arrow's stream of batches, in its format for other processes.
    Arrow,
}

impl Format {
    /// All of them, the one that most clients know first.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::NdJson, Self::Arrow];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::NdJson => "ndjson",
            Self::Arrow => "arrow",
        }
    }
}

/// Writes batches row by row.
#[derive(Debug)]
pub enum Rows {
    /// Objects, in an array or in lines.
    Json(JsonRows),
    /// Lines.
    Csv(CsvRows),
    /// Batches.
    Arrow(Box<ArrowRows>),
}

impl Rows {
    /// A writer of rows with these columns.
    pub fn new(format: Format, schema: &Schema) -> Self {
        match format {
            Format::Json => Self::Json(JsonRows::new()),
            Format::Csv => Self::Csv(CsvRows::new(schema)),
            Format::NdJson => Self::Json(JsonRows::lines()),
            Format::Arrow => Self::Arrow(Box::new(ArrowRows::new(schema))),
        }
    }

    /// Writes rows from `from` on until `bytes` are waiting or the batch is at its end; where to go
    /// on.
    pub fn push(&mut self, batch: &RecordBatch, from: usize, bytes: usize) -> Result<usize, ArrowError> {
        match self {
            Self::Json(rows) => rows.push_some(batch, from, bytes),
            Self::Csv(rows) => rows.push_some(batch, from, bytes),
            Self::Arrow(rows) => rows.push_some(batch, from, bytes),
        }
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        match self {
            Self::Json(rows) => rows.waiting(),
            Self::Csv(rows) => rows.waiting(),
            Self::Arrow(rows) => rows.waiting(),
        }
    }

    /// What waits to be sent.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Json(rows) => rows.take(),
            Self::Csv(rows) => rows.take(),
            Self::Arrow(rows) => rows.take(),
        }
    }

    /// What still waits, and the end.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Json(rows) => rows.finish(),
            Self::Csv(rows) => rows.finish(),
            Self::Arrow(rows) => rows.finish(),
        }
    }
}
