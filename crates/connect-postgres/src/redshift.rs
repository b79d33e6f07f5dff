//! Amazon Redshift: rows go to S3 as Parquet, and by `COPY` from there; tables are spread by their
//! key and sorted by their date.
//!
//! Its keys are not enforced: that no two rows share one is up to the job's query, and to the
//! checks.

use arrow::datatypes::{DataType, TimeUnit};
use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::SendableRecordBatchStream;
use deadpool_postgres::Client;
use futures::StreamExt;
use uuid::Uuid;
use vitral_store::warehouse::{Capacity, WarehouseTable};
use vitral_store::{Location, StoreError};

use crate::sql::{DatabaseConfig, Dialect, NEW_ROWS, SqlWarehouse, literal, quoted, typed};

/// The size of a staged file: the nodes load several at the same time.
const FILE_BYTES: usize = 64 << 20;

/// A warehouse in Amazon Redshift.
pub type RedshiftWarehouse = SqlWarehouse<Redshift>;

impl RedshiftWarehouse {
    /// Connects, and migrates the database. `stage` is a place in S3 that the cluster may read in
    /// the role `iam_role`.
    ///
    /// # Errors
    /// The database refuses or does not answer, or a later version of Vitral has migrated it.
    pub async fn open(config: &DatabaseConfig, stage: Location, iam_role: &str) -> Result<Self, StoreError> {
        Self::open_with(config, Redshift::new(stage, iam_role)).await
    }
}

impl Redshift {
    pub(crate) fn new(stage: Location, iam_role: &str) -> Self {
        Self { stage, iam_role: iam_role.to_owned() }
    }
}

/// What is Redshift's own.
pub struct Redshift {
    stage: Location,
    iam_role: String,
}

#[async_trait]
impl Dialect for Redshift {
    fn data_type(&self, data_type: &DataType) -> Option<String> {
        Some(match data_type {
            DataType::Date32 => "date".to_owned(),
            DataType::Utf8 => "character varying(65535)".to_owned(),
            DataType::Int64 => "bigint".to_owned(),
            DataType::Float64 => "double precision".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp with time zone".to_owned(),
            _ => return None,
        })
    }

    /// Keys are not enforced, so they have no index.
    fn capacity(&self) -> Capacity {
        Capacity { text_bytes: 65_535, key_bytes: usize::MAX }
    }

    fn migrations(&self) -> &'static [&'static str] {
        &[
            "CREATE TABLE vitral.tabelas (tabela varchar(127) NOT NULL, id varchar(36) NOT NULL, data varchar(127) NOT NULL, \
           chave varchar(65535) NOT NULL) DISTSTYLE ALL",
        ]
    }

    /// There are no locks by name: jobs wait for each other, whatever their tables.
    fn lock(&self, _table: Option<&str>) -> String {
        "LOCK vitral.versao".to_owned()
    }

    fn create(&self, table: &WarehouseTable, columns: &[(String, String)]) -> Vec<String> {
        let (name, date) = (quoted(&table.name), quoted(&table.date));
        let rest: Vec<String> =
            table.key.iter().filter(|column| **column != table.date).map(|column| quoted(column)).collect();
        // By the first column of the key that is not the date, so that one day's rows are spread
        // over all nodes.
        let spread = rest.first().map_or_else(|| "DISTSTYLE EVEN".to_owned(), |column| format!("DISTKEY ({column})"));
        let sorted: Vec<String> = std::iter::once(date).chain(rest).collect();
        vec![format!("CREATE TABLE {name} ({}) {spread} COMPOUND SORTKEY ({})", typed(columns), sorted.join(", "))]
    }

    fn make_room(&self, _table: &WarehouseTable, _months: &[NaiveDate]) -> Vec<String> {
        Vec::new()
    }

    async fn stage(
        &self,
        client: &Client,
        table: &WarehouseTable,
        rows: SendableRecordBatchStream,
    ) -> Result<(), StoreError> {
        let place = self.stage.join(&table.name).join(&Uuid::new_v4().simple().to_string());
        let files = write_files(&place, table, rows).await?;
        let copied = match files.len() {
            0 => Ok(()),
            _ => {
                let copy = copy(&place.to_string(), &self.iam_role);
                client.batch_execute(&copy).await.map_err(StoreError::database(&table.name, "sent its rows"))
            }
        };
        for file in files {
            if let Err(error) = place.delete(&file).await {
                tracing::warn!(table = table.name, file, %error, "a staged file could not be deleted");
            }
        }
        copied
    }
}

/// Only the columns' order tells which is which, and all must be there: [`NEW_ROWS`] has those of
/// the files, in their order.
fn copy(place: &str, iam_role: &str) -> String {
    format!("COPY {NEW_ROWS} FROM {} IAM_ROLE {} FORMAT AS PARQUET", literal(place), literal(iam_role))
}

/// The rows as Parquet files; their names.
async fn write_files(
    place: &Location,
    table: &WarehouseTable,
    mut rows: SendableRecordBatchStream,
) -> Result<Vec<String>, StoreError> {
    let unwritable = |error: datafusion::parquet::errors::ParquetError| StoreError::read(&table.name)(error.into());
    let writer = || {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        ArrowWriter::try_new(Vec::new(), table.schema.clone(), Some(properties)).map_err(unwritable)
    };
    let mut files = Vec::new();
    let mut current: Option<ArrowWriter<Vec<u8>>> = None;
    loop {
        let batch = rows.next().await.transpose().map_err(StoreError::read(&table.name))?;
        let is_end = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            let mut open = match current.take() {
                Some(open) => open,
                None => writer()?,
            };
            open.write(&batch).map_err(unwritable)?;
            current = Some(open);
        }
        let is_full = |open: &ArrowWriter<Vec<u8>>| open.bytes_written() + open.in_progress_size() >= FILE_BYTES;
        if let Some(full) = current.take_if(|open| is_end || is_full(open)) {
            let bytes = full.into_inner().map_err(unwritable)?;
            let file = format!("{:05}.parquet", files.len());
            place.write(&file, bytes).await?;
            files.push(file);
        }
        if is_end {
            return Ok(files);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use arrow::array::RecordBatch;
    use vitral_store::read_session;
    use vitral_store::warehouse::Days;

    use super::*;
    use crate::sql::{merge, new_rows};

    fn table(key: &[&str]) -> WarehouseTable {
        let fields = [
            ("data", DataType::Date32),
            ("regiao", DataType::Utf8),
            ("pedidos", DataType::Int64),
            ("receita", DataType::Decimal128(38, 2)),
            ("quando", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("taxa", DataType::Float64),
            ("aberta", DataType::Boolean),
        ];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        WarehouseTable {
            name: "vendas_por_regiao".to_owned(),
            schema: Arc::new(Schema::new(fields.to_vec())),
            date: "data".to_owned(),
            key: key.iter().map(|column| (*column).to_owned()).collect(),
        }
    }

    /// The table as a later version of its job computes it.
    fn later(change: impl FnOnce(&mut Vec<Field>)) -> WarehouseTable {
        let earlier = table(&[]);
        let mut fields: Vec<Field> = earlier.schema.fields().iter().map(|field| Field::clone(field)).collect();
        change(&mut fields);
        WarehouseTable { schema: Arc::new(Schema::new(fields)), ..earlier }
    }

    fn columns(redshift: &Redshift, table: &WarehouseTable) -> Vec<(String, String)> {
        let typed = |field: &Field| (field.name().clone(), redshift.data_type(field.data_type()).expect("a type"));
        table.schema.fields().iter().map(|field| typed(field)).collect()
    }

    fn redshift(dir: &std::path::Path) -> Redshift {
        let iam_role = "arn:aws:iam::123456789012:role/warehouse".to_owned();
        Redshift { stage: Location::folder(dir).expect("a place"), iam_role }
    }

    #[test]
    fn its_sql_is_the_golden_one() {
        let redshift = redshift(std::path::Path::new("/stage"));
        let mut said = Vec::new();
        for table in [table(&["data", "regiao"]), table(&[])] {
            said.extend(redshift.create(&table, &columns(&redshift, &table)));
        }
        let days = Days { from: "2025-05-01".parse().expect("a day"), to: "2025-06-01".parse().expect("a day") };
        said.extend(new_rows(&columns(&redshift, &table(&[]))));
        said.push(copy("s3://bucket/stage/vendas_por_regiao/0a1b/", &redshift.iam_role));
        said.push(redshift.lock(Some("vendas_por_regiao")));
        said.extend(merge(&table(&[]), days));
        // A table that is replaced as a whole.
        let whole = Days { from: "0001-01-01".parse().expect("a day"), to: "+10000-01-01".parse().expect("a day") };
        said.extend(merge(&table(&["data"]), whole));
        // A column that the job no longer computes, which the table keeps, and a new one in the
        // middle, which the table has at its end: what is staged has the files' columns.
        let narrower = later(|fields| drop(fields.remove(2)));
        let wider = later(|fields| fields.insert(2, Field::new("clientes", DataType::Int64, true)));
        for table in [narrower, wider] {
            said.extend(new_rows(&columns(&redshift, &table)));
            said.extend(merge(&table, days));
        }
        said.splice(0..0, redshift.migrations().iter().map(|migration| (*migration).to_owned()));
        let said = said.iter().map(|statement| format!("{statement};\n")).collect::<String>();
        assert_eq!(said, include_str!("redshift.golden.sql"));
    }

    #[tokio::test]
    async fn what_is_staged_is_what_came() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Location::folder(dir.path()).expect("a place").join("t");
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("nome", DataType::Utf8, true),
        ]));
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![None, Some("Sul, 'a\nb'")])),
        ];
        let rows = RecordBatch::try_new(schema.clone(), columns).expect("rows");
        let table = WarehouseTable { name: "t".to_owned(), schema, date: "n".to_owned(), key: Vec::new() };
        let session = read_session(1);
        let stream = session.read_batch(rows.clone()).expect("a frame").execute_stream().await.expect("a stream");
        let files = write_files(&place, &table, stream).await.expect("written");
        assert_eq!(files.len(), 1);
        let file = std::fs::File::open(dir.path().join("t/00000.parquet")).expect("the file");
        let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10);
        let found: Vec<_> = reader.expect("Parquet").collect::<Result<_, _>>().expect("rows");
        assert_eq!(found, std::slice::from_ref(&rows));
        let nothing = session.read_batch(rows.slice(0, 0)).expect("a frame").execute_stream().await.expect("a stream");
        assert!(write_files(&place, &table, nothing).await.expect("written").is_empty());
    }
}
