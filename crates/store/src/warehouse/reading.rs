//! The port by which tables of the warehouse are read like everything else; and the reader of
//! those that are Delta tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;

use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// Who has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// What jobs write to.
    Primary,
    /// A replica of it.
    Replica {
        /// How far behind it is, in milliseconds; none if it does not say.
        lag_ms: Option<u64>,
    },
    /// What jobs write to, as its replica does not answer.
    InsteadOfReplica,
}

/// Tables as they stand now, by name.
#[derive(Debug)]
pub struct WarehouseTables {
    /// Who has them.
    pub from: ReadFrom,
    /// Those that jobs have made; an error where one has columns that cannot be read.
    pub tables: BTreeMap<String, Result<Arc<dyn TableProvider>, StoreError>>,
}

/// What reads tables of the warehouse.
#[async_trait]
pub trait WarehouseReader: fmt::Debug + Send + Sync {
    /// Those of these tables that are there, to be read at once.
    ///
    /// # Errors
    /// Nothing can be read: [`StoreError::WarehouseAway`] if it does not answer.
    async fn tables(&self, names: &BTreeSet<String>) -> Result<WarehouseTables, StoreError>;
}

/// Reads the Delta tables of a [`super::DeltaWarehouse`].
#[derive(Debug, Clone)]
pub struct DeltaWarehouseReader {
    location: Location,
}

impl DeltaWarehouseReader {
    /// Tables are below `location`, each in a folder of its name.
    pub fn new(location: Location) -> Self {
        Self { location }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
        match Table::read(name, &self.location.join(name)).await? {
            Some(table) => Ok(Some(table.provider().await?)),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl WarehouseReader for DeltaWarehouseReader {
    async fn tables(&self, names: &BTreeSet<String>) -> Result<WarehouseTables, StoreError> {
        let mut tables = BTreeMap::new();
        for name in names {
            if let Some(found) = self.table(name).await.transpose() {
                tables.insert(name.clone(), found);
            }
        }
        Ok(WarehouseTables { from: ReadFrom::Primary, tables })
    }
}
