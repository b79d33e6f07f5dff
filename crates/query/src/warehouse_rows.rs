//! The tables of the warehouse in a read point, and who has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use vitral_store::warehouse::ReadFrom;

/// The tables of the warehouse that a statement reads.
#[derive(Debug, Clone, Default)]
pub struct WarehouseRows {
    /// Who has them; none if none is read.
    pub from: Option<ReadFrom>,
    /// As the catalog calls them.
    pub(crate) tables: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl WarehouseRows {
    /// What those who read the rows should know of who has them; none if nothing is newer.
    pub fn note(&self) -> Option<String> {
        match self.from? {
            ReadFrom::Primary | ReadFrom::Replica { lag_ms: Some(0) } => None,
            ReadFrom::Replica { lag_ms: Some(lag_ms) } => {
                Some(format!("the warehouse is read from its replica, which is {lag_ms} ms behind"))
            }
            ReadFrom::Replica { lag_ms: None } => {
                Some("the warehouse is read from its replica, which does not say how far behind it is".to_owned())
            }
            ReadFrom::InsteadOfReplica => {
                Some("the warehouse's replica does not answer: its primary is read".to_owned())
            }
        }
    }
}
