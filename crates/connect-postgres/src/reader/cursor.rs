//! The rows of one statement, a batch at a time, by a cursor.
//!
//! Statements go by the simple protocol, which works through every pooler, and values come as
//! texts, which every server writes alike once it knows how.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deadpool_postgres::Client;
use futures::stream;
use vitral_store::StoreError;

use super::Database;
use crate::sql::{client, texts};

/// Redshift gives at most so many at once.
const REDSHIFT_ROWS: usize = 1_000;
const POSTGRES_ROWS: usize = 8_192;

/// A batch takes no longer than that: a statement that nobody waits for any more ends there too.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout TO 300000; SET LOCAL timezone TO 'UTC'; \
    SET LOCAL datestyle TO 'ISO, YMD'; SET LOCAL extra_float_digits TO 2";

pub(super) fn batch_rows(scheme: &str) -> usize {
    if scheme == "redshift" { REDSHIFT_ROWS } else { POSTGRES_ROWS }
}

/// A statement, and the columns of its rows.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) table: String,
    pub(super) database: Arc<Database>,
    pub(super) statement: String,
    pub(super) schema: SchemaRef,
}

/// A connection half-way in its transaction: it goes back to the pool at its end only.
struct Open(Option<Client>);

enum State {
    Before,
    Within(Box<Open>),
    After,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

impl Scan {
    /// Begins with the first batch that is asked for.
    pub(super) fn run(self: Arc<Self>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches = stream::try_unfold(State::Before, move |state| {
            let scan = Arc::clone(&self);
            async move { scan.next(state).await.map_err(|error| DataFusionError::External(Box::new(error))) }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    async fn next(&self, state: State) -> Result<Option<(RecordBatch, State)>, StoreError> {
        let open = match state {
            State::After => return Ok(None),
            State::Within(open) => *open,
            State::Before => {
                let found = client(&self.database.pool, &self.table).await;
                let open = Open(Some(found.map_err(|error| self.database.lost(error))?));
                let begin = format!("{BEGIN}; DECLARE vitral_linhas CURSOR FOR {}", self.statement);
                self.query(&open, &begin).await?;
                open
            }
        };
        let batch_rows = self.database.batch_rows;
        let rows = self.query(&open, &format!("FETCH FORWARD {batch_rows} FROM vitral_linhas")).await?;
        let is_last = rows.len() < batch_rows;
        let batch = self.batch(&rows).map_err(|error| StoreError::read(&self.table)(error.into()))?;
        if !is_last {
            return Ok(Some((batch, State::Within(Box::new(open)))));
        }
        self.end(open).await?;
        Ok(Some((batch, State::After)))
    }

    async fn query(&self, open: &Open, sql: &str) -> Result<Vec<Vec<Option<String>>>, StoreError> {
        // It is there until the end.
        let Some(client) = open.0.as_ref() else { return Ok(Vec::new()) };
        match client.simple_query(sql).await {
            Ok(said) => Ok(texts(said)),
            Err(error) => Err(self.database.failed(&self.table, error).await),
        }
    }

    /// Gives the connection back.
    async fn end(&self, mut open: Open) -> Result<(), StoreError> {
        self.query(&open, "COMMIT").await?;
        drop(open.0.take());
        Ok(())
    }

    fn batch(&self, rows: &[Vec<Option<String>>]) -> Result<RecordBatch, ArrowError> {
        let column = |index: usize, name: &str, data_type: &DataType| -> Result<ArrayRef, ArrowError> {
            let texts: StringArray = rows.iter().map(|row| row.get(index).and_then(Option::as_deref)).collect();
            let exact = CastOptions { safe: false, format_options: FormatOptions::default() };
            let cast = cast_with_options(&texts, data_type, &exact);
            cast.map_err(|error| ArrowError::CastError(format!("column {name} of {}: {error}", self.table)))
        };
        let fields = self.schema.fields().iter().enumerate();
        let columns = fields.map(|(index, field)| column(index, field.name(), field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}
