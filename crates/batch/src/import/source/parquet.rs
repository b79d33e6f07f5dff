//! Parquet: its typed columns as cells. Columns of lists and structures, and those that nobody
//! uses, are not read.

mod cells;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::errors::ParquetError;

use super::damage::caught;
use super::{Row, Source, batch_rows, header};
use crate::import::ImportError;

/// What Spark writes into its files. Its `INT96` times are in UTC. Those of other programs may be
/// in UTC or local, and nothing shows which: they are read like every other time without a zone,
/// and that is said.
const SPARK: &str = "org.apache.spark.";

pub(super) struct Columns {
    name: String,
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    reader: ParquetRecordBatchReader,
    header: Vec<String>,
    notes: Vec<String>,
    /// The columns that are read, and of each whether its times are in UTC though it has no zone.
    read_columns: BTreeMap<usize, bool>,
    read: u64,
    rows: u64,
}

impl Columns {
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, ImportError> {
        let failed = ImportError::read(name);
        let file = File::open(path).map_err(&failed)?;
        let (metadata, int96) = caught(&failed, || metadata(&file).map_err(|error| failed(io::Error::other(error))))?;
        let fields = metadata.schema().fields();
        let names: Vec<_> = fields.iter().map(|field| header::clean(field.name()).to_owned()).collect();
        let readable = fields.iter().enumerate().filter(|(_, field)| cells::is_readable(field.data_type()));
        let of_file = metadata.metadata().file_metadata();
        let is_spark =
            of_file.key_value_metadata().is_some_and(|pairs| pairs.iter().any(|pair| pair.key.starts_with(SPARK)));
        let read_columns: BTreeMap<_, _> =
            readable.map(|(index, _)| (index, is_spark && int96.contains(&index))).collect();
        let rows = u64::try_from(of_file.num_rows()).unwrap_or_default();
        let open = || reader(file, &metadata, &read_columns).map_err(|error| failed(io::Error::other(error)));
        let reader = caught(&failed, open)?;
        let (name, path, header) = (name.to_owned(), path.to_owned(), header::distinct(&names));
        let of_unknown_zone = int96.iter().filter(|_| !is_spark).map(|index| {
            format!(
                "the times of {} (INT96) do not say their zone, and are read like any local time; if the program wrote them in UTC, use \
                 --time-zone UTC",
                header[*index]
            )
        });
        let notes = of_unknown_zone.collect();
        Ok(Self { name, path, metadata, reader, header, notes, read_columns, read: 0, rows })
    }

    fn rows_of(&mut self, batch: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
        // As if there were a header, like in the other formats.
        let first = i64::try_from(self.read).unwrap_or(i64::MAX) + 2;
        self.read += batch.num_rows() as u64;
        let cells = vec![None; self.header.len()];
        let row = |line| Row { sheet: None, line, cells: cells.clone(), broken: None, is_unended: false };
        let mut rows: Vec<Row> = (first..).take(batch.num_rows()).map(row).collect();
        for (column, (index, is_utc)) in batch.columns().iter().zip(&self.read_columns) {
            for (row, cell) in rows.iter_mut().zip(cells::cells(column, *is_utc)?) {
                row.cells[*index] = cell;
            }
        }
        Ok(rows)
    }
}

impl Source for Columns {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn nested(&self) -> Vec<usize> {
        let fields = self.metadata.schema().fields().iter().enumerate();
        fields.filter(|(_, field)| !cells::is_readable(field.data_type())).map(|(index, _)| index).collect()
    }

    fn keep(&mut self, columns: &[bool]) -> Result<(), ImportError> {
        self.read_columns.retain(|index, _| columns.get(*index).is_some_and(|is_kept| *is_kept));
        self.rewind()
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        let failed = ImportError::read(&self.name);
        caught(&failed, || {
            let Some(batch) = self.reader.next() else { return Ok(Vec::new()) };
            let rows = batch.and_then(|batch| self.rows_of(&batch));
            rows.map_err(|error| failed(io::Error::other(error)))
        })
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        let failed = ImportError::read(&self.name);
        let file = File::open(&self.path).map_err(&failed)?;
        let open = || reader(file, &self.metadata, &self.read_columns);
        self.reader = caught(&failed, || open().map_err(|error| failed(io::Error::other(error))))?;
        self.read = 0;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.rows)
    }
}

/// The file's columns, and which of them are `INT96`: these are read in microseconds, for in
/// nanoseconds a year such as 1 would become another.
fn metadata(file: &File) -> Result<(ArrowReaderMetadata, Vec<usize>), ParquetError> {
    let options = ArrowReaderOptions::new();
    let metadata = ArrowReaderMetadata::load(file, options.clone())?;
    let fields = metadata.parquet_schema().root_schema().get_fields();
    let is_int96 = |index: &usize| {
        let field = &fields[*index];
        field.is_primitive() && field.get_physical_type() == PhysicalType::INT96
    };
    let int96: Vec<usize> = (0..fields.len()).filter(is_int96).collect();
    if int96.is_empty() {
        return Ok((metadata, int96));
    }
    let micros = |(index, field): (usize, &Arc<Field>)| match int96.contains(&index) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None))),
        false => Arc::clone(field),
    };
    let schema = Schema::new(metadata.schema().fields().iter().enumerate().map(micros).collect::<Vec<_>>());
    let options = options.with_schema(Arc::new(schema.with_metadata(metadata.schema().metadata().clone())));
    Ok((ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?, int96))
}

fn reader(
    file: File,
    metadata: &ArrowReaderMetadata,
    columns: &BTreeMap<usize, bool>,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.keys().copied());
    builder.with_projection(mask).with_batch_size(batch_rows(metadata.schema().fields().len())).build()
}

#[cfg(test)]
mod tests;
