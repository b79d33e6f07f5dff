//! Copies of views in a database that speaks PostgreSQL's protocol, behind the port [`Sink`].
//!
//! An epoch is one transaction: rows come to a table of the session first, take the places of those
//! with their keys, and the number of the epoch is written next to them, in `vitral.destinos`. So
//! an epoch that is there is known again, and one that is older changes nothing; and no row gives
//! way to one of an older epoch. What the database cannot take, such as a text with a zero
//! character, is left out and counted.

mod statements;

use std::fmt;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deadpool_postgres::{Client, Pool};
use tokio::sync::Mutex;
use tokio_postgres::SimpleQueryMessage;
use vitral_connect::{ConnectError, DELETED_COLUMN, Epoch, Sink};
use vitral_store::warehouse::{SetAside, WarehouseTable};
use vitral_store::{Location, StoreError};

use self::statements::{SinkDialect, Statements};
use crate::database_url::DatabaseUrl;
use crate::own_schema::make_missing;
use crate::postgres::Postgres;
use crate::redshift::Redshift;
use crate::sql::{NEW_ROWS, client, literal, pool, texts};

/// Writing, and asking meanwhile.
const CONNECTIONS: usize = 2;
/// A database that takes longer for one epoch is asked again.
const PATIENCE: Duration = Duration::from_secs(300);

/// A table of PostgreSQL.
pub type PostgresSink = SqlSink<Postgres>;
/// A table of Redshift.
pub type RedshiftSink = SqlSink<Redshift>;

/// A table that a view is copied to.
pub struct SqlSink<D> {
    pool: Pool,
    dialect: D,
    table: String,
    key: Vec<String>,
    ready: Mutex<Ready>,
}

/// What this process has found or made since the last failure.
#[derive(Default)]
struct Ready {
    has_epochs: bool,
    /// The columns that the table has.
    columns: Option<SchemaRef>,
    /// Through which epoch its rows lack values, if they do; none if that is not known.
    incomplete: Option<Option<u64>>,
}

impl PostgresSink {
    /// A table in the first schema of the user's search path, which is created with the first rows.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(url: &DatabaseUrl, table: &str, key: &[String]) -> Result<Self, StoreError> {
        Self::with(url, Postgres, table, key)
    }
}

impl RedshiftSink {
    /// The same in Redshift; `stage` is a place in S3 that the cluster may read in the role
    /// `iam_role`.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(
        url: &DatabaseUrl,
        stage: Location,
        iam_role: &str,
        table: &str,
        key: &[String],
    ) -> Result<Self, StoreError> {
        Self::with(url, Redshift::new(stage, iam_role), table, key)
    }
}

impl<D> fmt::Debug for SqlSink<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlSink").field("table", &self.table).field("key", &self.key).finish_non_exhaustive()
    }
}

impl<D: SinkDialect> SqlSink<D> {
    fn with(url: &DatabaseUrl, dialect: D, table: &str, key: &[String]) -> Result<Self, StoreError> {
        let pool = pool(url, CONNECTIONS)?;
        Ok(Self { pool, dialect, table: table.to_owned(), key: key.to_vec(), ready: Mutex::default() })
    }

    /// A connection to a database that has the table of epochs.
    async fn client(&self) -> Result<Client, StoreError> {
        let client = client(&self.pool, &self.table).await?;
        let mut ready = self.ready.lock().await;
        if !ready.has_epochs {
            let failed = StoreError::database(&self.table, "prepared");
            make_missing(&client, &self.dialect.epochs()).await.map_err(failed)?;
            ready.has_epochs = true;
        }
        drop(ready);
        Ok(client)
    }

    /// What is noted of the table, and whether it is there: somebody may have dropped it.
    async fn noted(&self, client: &Client) -> Result<(Option<u64>, bool), StoreError> {
        let failed = StoreError::database(&self.table, "asked for its epoch");
        let name = literal(&self.table);
        let noted = format!("SELECT epoca FROM vitral.destinos WHERE tabela = {name}");
        let noted = number(client.simple_query(&noted).await.map_err(&failed)?);
        let there = format!(
            "SELECT count(*) FROM pg_class c WHERE c.relname = {name} AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)"
        );
        let there = number(client.simple_query(&there).await.map_err(&failed)?);
        Ok((noted, there.is_some_and(|count| count > 0)))
    }

    async fn write_epoch(&self, epoch: u64, batches: &[RecordBatch]) -> Result<(), StoreError> {
        let failed = StoreError::database(&self.table, "written");
        let mut client = self.client().await?;
        let (noted, is_there) = self.noted(&client).await?;
        if noted.is_some() && !is_there {
            // Asked for its last epoch, the table has none, and all rows come again.
            return Err(StoreError::database(&self.table, "found: it has been dropped since")(Dropped));
        }
        if noted.is_some_and(|last| last >= epoch) {
            return Ok(());
        }
        let statements = match batches.first() {
            Some(batch) => {
                let statements = self.statements(&batch.schema())?;
                self.prepare(&mut client, &batch.schema(), &statements, noted.map(|_| epoch)).await?;
                self.stage(&client, batches, &statements).await?;
                Some(statements)
            }
            None => None,
        };
        let transaction = client.transaction().await.map_err(&failed)?;
        transaction.batch_execute(&self.dialect.hold(&self.table)).await.map_err(&failed)?;
        let name = literal(&self.table);
        let last = format!("SELECT epoca FROM vitral.destinos WHERE tabela = {name}");
        if number(transaction.simple_query(&last).await.map_err(&failed)?).is_some_and(|last| last >= epoch) {
            return Ok(());
        }
        for statement in statements.iter().flat_map(|statements| self.dialect.merge(statements, epoch)) {
            transaction.batch_execute(&statement).await.map_err(&failed)?;
        }
        let note = format!(
            "DELETE FROM vitral.destinos WHERE tabela = {name}; \
             INSERT INTO vitral.destinos VALUES ({name}, {epoch}, current_timestamp)"
        );
        transaction.batch_execute(&note).await.map_err(&failed)?;
        if self.ready.lock().await.incomplete != Some(None) {
            let whole = format!("DELETE FROM vitral.destinos_incompletos WHERE tabela = {name} AND epoca < {epoch}");
            transaction.batch_execute(&whole).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)?;
        let mut ready = self.ready.lock().await;
        ready.incomplete = ready.incomplete.map(|through| through.filter(|through| *through >= epoch));
        drop(ready);
        client.batch_execute(&format!("DROP TABLE IF EXISTS {NEW_ROWS}")).await.map_err(&failed)
    }

    /// What was found before a failure may not be there after it.
    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, ConnectError> {
        let outcome = match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.is_final() => ConnectError::permanent(error),
            Ok(Err(error)) => ConnectError::outage(error),
            Err(elapsed) => ConnectError::outage(elapsed),
        };
        *self.ready.lock().await = Ready::default();
        Err(outcome)
    }

    fn statements(&self, schema: &SchemaRef) -> Result<Statements, StoreError> {
        let columns = schema.fields().iter().filter(|field| field.name() != DELETED_COLUMN).map(|field| {
            let data_type = self.dialect.column_type(field.data_type());
            let data_type = data_type.ok_or_else(|| StoreError::UnknownColumnType {
                table: self.table.clone(),
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            })?;
            Ok((field.name().clone(), data_type))
        });
        Ok(Statements { table: self.table.clone(), key: self.key.clone(), columns: columns.collect::<Result<_, _>>()? })
    }

    /// Creates the table, or adds the columns that it lacks; once for the same columns. Where
    /// earlier epochs were written, their rows have nothing in these: that is noted together with
    /// them, as of the epoch that comes.
    async fn prepare(
        &self,
        client: &mut Client,
        schema: &SchemaRef,
        statements: &Statements,
        after_others: Option<u64>,
    ) -> Result<(), StoreError> {
        let failed = StoreError::database(&self.table, "prepared");
        if self.ready.lock().await.columns.as_ref() == Some(schema) {
            return Ok(());
        }
        let transaction = client.transaction().await.map_err(&failed)?;
        transaction.batch_execute(&self.dialect.hold(&self.table)).await.map_err(&failed)?;
        let found = texts(transaction.simple_query(&statements.found()).await.map_err(&failed)?);
        let found: Vec<(&str, &str)> =
            found.iter().filter_map(|row| Some((row[0].as_deref()?, row[1].as_deref()?))).collect();
        let wanted = match found.is_empty() {
            true => self.dialect.create_copy(statements),
            false => statements.missing(&found)?,
        };
        let incomplete = after_others.filter(|_| !found.is_empty() && !wanted.is_empty());
        for statement in wanted {
            transaction.batch_execute(&statement).await.map_err(&failed)?;
        }
        if let Some(epoch) = incomplete {
            let note = format!("INSERT INTO vitral.destinos_incompletos VALUES ({}, {epoch})", literal(&self.table));
            transaction.batch_execute(&note).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)?;
        let mut ready = self.ready.lock().await;
        ready.columns = Some(SchemaRef::clone(schema));
        ready.incomplete = incomplete.map(Some).or(ready.incomplete);
        Ok(())
    }

    /// Brings the rows that the database can take to a table of the session.
    async fn stage(&self, client: &Client, batches: &[RecordBatch], statements: &Statements) -> Result<(), StoreError> {
        let failed = StoreError::database(&self.table, "sent its rows");
        for statement in statements.new_rows() {
            client.batch_execute(&statement).await.map_err(&failed)?;
        }
        let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(()) };
        let table = WarehouseTable {
            name: self.table.clone(),
            schema: SchemaRef::clone(&schema),
            date: String::new(),
            key: self.key.clone(),
        };
        let mut set_aside = SetAside::default();
        let fitting = batches
            .iter()
            .map(|batch| set_aside.take_from(batch.clone(), &table, self.dialect.capacity()).map_err(Into::into));
        let fitting: Vec<Result<RecordBatch, datafusion::error::DataFusionError>> = fitting.collect();
        if let Some(first) = set_aside.rows.first() {
            let (table, rows, reason) = (&self.table, set_aside.count, &first.detail);
            tracing::warn!(table, rows, reason, "rows are left out of the copy, as the database cannot store them");
        }
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(fitting));
        self.dialect.stage(client, &table, Box::pin(stream)).await
    }
}

#[async_trait]
impl<D: SinkDialect> Sink for SqlSink<D> {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        let ask = async {
            let client = self.client().await?;
            let (noted, is_there) = self.noted(&client).await?;
            if noted.is_some() && !is_there {
                let name = literal(&self.table);
                let forget = format!(
                    "DELETE FROM vitral.destinos WHERE tabela = {name}; \
                     DELETE FROM vitral.destinos_incompletos WHERE tabela = {name}"
                );
                client.batch_execute(&forget).await.map_err(StoreError::database(&self.table, "forgotten"))?;
                let mut ready = self.ready.lock().await;
                (ready.columns, ready.incomplete) = (None, Some(None));
            }
            Ok(noted.filter(|_| is_there))
        };
        Ok(self.within(ask).await?.map(Epoch))
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        self.within(self.write_epoch(epoch.0, batches)).await
    }

    async fn lacks_values(&self) -> Result<bool, ConnectError> {
        if let Some(known) = self.ready.lock().await.incomplete {
            return Ok(known.is_some());
        }
        let ask = async {
            let client = self.client().await?;
            let name = literal(&self.table);
            let noted = format!("SELECT max(epoca) FROM vitral.destinos_incompletos WHERE tabela = {name}");
            let failed = StoreError::database(&self.table, "asked whether its rows are whole");
            let through = number(client.simple_query(&noted).await.map_err(failed)?);
            self.ready.lock().await.incomplete = Some(through);
            Ok(through.is_some())
        };
        self.within(ask).await
    }
}

/// Why an epoch is not written.
#[derive(Debug, thiserror::Error)]
#[error("all rows are sent again")]
struct Dropped;

/// The number that a statement gives.
fn number(found: Vec<SimpleQueryMessage>) -> Option<u64> {
    texts(found).first()?.first()?.as_ref()?.parse().ok()
}
