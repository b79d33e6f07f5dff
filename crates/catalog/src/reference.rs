//! Reference tables: CSV files, with commas, semicolons or tabs, and Parquet files, below one
//! folder. A missing file is an empty table.
//!
//! Values are what the file says, exactly: what would have to be cut or rounded is not a value of
//! its column.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::Reference;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use vitral_schemas::exact;
use vitral_schemas::topic::Column;

/// What a file has.
#[derive(Debug, Default)]
pub struct Rows {
    /// In the table's columns; null for what is not a value of its column.
    pub batches: Vec<RecordBatch>,
    /// The line of each row in a CSV file; empty for Parquet.
    pub lines: Vec<u64>,
    /// What is not a value of its column.
    pub misfits: Vec<Misfit>,
}

/// A cell that is not a value of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its row, from 0 over all batches.
    pub row: usize,
    /// The column.
    pub column: String,
    /// Why it is not.
    pub why: String,
}

/// Where a row is in its file, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Of a CSV file, from 1.
    Line(u64),
    /// Of a Parquet file, from 1.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

impl Rows {
    /// Where a row is.
    pub fn place(&self, row: usize) -> Place {
        self.lines.get(row).map_or(Place::Row(row as u64 + 1), |line| Place::Line(*line))
    }
}

/// The columns of a reference table.
pub fn schema(reference: &Reference) -> SchemaRef {
    let fields = reference.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The rows of the table's file in this folder, in its columns: they are found by the header's
/// names, whatever their order; further ones are left out, absent ones are null. Blocks.
///
/// # Errors
/// The file cannot be read, lacks a needed column, or has something that is not a value of its
/// column.
pub fn read(folder: &Path, reference: &Reference) -> Result<Vec<RecordBatch>, ArrowError> {
    let rows = read_lenient(folder, reference)?;
    match rows.misfits.first() {
        None => Ok(rows.batches),
        Some(Misfit { row, column, why }) => {
            Err(ArrowError::CsvError(format!("{}, column {column}: {why}", rows.place(*row))))
        }
    }
}

/// As [`read`], but says what is not a value of its column, and has null there.
///
/// # Errors
/// The file cannot be read, or lacks a needed column.
pub fn read_lenient(folder: &Path, reference: &Reference) -> Result<Rows, ArrowError> {
    let Some(path) = &reference.path else { return Ok(Rows::default()) };
    let file = match File::open(folder.join(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Rows::default()),
        opened => opened?,
    };
    if Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
        return parquet(file, reference);
    }
    let mut file = BufReader::new(file);
    skip_byte_order_mark(&mut file)?;
    let start = file.stream_position()?;
    let separator = separator(&mut file)?;
    file.seek(SeekFrom::Start(start))?;
    let format = Format::default().with_header(true).with_delimiter(separator);
    let (header, _) = format.infer_schema(&mut file, Some(0))?;
    file.seek(SeekFrom::Start(start))?;
    has_needed(&header, reference)?;
    // As texts, which are read exactly or not at all.
    let texts = header.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    let texts = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(texts).with_header(true).with_delimiter(separator).build(file)?;
    let mut rows = Rows::default();
    // Below the header.
    let mut line = 2;
    for batch in reader {
        let batch = batch?;
        rows.add(&batch, reference)?;
        add_lines(&batch, &mut line, &mut rows.lines);
    }
    Ok(rows)
}

fn parquet(file: File, reference: &Reference) -> Result<Rows, ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    has_needed(reader.schema(), reference)?;
    let mut rows = Rows::default();
    for batch in reader.build()? {
        rows.add(&batch?, reference)?;
    }
    Ok(rows)
}

impl Rows {
    fn add(&mut self, batch: &RecordBatch, reference: &Reference) -> Result<(), ArrowError> {
        let first: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let mut columns = Vec::with_capacity(reference.columns.len());
        for column in &reference.columns {
            let Some(found) = batch.column_by_name(&column.name) else {
                columns.push(new_null_array(&column.kind.data_type(), batch.num_rows()));
                continue;
            };
            let (values, misfits) = values(found, column)?;
            columns.push(values);
            let of_column = |misfit: exact::Misfit| Misfit {
                row: first + misfit.row,
                column: column.name.clone(),
                why: misfit.why,
            };
            self.misfits.extend(misfits.into_iter().map(of_column));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        self.batches.push(RecordBatch::try_new_with_options(schema(reference), columns, &options)?);
        Ok(())
    }
}

/// A file's column as the table's, and what of it is not a value there.
fn values(found: &ArrayRef, column: &Column) -> Result<(ArrayRef, Vec<exact::Misfit>), ArrowError> {
    let wanted = column.kind.data_type();
    if found.data_type() == &wanted {
        return Ok((Arc::clone(found), Vec::new()));
    }
    if matches!(found.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        let texts = cast(found, &DataType::Utf8)?;
        return Ok(exact::values(texts.as_string::<i32>(), column.kind));
    }
    let lenient = CastOptions { safe: true, ..CastOptions::default() };
    let mut values = cast_with_options(found, &wanted, &lenient)?;
    let is_lossy = found.data_type().is_floating()
        || matches!(found.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
    if is_lossy && wanted.is_numeric() {
        // What is cut or rounded is not what comes back.
        let back = cast_with_options(&values, found.data_type(), &lenient)?;
        values = arrow::compute::nullif(&values, &distinct(&back, found)?)?;
    }
    let is_misfit = |row: &usize| found.is_valid(*row) && values.is_null(*row);
    let misfits = (0..found.len())
        .filter(is_misfit)
        .map(|row| exact::Misfit { row, why: format!("this is not exactly a value of type {wanted}") });
    let misfits = misfits.collect();
    Ok((values, misfits))
}

/// The line of each row: cells in quotes may have several.
fn add_lines(batch: &RecordBatch, line: &mut u64, lines: &mut Vec<u64>) {
    let texts: Vec<_> = batch.columns().iter().map(|column| column.as_string::<i32>()).collect();
    let is_broken = |text: &str| text.as_bytes().contains(&b'\n');
    let has_breaks = texts.iter().any(|texts| texts.iter().flatten().any(is_broken));
    for row in 0..batch.num_rows() {
        lines.push(*line);
        *line += 1;
        if has_breaks {
            let cells = texts.iter().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
            *line += cells.map(|cell| cell.bytes().filter(|byte| *byte == b'\n').count() as u64).sum::<u64>();
        }
    }
}

fn has_needed(found: &Schema, reference: &Reference) -> Result<(), ArrowError> {
    let mut needed = reference.columns.iter().filter(|column| column.needed);
    let Some(missing) = needed.find(|column| found.index_of(&column.name).is_err()) else { return Ok(()) };
    let found: Vec<&str> = found.fields().iter().map(|field| field.name().as_str()).collect();
    let found = found.join(", ");
    Err(ArrowError::CsvError(format!("the header has no column {}; it has {found}", missing.name)))
}

/// What stands most often in the header: spreadsheets of many countries write semicolons.
fn separator(file: &mut BufReader<File>) -> Result<u8, ArrowError> {
    let mut header = Vec::new();
    file.read_until(b'\n', &mut header)?;
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // Of those that stand there equally often, the last one named.
    Ok([b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b','))
}

/// Spreadsheets write one; it would become part of the first column's name.
fn skip_byte_order_mark(file: &mut BufReader<File>) -> Result<(), ArrowError> {
    if file.fill_buf()?.starts_with(&[0xEF, 0xBB, 0xBF]) {
        file.consume(3);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
