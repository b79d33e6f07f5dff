//! The history of a topic: rows that were imported from files.
//!
//! Every commit builds on the last one that its writer has seen, and carries its number: of two
//! that are under way together only one succeeds, and the other looks again at what is stored. Rows
//! are taken back by one commit too, which leaves a row for each quarter of an hour that lost some,
//! so that jobs compute those days again.

mod commits;
mod imports;
mod marks;

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, cast, ident, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use vitral_schemas::topic::{Topic, history_columns};
use vitral_schemas::verdict::Verdict;

pub use self::imports::ImportedRows;
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::{Table, Undeclared};

/// The application whose version counts the commits that change what counts.
const SEQUENCE: &str = "sequence";

/// The imported rows of one topic.
#[derive(Debug)]
pub struct History {
    topic: Topic,
    table: Table,
}

impl History {
    /// Opens the history of `topic` in `store`, or creates it.
    pub async fn open(topic: &Topic, location: &Location) -> Result<Self, StoreError> {
        let table = Table::open_with(&topic.name, location, topic.history_schema(), Undeclared::Kept).await?;
        Ok(Self { topic: topic.clone(), table })
    }

    /// Opens the history at `location` for reading; none if nothing was ever imported.
    pub async fn read(topic: &Topic, location: &Location) -> Result<Option<Self>, StoreError> {
        let table = Table::read(&topic.name, location).await?;
        Ok(table.map(|table| Self { topic: topic.clone(), table }))
    }

    /// Every row, refused ones too, in the history's schema; tables of older versions may lack
    /// columns.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        self.table.provider().await
    }

    /// Reads what other processes have changed; true if they have changed anything.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// The table's last commit that was seen here: rows are the same as long as it is.
    pub(crate) fn commit(&self) -> Option<u64> {
        self.table.version()
    }

    /// The number of the last commit; 0 before the first.
    pub async fn sequence(&self) -> Result<i64, StoreError> {
        Ok(self.table.transaction(SEQUENCE).await?.unwrap_or_default())
    }

    /// Whether nothing was ever imported.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.table.file_count()? == 0)
    }

    /// The identities of the rows of commits after number `after`: import, verdict, cells, key, the
    /// event id (null where the topic has none), and the item.
    pub async fn identities(&self, after: i64) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let event_id = match self.topic.event_id {
            Some(index) => ident(&self.topic.columns[index].name),
            None => cast(lit(ScalarValue::Null), DataType::Utf8),
        };
        let run = async {
            let provider = self.provider().await.map_err(external)?;
            let schema = provider.schema();
            let mark = |name: &str| or_null(&schema, name);
            let columns =
                vec![ident(IMPORT), ident(VERDICT), mark(CELLS), mark(KEY), event_id.alias("event_id"), mark(ITEM)];
            let frame = read_session(2).read_table(provider)?;
            frame.filter(ident(SEQUENCE).gt(lit(after)))?.select(columns)?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// These columns of the rows that count and have identities.
    pub async fn counted(&self, columns: &[&str]) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let run = async {
            let frame = read_session(2).read_table(self.provider().await.map_err(external)?)?;
            let wanted = ident(VERDICT).eq(lit(Verdict::Counted.name())).and(ident(CELLS).is_not_null());
            let columns = columns.iter().map(|column| ident(*column));
            frame.filter(wanted)?.select(columns.collect::<Vec<_>>())?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// Rows of versions that kept no identities, with all their columns.
    pub async fn rows_without_identity(&self) -> Result<SendableRecordBatchStream, StoreError> {
        use history_columns::*;
        let run = async {
            let provider = self.provider().await.map_err(external)?;
            let wanted = or_null(&provider.schema(), CELLS).is_null().and(ident(VERDICT).not_eq(lit(UNDONE)));
            let frame = read_session(2).read_table(provider)?;
            frame.filter(wanted)?.execute_stream().await
        };
        run.await.map_err(StoreError::read(&self.topic.name))
    }

    /// Merges small files if there are many.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        self.table.compact().await
    }
}

/// A column of hashes; null in a table of a version that did not keep it, which only a writer adds.
fn or_null(schema: &Schema, name: &str) -> Expr {
    match schema.field_with_name(name) {
        Ok(_) => ident(name),
        Err(_) => cast(lit(ScalarValue::Null), DataType::Binary).alias(name),
    }
}

fn external(error: StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
