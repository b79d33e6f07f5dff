//! The table of imports as it is stored now: other processes write it, and nothing of it is in what
//! a stream shows.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use tokio::sync::Mutex;
use vitral_catalog::{EngineTable, Needs};
use vitral_query::{QueryError, ReadPoint};
use vitral_store::{AppendTable, IMPORTS_TABLE, Layout, Location, imports_schema};

/// Where it is stored, and what was read of it last.
pub(crate) struct Imports {
    /// None where nothing is stored.
    store: Option<Location>,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    table: AppendTable,
    /// The same ones as long as nothing is appended: answers made of them are kept.
    rows: Arc<dyn TableProvider>,
}

impl Imports {
    pub(crate) fn of(store: Option<Location>) -> Self {
        Self { store, opened: Mutex::default() }
    }

    /// The read point with the table's rows, if they are needed.
    pub(crate) async fn added_to(&self, point: ReadPoint, needs: &Needs) -> Result<ReadPoint, QueryError> {
        if !needs.table(EngineTable::Imports.name()) {
            return Ok(point);
        }
        let mut engine_tables = point.engine_tables.as_ref().clone();
        engine_tables.insert(EngineTable::Imports, self.rows().await?);
        Ok(ReadPoint { engine_tables: Arc::new(engine_tables), ..point })
    }

    async fn rows(&self) -> Result<Arc<dyn TableProvider>, QueryError> {
        let mut opened = self.opened.lock().await;
        if let Some(Opened { table, rows }) = opened.as_mut() {
            if table.refresh().await? {
                *rows = table.provider().await?;
            }
            return Ok(Arc::clone(rows));
        }
        let table = match &self.store {
            Some(store) => AppendTable::read(IMPORTS_TABLE, &Layout::of(store).table(IMPORTS_TABLE)).await?,
            None => None,
        };
        // Nothing was ever imported.
        let Some(table) = table else { return Ok(Arc::new(EmptyTable::new(imports_schema()))) };
        let rows = table.provider().await?;
        *opened = Some(Opened { table, rows: Arc::clone(&rows) });
        Ok(rows)
    }
}
