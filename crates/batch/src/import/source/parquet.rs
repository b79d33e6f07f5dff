//! Parquet: its typed columns as texts, which the topic's types then read exactly.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{BATCH_ROWS, Cell, Row, Source};
use crate::import::ImportError;

pub(super) struct Columns {
    name: String,
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    header: Vec<String>,
    read: u64,
    rows: u64,
}

impl Columns {
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, ImportError> {
        let builder = builder(path, name)?;
        let header = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
        let reader = built(builder, name)?;
        Ok(Self { name: name.to_owned(), path: path.to_owned(), reader, header, read: 0, rows })
    }

    fn rows_of(&mut self, batch: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
        let columns = batch.columns().iter().map(|column| Ok((texts(column)?, is_text(column.data_type()))));
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        // As if there were a header, like in the other formats.
        let first = i64::try_from(self.read).unwrap_or(i64::MAX) + 2;
        self.read += batch.num_rows() as u64;
        let rows = (0..batch.num_rows()).zip(first..).map(|(row, line)| {
            let cells = columns.iter().map(|(column, is_written)| {
                let column = column.as_string::<i32>();
                let text = column.is_valid(row).then(|| column.value(row).to_owned())?;
                if *is_written { Cell::written(text) } else { Some(Cell::typed(text)) }
            });
            Row { line, cells: cells.collect(), broken: None }
        });
        Ok(rows.collect())
    }
}

impl Source for Columns {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        let failed = ImportError::read(&self.name);
        let Some(batch) = self.reader.next() else { return Ok(Vec::new()) };
        let rows = batch.and_then(|batch| self.rows_of(&batch));
        rows.map_err(|error| failed(std::io::Error::other(error)))
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        self.reader = built(builder(&self.path, &self.name)?, &self.name)?;
        self.read = 0;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.rows)
    }
}

fn builder(path: &Path, name: &str) -> Result<ParquetRecordBatchReaderBuilder<File>, ImportError> {
    let failed = ImportError::read(name);
    let file = File::open(path).map_err(&failed)?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(std::io::Error::other(error)))
}

fn built(builder: ParquetRecordBatchReaderBuilder<File>, name: &str) -> Result<ParquetRecordBatchReader, ImportError> {
    let failed = ImportError::read(name);
    builder.with_batch_size(BATCH_ROWS).build().map_err(|error| failed(std::io::Error::other(error)))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// A column as texts: times in RFC 3339, with the offset of UTC if the column has a zone.
fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: false,
        format_options: FormatOptions::new()
            .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.f%:z")),
    };
    let column = match column.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            cast_with_options(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), &options)?
        }
        _ => ArrayRef::clone(column),
    };
    cast_with_options(&column, &DataType::Utf8, &options)
}
