//! Look-ups in a table of PostgreSQL: the rows of many keys by one statement.

use std::collections::BTreeSet;
use std::fmt;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use deadpool_postgres::{Client, ClientWrapper, Pool};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use vitral_connect::{ConnectError, Connection, ConnectionError, Lookup, Portion, Texts, table_schema};
use vitral_schemas::lookup::LookupTable;
use vitral_store::StoreError;

use crate::database_url::DatabaseUrl;
use crate::sql::{client, escaped, pool, quoted, texts};

/// Statements that wait for their answers at the same time.
const POOL_SIZE: usize = 4;
/// Keys of one statement: few enough to be answered in time where the table is a view.
const KEYS_AT_ONCE: usize = 500;
/// Rows of one statement where the whole table is read.
const ROWS_AT_ONCE: usize = 5_000;

/// A look-up in a database's table or view.
pub struct PostgresLookup {
    table: LookupTable,
    /// `SELECT ... FROM ...`.
    select: String,
    pool: Pool,
}

impl PostgresLookup {
    /// Finds rows of `name`, a table or view of the connection's database, with its schema if that
    /// is not in the search path. Connects when it is first asked.
    ///
    /// # Errors
    /// The connection is not one of a database, or its settings cannot be used.
    pub fn new(table: &LookupTable, name: &str, connection: &Connection) -> Result<Self, ConnectionError> {
        let url = DatabaseUrl::try_from(connection)?;
        let pool = pool(&url, POOL_SIZE).map_err(|error| match error {
            StoreError::WarehouseUrl { reason } => connection.error("url", format!("cannot be used: {reason}")),
            other => connection.error("url", format!("cannot be used: {other}")),
        })?;
        let name = name.split('.').map(quoted).collect::<Vec<_>>().join(".");
        // As texts, which every server writes alike; numbers and times in it are read exactly.
        let columns = table.columns.iter().map(|column| match column.kind.data_type() {
            DataType::Timestamp(..) => {
                format!("to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", quoted(&column.name))
            }
            _ => format!("{}::text", quoted(&column.name)),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {columns} FROM {name}");
        Ok(Self { table: table.clone(), select, pool })
    }

    /// The statement for some keys, in which they are literals: the simple protocol works through
    /// every pooler.
    fn statement(&self, keys: &[&str]) -> String {
        let key = self.table.column(&self.table.key).map(|column| column.kind.data_type());
        let (keys, array) = match key {
            // They are numbers.
            Some(DataType::Int64) => (keys.join(", "), "bigint[]"),
            _ => (keys.iter().map(|key| escaped(key)).collect::<Vec<_>>().join(", "), "text[]"),
        };
        format!("{} WHERE {} = ANY (ARRAY[{keys}]::{array})", self.select, quoted(&self.table.key))
    }

    /// The next rows of the whole table, and the connection that has more of them; none after the
    /// last.
    async fn next_rows(&self, reading: Option<ClientWrapper>) -> Result<Option<Rows>, ConnectError> {
        let failed = |error| failed(&self.table.name, error);
        let client = match reading {
            Some(client) => client,
            None => {
                let client = client(&self.pool, &self.table.name).await.map_err(ConnectError::outage)?;
                // Closed with its cursor, wherever reading ends: the pool would give it to others
                // half-way in a transaction.
                let client = Client::take(client);
                let declare = format!("BEGIN READ ONLY; DECLARE vitral_linhas CURSOR FOR {}", self.select);
                client.batch_execute(&declare).await.map_err(failed)?;
                client
            }
        };
        let fetch = format!("FETCH FORWARD {ROWS_AT_ONCE} FROM vitral_linhas");
        let found = texts(client.simple_query(&fetch).await.map_err(failed)?);
        if found.is_empty() {
            return Ok(None);
        }
        Ok(Some((Texts::new(&self.table, found).whole()?, Some(client))))
    }
}

/// Rows, and what has those behind them.
type Rows = (RecordBatch, Option<ClientWrapper>);

#[async_trait]
impl Lookup for PostgresLookup {
    fn schema(&self) -> SchemaRef {
        table_schema(&self.table)
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let own = cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)?;
        // No text of PostgreSQL has a zero character: such a key is unknown.
        let distinct: BTreeSet<&str> =
            own.as_string::<i32>().iter().flatten().filter(|key| !key.contains('\0')).collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let mut rows = Vec::new();
        if !distinct.is_empty() {
            let client = client(&self.pool, &self.table.name).await.map_err(ConnectError::outage)?;
            for keys in distinct.chunks(KEYS_AT_ONCE) {
                let found = client.simple_query(&self.statement(keys)).await;
                rows.extend(texts(found.map_err(|error| failed(&self.table.name, error))?));
            }
        }
        Texts::new(&self.table, rows).for_keys(keys)
    }

    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        stream::try_unfold(None, move |reading| self.next_rows(reading)).boxed()
    }

    fn portion(&self) -> Portion {
        Portion { keys: KEYS_AT_ONCE, calls: POOL_SIZE }
    }
}

/// What the server refuses stays refused; what has no code is a connection that was lost.
fn failed(table: &str, error: tokio_postgres::Error) -> ConnectError {
    let is_of_class = |class: &str| error.code().is_some_and(|code| code.code().starts_with(class));
    // Data: a row of a view that cannot be computed, which others can. Syntax and access: nothing
    // that another attempt changes.
    let (is_of_data, is_refused) = (is_of_class("22"), is_of_class("42") || is_of_class("0A"));
    let error = StoreError::database(table, "looked up")(error);
    match (is_of_data, is_refused) {
        (true, _) => ConnectError::permanent(error).of_keys(),
        (_, true) => ConnectError::permanent(error),
        _ => ConnectError::outage(error),
    }
}

impl fmt::Debug for PostgresLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLookup").field("table", &self.table.name).finish_non_exhaustive()
    }
}
