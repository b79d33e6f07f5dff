//! PostgreSQL, from 15 on: tables in monthly partitions, their keys unique, rows by `COPY`.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{Months, NaiveDate};
use datafusion::physical_plan::SendableRecordBatchStream;
use deadpool_postgres::Client;
use futures::{SinkExt, StreamExt, pin_mut};
use vitral_store::StoreError;
use vitral_store::warehouse::{Capacity, WarehouseTable};

use crate::sql::{DatabaseConfig, Dialect, NEW_ROWS, SqlWarehouse, columns, literal, quoted, typed};

/// Names the locks of this program.
const LOCKS: &str = "vitral ";

/// A warehouse in PostgreSQL.
pub type PostgresWarehouse = SqlWarehouse<Postgres>;

impl PostgresWarehouse {
    /// Connects, and migrates the database. Tables are created in the first schema of the user's
    /// search path.
    ///
    /// # Errors
    /// The database refuses or does not answer, or a later version of Vitral has migrated it.
    pub async fn open(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::open_with(config, Postgres).await
    }
}

/// What is PostgreSQL's own.
pub struct Postgres;

#[async_trait]
impl Dialect for Postgres {
    fn data_type(&self, data_type: &DataType) -> Option<String> {
        Some(match data_type {
            DataType::Date32 => "date".to_owned(),
            DataType::Utf8 => "text".to_owned(),
            DataType::Int64 => "bigint".to_owned(),
            DataType::Float64 => "double precision".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp with time zone".to_owned(),
            _ => return None,
        })
    }

    /// An index's row takes 2,704 bytes, of which its other columns and headers need some.
    fn capacity(&self) -> Capacity {
        Capacity { text_bytes: 256 << 20, key_bytes: 2_600 }
    }

    fn migrations(&self) -> &'static [&'static str] {
        &[
            "CREATE TABLE vitral.tabelas (tabela text PRIMARY KEY, id text NOT NULL, data text NOT NULL, chave text NOT NULL)",
        ]
    }

    fn lock(&self, table: Option<&str>) -> String {
        let name = literal(&format!("{LOCKS}{}", table.unwrap_or_default()));
        format!("SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))")
    }

    fn create(&self, table: &WarehouseTable, columns: &[(String, String)]) -> Vec<String> {
        let (name, date) = (quoted(&table.name), quoted(&table.date));
        let mut statements = vec![format!("CREATE TABLE {name} ({}) PARTITION BY RANGE ({date})", typed(columns))];
        if table.key.is_empty() {
            statements.push(format!("CREATE INDEX ON {name} ({date})"));
        } else {
            // It must distinguish the partitions; the date comes first because queries select days.
            let rest = table.key.iter().filter(|column| **column != table.date).map(|column| quoted(column));
            let key: Vec<String> = std::iter::once(date).chain(rest).collect();
            statements.push(format!("CREATE UNIQUE INDEX ON {name} ({}) NULLS NOT DISTINCT", key.join(", ")));
        }
        statements
    }

    fn make_room(&self, table: &WarehouseTable, months: &[NaiveDate]) -> Vec<String> {
        let partition = |from: &NaiveDate| {
            let to = from.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
            let name = quoted(&format!("{}_{}", table.name, from.format("%Y_%m")));
            let of = quoted(&table.name);
            format!("CREATE TABLE IF NOT EXISTS {name} PARTITION OF {of} FOR VALUES FROM ('{from}') TO ('{to}')")
        };
        months.iter().map(partition).collect()
    }

    async fn stage(
        &self,
        client: &Client,
        table: &WarehouseTable,
        mut rows: SendableRecordBatchStream,
    ) -> Result<(), StoreError> {
        let failed = StoreError::database(&table.name, "sent its rows");
        let copy = format!("COPY {NEW_ROWS} ({}) FROM STDIN", columns(table));
        let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(&failed)?;
        pin_mut!(sink);
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(StoreError::read(&table.name))?;
            let lines = copy_lines(&batch).map_err(|error| StoreError::read(&table.name)(error.into()))?;
            sink.send(lines).await.map_err(&failed)?;
        }
        sink.finish().await.map_err(&failed)?;
        Ok(())
    }
}

/// Rows in the text format of `COPY`: cells separated by tabs, null as `\N`.
fn copy_lines(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let options =
        FormatOptions::new().with_display_error(false).with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f%:z"));
    let cells = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    let mut lines = BytesMut::new();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (index, (cell, column)) in cells.iter().zip(batch.columns()).enumerate() {
            if index > 0 {
                lines.extend_from_slice(b"\t");
            }
            if column.is_null(row) {
                lines.extend_from_slice(b"\\N");
                continue;
            }
            text.clear();
            cell.value(row).write(&mut text)?;
            for byte in text.bytes() {
                match byte {
                    b'\\' => lines.extend_from_slice(b"\\\\"),
                    b'\t' => lines.extend_from_slice(b"\\t"),
                    b'\n' => lines.extend_from_slice(b"\\n"),
                    b'\r' => lines.extend_from_slice(b"\\r"),
                    byte => lines.extend_from_slice(&[byte]),
                }
            }
        }
        lines.extend_from_slice(b"\n");
    }
    Ok(lines.freeze())
}
