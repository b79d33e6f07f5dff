//! The history of a topic: rows that were imported from files.
//!
//! A commit adds a file's next rows and says through which line the file is in: an import that is cut short goes on there, and one
//! that is repeated adds nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::catalog::TableProvider;
use vitral_schemas::topic::Topic;

use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// The application whose version counts the commits.
const SEQUENCE: &str = "sequence";
/// Imports that run at the same time get in each other's way.
const ATTEMPTS: usize = 20;

#[derive(Debug)]
pub struct History {
    topic: Topic,
    table: Table,
}

impl History {
    /// Opens the history of `topic` at `location`, or creates it.
    pub async fn open(topic: &Topic, location: &Location) -> Result<Self, StoreError> {
        let table = Table::open(&topic.name, location, topic.history_schema()).await?;
        Ok(Self { topic: topic.clone(), table })
    }

    /// Opens the history at `location` for reading; none if nothing was ever imported.
    pub async fn read(topic: &Topic, location: &Location) -> Result<Option<Self>, StoreError> {
        let table = Table::read(&topic.name, location).await?;
        Ok(table.map(|table| Self { topic: topic.clone(), table }))
    }

    /// Every row, refused ones too, in the history's schema.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.table.provider().await
    }

    /// Sees what others have added; true if they have.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// The number of the last commit; 0 before the first.
    pub async fn sequence(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(SEQUENCE).await?.unwrap_or_default())
    }

    /// The last line of an import that is in; none if none is.
    pub async fn imported_through(&self, import: &str) -> Result<Option<i64>, StoreError> {
        self.table.transaction(&application(import)).await
    }

    /// Adds the rows behind line `after` through line `through`. `rows` has the history's columns without its first.
    pub async fn append(
        &mut self,
        import: &str,
        after: Option<i64>,
        through: i64,
        rows: &RecordBatch,
    ) -> Result<(), StoreError> {
        let application = application(import);
        let mut attempt = 1;
        loop {
            self.table.refresh().await?;
            match self.table.transaction(&application).await? {
                found if found == after => {}
                // The reply of the last attempt was lost.
                Some(found) if found == through && attempt > 1 => return Ok(()),
                _ => return Err(StoreError::Overtaken { table: self.topic.name.clone() }),
            }
            let sequence = self.sequence().await? + 1;
            let rows = self.numbered(rows, sequence)?;
            let transactions = [(application.clone(), through), (SEQUENCE.to_owned(), sequence)];
            match self.table.append(vec![rows], &transactions).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS || error.is_final() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, attempt, "not added; trying again");
                    attempt += 1;
                }
            }
        }
    }

    /// Merges small files if there are many.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        self.table.compact().await
    }

    fn numbered(&self, rows: &RecordBatch, sequence: i64) -> Result<RecordBatch, StoreError> {
        let numbers: ArrayRef = Arc::new(Int64Array::from_value(sequence, rows.num_rows()));
        let columns = std::iter::once(numbers).chain(rows.columns().iter().cloned()).collect();
        RecordBatch::try_new(self.topic.history_schema(), columns)
            .map_err(|source| StoreError::read(&self.topic.name)(source.into()))
    }
}

fn application(import: &str) -> String {
    format!("import/{import}")
}
