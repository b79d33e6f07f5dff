//! Reference tables: CSV files below one folder, read again when they change. A missing file is an empty table.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::catalog::{MemTable, TableProvider};
use vitral_schemas::catalog::Reference;

use super::QueryError;

pub(super) struct References {
    dir: PathBuf,
    /// By path.
    loaded: Mutex<HashMap<PathBuf, Loaded>>,
}

struct Loaded {
    stamp: Stamp,
    table: Arc<MemTable>,
}

/// Tells one state of a file from the next; `None` is a missing file.
type Stamp = Option<(SystemTime, u64)>;

impl References {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, loaded: Mutex::default() }
    }

    pub(super) async fn table(&self, reference: &Reference) -> Result<Arc<dyn TableProvider>, QueryError> {
        let path = self.dir.join(&reference.path);
        let failed = |source: ArrowError| QueryError::Reference { path: path.clone(), source };
        let stamp = stamp(&path).await.map_err(|error| failed(error.into()))?;
        let known = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path)
            .and_then(|loaded| (loaded.stamp == stamp).then(|| Arc::clone(&loaded.table)));
        if let Some(table) = known {
            return Ok(table);
        }
        let schema = schema(reference);
        let batches = match stamp {
            None => Vec::new(),
            Some(_) => {
                let (path, schema, needed) = (path.clone(), Arc::clone(&schema), needed(reference));
                let read = tokio::task::spawn_blocking(move || read(&path, &schema, &needed));
                let read = read.await.unwrap_or_else(|error| Err(ArrowError::ExternalError(Box::new(error))));
                read.map_err(failed)?
            }
        };
        let table = Arc::new(MemTable::try_new(schema, vec![batches])?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(path, Loaded { stamp, table: Arc::clone(&table) });
        Ok(table)
    }
}

async fn stamp(path: &Path) -> std::io::Result<Stamp> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(Some((metadata.modified()?, metadata.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn schema(reference: &Reference) -> SchemaRef {
    let fields = reference.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn needed(reference: &Reference) -> Vec<String> {
    reference.columns.iter().filter(|column| column.needed).map(|column| column.name.clone()).collect()
}

/// Columns are found by the header's names, whatever their order; further ones are left out, absent ones are null.
fn read(path: &Path, schema: &SchemaRef, needed: &[String]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut file = BufReader::new(File::open(path)?);
    skip_byte_order_mark(&mut file)?;
    let start = file.stream_position()?;
    let (header, _) = Format::default().with_header(true).infer_schema(&mut file, Some(0))?;
    file.seek(SeekFrom::Start(start))?;
    if let Some(missing) = needed.iter().find(|name| header.index_of(name).is_err()) {
        return Err(ArrowError::CsvError(format!("the header has no column {missing}")));
    }
    let typed = header.fields().iter().map(|field| {
        let data_type = schema.field_with_name(field.name()).map_or(DataType::Utf8, |known| known.data_type().clone());
        Field::new(field.name(), data_type, true)
    });
    let typed = Schema::new(typed.collect::<Vec<_>>());
    let reader = ReaderBuilder::new(Arc::new(typed)).with_header(true).build(file)?;
    reader.map(|batch| arrange(&batch?, schema)).collect()
}

fn arrange(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let column = |field: &Arc<Field>| -> ArrayRef {
        let found = batch.column_by_name(field.name());
        found.map_or_else(|| new_null_array(field.data_type(), rows), Arc::clone)
    };
    let columns = schema.fields().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// Spreadsheets write one; it would become part of the first column's name.
fn skip_byte_order_mark(file: &mut BufReader<File>) -> Result<(), ArrowError> {
    if file.fill_buf()?.starts_with(&[0xEF, 0xBB, 0xBF]) {
        file.consume(3);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;
    use vitral_schemas::catalog::{Catalog, ShopSettings, SourceFile};

    use super::*;

    fn reference() -> Reference {
        let text = "CREATE TABLE produtos (id_produto TEXT NOT NULL, nome TEXT, preco DECIMAL(18, 2))
            WITH (connector = 'file', path = 'produtos.csv');";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        Catalog::parse(&[vec![file]], &ShopSettings::default()).expect("a catalog").references.remove(0)
    }

    async fn rows(references: &References) -> Result<String, QueryError> {
        let table = references.table(&reference()).await?;
        let batches = SessionContext::new().read_table(table)?.collect().await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    #[tokio::test]
    async fn a_file_appears_changes_and_breaks() {
        let dir = tempfile::tempdir().expect("a folder");
        let references = References::new(dir.path().to_owned());
        let path = dir.path().join("produtos.csv");
        assert!(!rows(&references).await.expect("empty").contains("p1"));

        std::fs::write(&path, "\u{feff}nome,outra,id_produto\nCafé,1,p1\n,2,p2\n").expect("written");
        let text = rows(&references).await.expect("rows");
        assert!(text.contains("| p1         | Café |       |"), "{text}");
        assert!(text.contains("| p2         |      |       |"), "{text}");

        std::fs::write(&path, "id_produto,preco\np1,12.5\n").expect("written");
        let text = rows(&references).await.expect("rows");
        assert!(text.contains("12.50") && !text.contains("p2"), "{text}");

        std::fs::write(&path, "produto\np1\n").expect("written");
        assert!(matches!(rows(&references).await, Err(QueryError::Reference { .. })));
    }
}
