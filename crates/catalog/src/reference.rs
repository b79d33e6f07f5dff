//! Reference tables: CSV files, with commas, semicolons or tabs, and Parquet files, below one folder. A missing file is an empty table.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::Reference;
use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The columns of a reference table.
pub fn schema(reference: &Reference) -> SchemaRef {
    let fields = reference.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The rows of the table's file in this folder, in its columns: they are found by the header's names, whatever their order; further
/// ones are left out, absent ones are null. Blocks.
pub fn read(folder: &Path, reference: &Reference) -> Result<Vec<RecordBatch>, ArrowError> {
    let Some(path) = &reference.path else { return Ok(Vec::new()) };
    let file = match File::open(folder.join(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
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
    let schema = schema(reference);
    let typed = header.fields().iter().map(|field| {
        let data_type = schema.field_with_name(field.name()).map_or(DataType::Utf8, |known| known.data_type().clone());
        Field::new(field.name(), data_type, true)
    });
    let typed = Schema::new(typed.collect::<Vec<_>>());
    let reader = ReaderBuilder::new(Arc::new(typed)).with_header(true).with_delimiter(separator).build(file)?;
    reader.map(|batch| arrange(&batch?, &schema)).collect()
}

fn parquet(file: File, reference: &Reference) -> Result<Vec<RecordBatch>, ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    has_needed(reader.schema(), reference)?;
    let schema = schema(reference);
    reader.build()?.map(|batch| arrange(&batch?, &schema)).collect()
}

fn has_needed(found: &Schema, reference: &Reference) -> Result<(), ArrowError> {
    let mut needed = reference.columns.iter().filter(|column| column.needed);
    let Some(missing) = needed.find(|column| found.index_of(&column.name).is_err()) else { return Ok(()) };
    let found: Vec<&str> = found.fields().iter().map(|field| field.name().as_str()).collect();
    let found = found.join(", ");
    Err(ArrowError::CsvError(format!("the header has no column {}; it has {found}", missing.name)))
}

fn arrange(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        None => Ok(new_null_array(field.data_type(), rows)),
        Some(found) if found.data_type() == field.data_type() => Ok(Arc::clone(found)),
        Some(found) => cast_with_options(found, field.data_type(), &exact),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
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
