//! What one answer is computed from, taken once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use vitral_catalog::EngineTable;
use vitral_panes::view::View;
use vitral_schemas::reconciliation;
use vitral_store::Histories;
use vitral_store::alerts::episode_schema;

use crate::error::QueryError;
use crate::principal::Principal;
use crate::warehouse_rows::WarehouseRows;

/// One moment of everything that can be read; published and open windows of it fit together.
#[derive(Debug, Clone)]
pub struct ReadPoint {
    /// Who asks.
    pub principal: Principal,
    /// What the stream showed, or what is stored.
    pub view: Arc<View>,
    /// What was imported alongside the topics' messages.
    pub histories: Arc<Histories>,
    /// The last results of reconciliations.
    pub reconciliations: Arc<RecordBatch>,
    /// What alerts have seen.
    pub alerts: Arc<RecordBatch>,
    /// Tables of the engine that only readers of stored files have.
    pub engine_tables: Arc<BTreeMap<EngineTable, Arc<dyn TableProvider>>>,
    /// Tables of other systems that were read as a whole.
    pub looked_up: Arc<BTreeMap<String, Arc<dyn TableProvider>>>,
    /// Tables of the warehouse.
    pub warehouse: Arc<WarehouseRows>,
    /// The time of the request, in milliseconds since the epoch.
    pub now_ms: i64,
}

impl ReadPoint {
    /// Of a view alone.
    pub fn new(principal: Principal, view: Arc<View>, now_ms: i64) -> Self {
        // Every request takes one.
        static NOTHING_CHECKED: LazyLock<Arc<RecordBatch>> =
            LazyLock::new(|| Arc::new(RecordBatch::new_empty(reconciliation::schema())));
        static NOTHING_SEEN: LazyLock<Arc<RecordBatch>> =
            LazyLock::new(|| Arc::new(RecordBatch::new_empty(episode_schema())));
        Self {
            principal,
            view,
            histories: Arc::default(),
            reconciliations: Arc::clone(&NOTHING_CHECKED),
            alerts: Arc::clone(&NOTHING_SEEN),
            engine_tables: Arc::default(),
            looked_up: Arc::default(),
            warehouse: Arc::default(),
            now_ms,
        }
    }

    /// The same with the rows of these tables of other systems.
    ///
    /// # Errors
    /// The engine does not take their rows.
    pub fn with_looked_up(self, tables: impl IntoIterator<Item = (String, RecordBatch)>) -> Result<Self, QueryError> {
        let mut looked_up = BTreeMap::new();
        for (name, rows) in tables {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            looked_up.insert(name, Arc::new(table) as Arc<dyn TableProvider>);
        }
        Ok(Self { looked_up: Arc::new(looked_up), ..self })
    }
}
