//! Tables of other systems that queries read as a whole.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use vitral_connect::{WholeTables, with_causes};

use crate::error::BatchError;

/// Each table is read when a query first names it; all queries of one moment see the same rows, and
/// a table that no query names is not asked for.
#[derive(Debug, Default)]
pub(super) struct Whole {
    tables: WholeTables,
    read: Mutex<BTreeMap<String, RecordBatch>>,
}

impl Whole {
    pub(super) fn new(tables: WholeTables) -> Self {
        Self { tables, read: Mutex::default() }
    }

    pub(super) async fn rows(&self, name: &str) -> Result<RecordBatch, BatchError> {
        if let Some(rows) = self.read().get(name) {
            return Ok(rows.clone());
        }
        let rows = self.tables.rows(name).await.map_err(|error| {
            let reason = with_causes(&error);
            BatchError::LookupTable { table: name.to_owned(), reason: reason.trim_end_matches('.').to_owned() }
        })?;
        self.read().insert(name.to_owned(), rows.clone());
        Ok(rows)
    }

    /// Whether a table was read and has no row.
    pub(super) fn is_empty(&self, name: &str) -> bool {
        self.read().get(name).is_some_and(|rows| rows.num_rows() == 0)
    }

    /// A panic between lock and unlock leaves plain values behind.
    fn read(&self) -> MutexGuard<'_, BTreeMap<String, RecordBatch>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
