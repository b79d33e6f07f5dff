//! Reads tables of the warehouse, from its replica while that answers.
//!
//! Before a statement the replica is asked how far behind it is. One that does not answer in time
//! is left alone for a while, in which the primary is read at once.

mod columns;
mod conditions;
mod cursor;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use deadpool_postgres::{Client, Pool, PoolError};
use tokio::sync::Mutex;
use vitral_connect::Breaker;
use vitral_store::StoreError;
use vitral_store::warehouse::{ReadFrom, WarehouseReader, WarehouseTables};

use self::columns::DatabaseColumn;
use self::table::DatabaseTable;
use crate::database_url::DatabaseUrl;
use crate::sql::{client, literal, pool, texts};

/// In what a replica has to answer: the primary is there to be asked instead.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);
const PRIMARY_PATIENCE: Duration = Duration::from_secs(5);
/// How long what does not answer is left alone.
const REPLICA_PAUSE: Duration = Duration::from_secs(30);
const PRIMARY_PAUSE: Duration = Duration::from_secs(5);
/// How long columns are believed: a job may add some.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// After so long a table that was not there is looked for again.
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(1);
/// Questions that are asked at once.
const ASKED_SIZE: usize = 1;
/// How long an answer holds: nobody waits for one while many ask.
const BELIEVED_FOR: Duration = Duration::from_millis(100);
/// What errors call the whole of it.
const WAREHOUSE: &str = "the warehouse";

/// How far behind a replica is. While nothing is to be replayed it is not behind, however long ago
/// the last transaction was; one that has lost its primary does not know.
const LAG: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0 \
    WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN 0 \
    ELSE floor(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) END::bigint";

/// A connection to the warehouse's database, by its name in the configuration.
#[derive(Debug, Clone)]
pub struct NamedDatabase {
    /// What errors call it.
    pub connection: String,
    /// Where it is.
    pub url: DatabaseUrl,
}

/// Reads the warehouse in a database that speaks PostgreSQL's protocol. Connects when it is first
/// asked.
#[derive(Debug)]
pub struct SqlWarehouseReader {
    primary: Arc<Database>,
    replica: Option<Arc<Database>>,
}

/// One server, and what is known of its tables.
pub(crate) struct Database {
    connection: String,
    pool: Pool,
    /// A connection for short questions alone: who reads rows may hold all others for long.
    asked: Pool,
    /// Rows that are fetched at once.
    batch_rows: usize,
    patience: Duration,
    breaker: Breaker,
    /// The tables that jobs may have made.
    wanted: BTreeSet<String>,
    said: Mutex<Option<Said>>,
}

/// What a server has said, and when.
#[derive(Clone)]
struct Said {
    at: Instant,
    lag_ms: Option<u64>,
    tables: Arc<BTreeMap<String, Vec<DatabaseColumn>>>,
    /// When it has said so of its tables.
    tables_at: Instant,
}

impl Said {
    /// Whether its tables are known as they are, of these names.
    fn knows(&self, names: &BTreeSet<String>) -> bool {
        let are_there = names.iter().all(|name| self.tables.contains_key(name));
        self.tables_at.elapsed() < if are_there { KNOWN_FOR } else { LOOKED_FOR_EVERY }
    }
}

impl SqlWarehouseReader {
    /// Reads those of these tables that jobs have made.
    ///
    /// # Errors
    /// A URL cannot be used.
    pub fn new(
        primary: NamedDatabase,
        replica: Option<NamedDatabase>,
        pool_size: usize,
        tables: impl IntoIterator<Item = String>,
    ) -> Result<Self, StoreError> {
        let wanted: BTreeSet<String> = tables.into_iter().collect();
        let database = |named: NamedDatabase, patience, pause| {
            let (pool, asked) = (pool(&named.url, pool_size)?, pool(&named.url, ASKED_SIZE)?);
            let (breaker, said) = (Breaker::new(1, pause), Mutex::default());
            let batch_rows = cursor::batch_rows(named.url.scheme());
            let (connection, wanted) = (named.connection, wanted.clone());
            Ok::<_, StoreError>(Arc::new(Database {
                connection,
                pool,
                asked,
                batch_rows,
                patience,
                breaker,
                wanted,
                said,
            }))
        };
        let replica = replica.map(|named| database(named, REPLICA_PATIENCE, REPLICA_PAUSE)).transpose()?;
        Ok(Self { primary: database(primary, PRIMARY_PATIENCE, PRIMARY_PAUSE)?, replica })
    }

    /// The server that answers now, and what it says.
    async fn answering(&self, names: &BTreeSet<String>) -> Result<(&Arc<Database>, Said, ReadFrom), StoreError> {
        let Some(replica) = &self.replica else {
            return Ok((&self.primary, self.primary.ask(names, false).await?, ReadFrom::Primary));
        };
        match replica.ask(names, true).await {
            Ok(said) => {
                let from = ReadFrom::Replica { lag_ms: said.lag_ms };
                Ok((replica, said, from))
            }
            Err(error) => {
                let (connection, source) = (&replica.connection, std::error::Error::source(&error));
                let source = source.map(ToString::to_string).unwrap_or_default();
                tracing::debug!(connection, source, "the replica does not answer: the primary is read");
                Ok((&self.primary, self.primary.ask(names, false).await?, ReadFrom::InsteadOfReplica))
            }
        }
    }
}

#[async_trait]
impl WarehouseReader for SqlWarehouseReader {
    async fn tables(&self, names: &BTreeSet<String>) -> Result<WarehouseTables, StoreError> {
        let (database, said, from) = self.answering(names).await?;
        let table = |name: &String| -> Option<(String, Result<Arc<dyn TableProvider>, StoreError>)> {
            let table = DatabaseTable::new(name, database, said.tables.get(name)?);
            Some((name.clone(), table.map(|table| Arc::new(table) as _)))
        };
        Ok(WarehouseTables { from, tables: names.iter().filter_map(table).collect() })
    }
}

impl Database {
    /// Asks how far behind it is, and for the columns of its tables unless they are known. One asks
    /// for all who want to know at the same time.
    async fn ask(&self, names: &BTreeSet<String>, has_lag: bool) -> Result<Said, StoreError> {
        let mut said = self.said.lock().await;
        if let Some(said) = said.as_ref().filter(|said| said.at.elapsed() < BELIEVED_FOR && said.knows(names)) {
            return Ok(said.clone());
        }
        self.breaker.enter().map_err(|error| self.away(error))?;
        let before = said.take();
        let asked = tokio::time::timeout(self.patience, self.asked(names, has_lag, before)).await;
        let answer = asked.unwrap_or_else(|_| {
            let seconds = self.patience.as_secs();
            Err(self.away(format!("no answer within {seconds} s")))
        });
        self.breaker.leave(answer.is_err());
        if let Err(error) = &answer {
            let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(connection = self.connection, source, "the warehouse does not answer");
        }
        *said = answer.as_ref().ok().cloned();
        answer
    }

    async fn asked(&self, names: &BTreeSet<String>, has_lag: bool, before: Option<Said>) -> Result<Said, StoreError> {
        let client = client(&self.asked, WAREHOUSE).await.map_err(|error| self.away(error))?;
        // Servers that replicate in another way do not say.
        let lag_ms = if has_lag { self.lag_ms(&client).await? } else { None };
        let at = Instant::now();
        match before.filter(|before| before.knows(names)) {
            Some(before) => Ok(Said { at, lag_ms, ..before }),
            None => Ok(Said { at, lag_ms, tables: Arc::new(self.columns(&client).await?), tables_at: at }),
        }
    }

    async fn lag_ms(&self, client: &Client) -> Result<Option<u64>, StoreError> {
        let said = match client.simple_query(LAG).await {
            Ok(said) => texts(said),
            Err(error) if error.code().is_none() => return Err(self.away(error)),
            Err(error) => {
                tracing::debug!(connection = self.connection, %error, "it does not say how far behind it is");
                return Ok(None);
            }
        };
        let lag_ms = said.into_iter().flatten().next().flatten().and_then(|text| text.parse::<i64>().ok());
        // Its clock may be behind that of its primary.
        Ok(lag_ms.map(|lag_ms| lag_ms.max(0).unsigned_abs()))
    }

    /// The columns of all tables that jobs may have made, in their order.
    async fn columns(&self, client: &Client) -> Result<BTreeMap<String, Vec<DatabaseColumn>>, StoreError> {
        let mut tables: BTreeMap<String, Vec<DatabaseColumn>> = BTreeMap::new();
        if self.wanted.is_empty() {
            return Ok(tables);
        }
        let names = self.wanted.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        let columns = format!(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
             JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname IN ({names}) AND c.relkind IN ('r', 'p') \
             AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
        );
        let said = client.simple_query(&columns).await.map_err(|error| self.away(error))?;
        for row in texts(said) {
            let [Some(table), Some(name), Some(data_type)] = row.as_slice() else { continue };
            let column = DatabaseColumn { name: name.clone(), data_type: data_type.clone() };
            tables.entry(table.clone()).or_default().push(column);
        }
        Ok(tables)
    }

    /// Why there is no connection, where there was one a moment ago.
    fn lost(&self, error: StoreError) -> StoreError {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<PoolError>());
        // All are in use: it is there.
        if matches!(source, Some(PoolError::Timeout(_))) {
            return error;
        }
        self.breaker.leave(true);
        self.away(error)
    }

    fn away(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        // That it is away is said once.
        let source = match source.into().downcast::<StoreError>() {
            Ok(error) => match *error {
                StoreError::Database { source, .. } => source,
                other => Box::new(other),
            },
            Err(source) => source,
        };
        StoreError::WarehouseAway { connection: self.connection.clone(), source }
    }

    /// What a statement's error means; what is away is left alone.
    async fn failed(&self, table: &str, error: tokio_postgres::Error) -> StoreError {
        let code = error.code().map(|code| code.code().to_owned());
        match code.as_deref() {
            // Connections that are refused or end, and a server that stops or starts.
            None | Some("57P01" | "57P02" | "57P03") => {
                self.breaker.leave(true);
                self.away(error)
            }
            Some(code) if code.starts_with("08") => {
                self.breaker.leave(true);
                self.away(error)
            }
            Some(code) => {
                // Another table or column than was known.
                if code.starts_with("42") {
                    *self.said.lock().await = None;
                }
                StoreError::database(table, "read")(error)
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("connection", &self.connection).finish_non_exhaustive()
    }
}
