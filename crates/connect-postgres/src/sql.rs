//! A warehouse in a database that speaks PostgreSQL's protocol: one path for all of them, and a
//! dialect for what differs.
//!
//! New rows go to a table of the session first; then, in one transaction, the days' rows go and
//! those come. Statements are sent by the simple protocol, and what comes back is text, which every
//! such server has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use chrono::{Datelike, NaiveDate};
use datafusion::dataframe::DataFrame;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Transaction};
use futures::StreamExt;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;
use vitral_store::StoreError;
use vitral_store::warehouse::{Capacity, Days, Replaced, SetAside, Warehouse, WarehouseTable};

use crate::database_url::DatabaseUrl;
use crate::own_schema::make_missing;
use crate::tls::{Secured, secured};

/// Where rows wait; each session has its own.
pub(crate) const NEW_ROWS: &str = "vitral_new_rows";
const VERSIONS: [(&str, &str); 1] = [("versao", "(versao integer NOT NULL, desde timestamp with time zone NOT NULL)")];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a job waits for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(60);

/// How a database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// Where it is, with `sslmode`, `sslrootcert`, `sslcert` and `sslkey` where needed.
    pub url: DatabaseUrl,
    /// A replica for reading, which may lag behind.
    pub replica_url: Option<DatabaseUrl>,
    /// The largest number of open connections, to each of the two.
    pub pool_size: usize,
}

/// What differs between databases.
#[async_trait]
pub trait Dialect: Send + Sync {
    /// The type of a column, as the database itself calls it; none for what no job may have.
    fn data_type(&self, data_type: &DataType) -> Option<String>;

    /// What a row may hold.
    fn capacity(&self) -> Capacity;

    /// What migrates an older database, from the first on. Never changed, only added to.
    fn migrations(&self) -> &'static [&'static str];

    /// The lock that a transaction holds while it changes the table, or, without one, the database.
    fn lock(&self, table: Option<&str>) -> String;

    /// Creates a table with these columns and their types.
    fn create(&self, table: &WarehouseTable, columns: &[(String, String)]) -> Vec<String>;

    /// What must exist before rows of these months are added.
    fn make_room(&self, table: &WarehouseTable, months: &[NaiveDate]) -> Vec<String>;

    /// Writes rows to [`NEW_ROWS`].
    async fn stage(
        &self,
        client: &Client,
        table: &WarehouseTable,
        rows: SendableRecordBatchStream,
    ) -> Result<(), StoreError>;
}

/// A warehouse in a database of this dialect.
pub struct SqlWarehouse<D> {
    pool: Pool,
    replica: Option<Pool>,
    dialect: D,
}

impl<D: Dialect> SqlWarehouse<D> {
    /// Migrates the database.
    pub(crate) async fn open_with(config: &DatabaseConfig, dialect: D) -> Result<Self, StoreError> {
        let to = |url: &DatabaseUrl| pool(url, config.pool_size);
        let replica = config.replica_url.as_ref().map(to).transpose()?;
        let warehouse = Self { pool: to(&config.url)?, replica, dialect };
        warehouse.migrate().await?;
        Ok(warehouse)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let failed = StoreError::database("the warehouse", "brought up to date");
        let mut client = client(&self.pool, "the warehouse").await?;
        make_missing(&client, &VERSIONS).await.map_err(&failed)?;
        let transaction = client.transaction().await.map_err(&failed)?;
        transaction.batch_execute(&self.dialect.lock(None)).await.map_err(&failed)?;
        let found = texts(transaction.simple_query("SELECT max(versao) FROM vitral.versao").await.map_err(&failed)?);
        let version = found.first().and_then(|row| row[0].as_ref()?.parse::<usize>().ok()).unwrap_or_default();
        let migrations = self.dialect.migrations();
        if version > migrations.len() {
            return Err(StoreError::NewerDatabase { found: version, known: migrations.len() });
        }
        for (index, migration) in migrations.iter().enumerate().skip(version) {
            let number = index + 1;
            let record = format!("INSERT INTO vitral.versao VALUES ({number}, current_timestamp)");
            transaction.batch_execute(migration).await.map_err(&failed)?;
            transaction.batch_execute(&record).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)
    }

    /// Each column with its type.
    fn columns(&self, table: &WarehouseTable) -> Result<Vec<(String, String)>, StoreError> {
        let columns = table.schema.fields().iter().map(|field| {
            let data_type = self.dialect.data_type(field.data_type()).ok_or_else(|| StoreError::UnknownColumnType {
                table: table.name.clone(),
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            })?;
            Ok((field.name().clone(), data_type))
        });
        columns.collect()
    }

    /// Adds the columns that an older table lacks; refuses columns of another type. One that the
    /// job no longer computes stays, with null in new rows.
    async fn compare(
        &self,
        transaction: &Transaction<'_>,
        table: &WarehouseTable,
        wanted: &[(String, String)],
        found: &[Vec<Option<String>>],
    ) -> Result<(), StoreError> {
        let other = |column: &str, found: &str, wanted: &str| StoreError::OtherColumn {
            table: table.name.clone(),
            column: column.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            of: "job",
        };
        let stored: Vec<(&str, &str)> =
            found.iter().filter_map(|row| Some((row[0].as_deref()?, row[1].as_deref()?))).collect();
        for (name, data_type) in &stored {
            if let Some((_, wanted)) = wanted.iter().find(|(column, wanted)| column == name && wanted != data_type) {
                return Err(other(name, data_type, wanted));
            }
        }
        for (name, data_type) in wanted.iter().filter(|(name, _)| !stored.iter().any(|(column, _)| column == name)) {
            let add = format!("ALTER TABLE {} ADD COLUMN {} {data_type}", quoted(&table.name), quoted(name));
            let failed = StoreError::database(&table.name, "given its new columns");
            transaction.batch_execute(&add).await.map_err(failed)?;
        }
        Ok(())
    }
}

#[async_trait]
impl<D: Dialect> Warehouse for SqlWarehouse<D> {
    async fn prepare(&self, table: &WarehouseTable) -> Result<String, StoreError> {
        let failed = StoreError::database(&table.name, "prepared");
        let wanted = self.columns(table)?;
        let mut client = client(&self.pool, &table.name).await?;
        let transaction = client.transaction().await.map_err(&failed)?;
        transaction.batch_execute(&self.dialect.lock(Some(&table.name))).await.map_err(&failed)?;
        let name = literal(&table.name);
        let columns = format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             WHERE c.relname = {name} AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND a.attnum > 0 \
             AND NOT a.attisdropped"
        );
        let found = texts(transaction.simple_query(&columns).await.map_err(&failed)?);
        let known = format!("SELECT id FROM vitral.tabelas WHERE tabela = {name}");
        let known = texts(transaction.simple_query(&known).await.map_err(&failed)?);
        let mut id = known.into_iter().find_map(|row| row.into_iter().next()?);
        if found.is_empty() {
            id = None;
            for statement in self.dialect.create(table, &wanted) {
                transaction.batch_execute(&statement).await.map_err(&failed)?;
            }
        } else {
            self.compare(&transaction, table, &wanted, &found).await?;
        }
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let known = format!(
            "DELETE FROM vitral.tabelas WHERE tabela = {name}; INSERT INTO vitral.tabelas VALUES ({name}, {}, {}, {})",
            literal(&id),
            literal(&table.date),
            literal(&table.key.join(", "))
        );
        transaction.batch_execute(&known).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(id)
    }

    async fn replace(&self, table: &WarehouseTable, days: Days, rows: DataFrame) -> Result<Replaced, StoreError> {
        let failed = StoreError::database(&table.name, "replaced in part");
        let columns = self.columns(table)?;
        let mut client = client(&self.pool, &table.name).await?;
        for statement in new_rows(&columns) {
            client.batch_execute(&statement).await.map_err(&failed)?;
        }
        let stream = rows.execute_stream().await.map_err(StoreError::read(&table.name))?;
        let set_aside = Arc::new(Mutex::new(SetAside::default()));
        let stream = without_offending(stream, table.clone(), self.dialect.capacity(), Arc::clone(&set_aside));
        self.dialect.stage(&client, table, stream).await?;

        let stray = texts(client.simple_query(&stray_rows(table, days)).await.map_err(&failed)?);
        let stray = stray.first().and_then(|row| row[0].as_ref()?.parse::<u64>().ok()).unwrap_or_default();
        if stray > 0 {
            return Err(StoreError::OtherDays { table: table.name.clone(), rows: stray, from: days.from, to: days.to });
        }
        let months = texts(client.simple_query(&months(table)).await.map_err(&failed)?);
        let months: Vec<NaiveDate> = months.iter().filter_map(|row| row[0].as_ref()?.parse().ok()).collect();
        let room = self.dialect.make_room(table, &months);
        if !room.is_empty() {
            // In a transaction of its own: readers wait while a partition is added, and should not
            // wait for the rows too.
            let transaction = client.transaction().await.map_err(&failed)?;
            transaction.batch_execute(&self.dialect.lock(Some(&table.name))).await.map_err(&failed)?;
            for statement in room {
                transaction.batch_execute(&statement).await.map_err(&failed)?;
            }
            transaction.commit().await.map_err(&failed)?;
        }

        let transaction = client.transaction().await.map_err(&failed)?;
        transaction.batch_execute(&self.dialect.lock(Some(&table.name))).await.map_err(&failed)?;
        let [delete, insert] = merge(table, days);
        transaction.batch_execute(&delete).await.map_err(&failed)?;
        let inserted = transaction.simple_query(&insert).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        client.batch_execute(&format!("DROP TABLE IF EXISTS {NEW_ROWS}")).await.map_err(&failed)?;
        let count = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        };
        let written = inserted.iter().find_map(count).unwrap_or_default();
        let set_aside = std::mem::take(&mut *set_aside.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Replaced { written, set_aside })
    }

    async fn rows(&self, table: &WarehouseTable, days: Days) -> Result<Vec<RecordBatch>, StoreError> {
        let client = client(self.replica.as_ref().unwrap_or(&self.pool), &table.name).await?;
        let select = format!("SELECT {} FROM {} WHERE {}", columns(table), quoted(&table.name), within(table, days));
        let found = texts(client.simple_query(&select).await.map_err(StoreError::database(&table.name, "read"))?);
        let columns = table.schema.fields().iter().enumerate().map(|(index, field)| {
            let texts: ArrayRef = Arc::new(found.iter().map(|row| row[index].as_deref()).collect::<StringArray>());
            cast(&texts, field.data_type())
        });
        let batch = columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&table.schema), columns));
        Ok(vec![batch.map_err(|error| StoreError::read(&table.name)(error.into()))?])
    }
}

/// The rows that fit; the others go to `set_aside`.
fn without_offending(
    rows: SendableRecordBatchStream,
    table: WarehouseTable,
    capacity: Capacity,
    set_aside: Arc<Mutex<SetAside>>,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let fitting = rows.map(move |batch| {
        let mut set_aside = set_aside.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(set_aside.take_from(batch?, &table, capacity)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, fitting))
}

/// An empty table of the session with the columns that are sent, in their order. The table itself
/// may have another: it gets new columns at its end, and keeps those that no job computes any more.
pub(crate) fn new_rows(columns: &[(String, String)]) -> [String; 2] {
    [format!("DROP TABLE IF EXISTS {NEW_ROWS}"), format!("CREATE TEMPORARY TABLE {NEW_ROWS} ({})", typed(columns))]
}

fn stray_rows(table: &WarehouseTable, days: Days) -> String {
    format!("SELECT count(*) FROM {NEW_ROWS} WHERE {} IS NULL OR NOT ({})", quoted(&table.date), within(table, days))
}

fn months(table: &WarehouseTable) -> String {
    let date = quoted(&table.date);
    format!("SELECT DISTINCT CAST(date_trunc('month', {date}) AS date) FROM {NEW_ROWS} ORDER BY 1")
}

/// What goes, and what comes.
pub(crate) fn merge(table: &WarehouseTable, days: Days) -> [String; 2] {
    let (name, columns) = (quoted(&table.name), columns(table));
    [
        format!("DELETE FROM {name} WHERE {}", within(table, days)),
        format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM {NEW_ROWS}"),
    ]
}

fn within(table: &WarehouseTable, Days { from, to }: Days) -> String {
    let date = quoted(&table.date);
    format!("{date} >= '{}' AND {date} < '{}'", written(from), written(to))
}

/// The day after the year 9999 has no sign, as databases write it.
fn written(day: NaiveDate) -> String {
    format!("{:04}-{}", day.year(), day.format("%m-%d"))
}

pub(crate) fn columns(table: &WarehouseTable) -> String {
    table.schema.fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ")
}

/// Columns with their types, as a table is created with them.
pub(crate) fn typed(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, data_type)| format!("{} {data_type}", quoted(name))).collect::<Vec<_>>().join(", ")
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A literal that means the same whatever `standard_conforming_strings` is.
pub(crate) fn escaped(text: &str) -> String {
    match text.contains('\\') {
        false => literal(text),
        true => format!("E{}", literal(&text.replace('\\', "\\\\"))),
    }
}

/// The rows among what a statement gives.
pub(crate) fn texts(messages: Vec<SimpleQueryMessage>) -> Vec<Vec<Option<String>>> {
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect::<Vec<_>>())
        }
        _ => None,
    });
    rows.collect()
}

pub(crate) async fn client(pool: &Pool, table: &str) -> Result<Client, StoreError> {
    let failed = StoreError::database(table, "reached");
    let client = pool.get().await.map_err(|error| match error {
        // The pool's own words say nothing more than this.
        PoolError::Backend(cause) => failed(cause),
        other => StoreError::database(table, "reached")(other),
    })?;
    client.batch_execute("SET timezone TO 'UTC'").await.map_err(failed)?;
    Ok(client)
}

/// Connections are made when they are needed.
pub(crate) fn pool(url: &DatabaseUrl, size: usize) -> Result<Pool, StoreError> {
    let wrong = |reason: String| StoreError::WarehouseUrl { reason };
    let Secured { mut config, tls } = secured(url.as_postgres().expose()).map_err(wrong)?;
    config.application_name("vitral").connect_timeout(CONNECT_TIMEOUT);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
    let manager = match tls {
        None => Manager::from_config(config, NoTls, recycling),
        Some(tls) => Manager::from_config(config, MakeRustlsConnect::new(tls), recycling),
    };
    Pool::builder(manager)
        .max_size(size.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(POOL_TIMEOUT))
        .build()
        .map_err(|error| wrong(error.to_string()))
}
