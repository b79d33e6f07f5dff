//! A table to which several processes append rows that never change, such as the table of
//! reconciliations.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;

use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// A table that only grows; any number of processes may append to it.
#[derive(Debug)]
pub struct AppendTable(Table);

impl AppendTable {
    /// Opens the table at `location`, or creates it.
    pub async fn open(name: &str, location: &Location, schema: SchemaRef) -> Result<Self, StoreError> {
        Table::open(name, location, schema).await.map(Self)
    }

    /// Opens the table at `location` for reading; none if there is none.
    pub async fn read(name: &str, location: &Location) -> Result<Option<Self>, StoreError> {
        Ok(Table::read(name, location).await?.map(Self))
    }

    /// Appends the rows in one commit, and merges small files now and then.
    pub async fn append(&mut self, rows: RecordBatch) -> Result<(), StoreError> {
        self.0.append(vec![rows], &[]).await?;
        // Appends are rare, so files stay few: an occasional merge is enough.
        self.0.compact().await.map(|_| ())
    }

    /// Every committed row, as of the last call of [`Self::refresh`].
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.0.provider().await
    }

    /// Sees what others have appended; true if they have.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.0.version();
        self.0.refresh().await?;
        Ok(self.0.version() != before)
    }
}
