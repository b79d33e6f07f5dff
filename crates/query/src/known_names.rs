//! The names that reference tables give to ids, as they were read last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use datafusion::catalog::MemTable;
use vitral_catalog::Naming;

use crate::error::QueryError;

/// Names may be so old: to look whether a file has changed costs more than many an answer.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// The names of one table by their ids.
#[derive(Debug, Default)]
pub(crate) struct Known {
    names: HashMap<String, String>,
    /// Differs when a name differs.
    version: u64,
}

/// What was read of each table, and when.
#[derive(Debug, Default)]
pub(crate) struct KnownNames(Mutex<HashMap<String, Read>>);

#[derive(Debug, Clone)]
struct Read {
    table: Option<Arc<MemTable>>,
    known: Arc<Known>,
    at: Instant,
}

impl KnownNames {
    /// What is known of a table, if it was read a moment ago.
    pub(crate) fn recent(&self, table: &str) -> Option<Arc<Known>> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned()?;
        (read.at.elapsed() < LOOKED_AT_EVERY).then_some(read.known)
    }

    /// What is known now that the table has these rows.
    pub(crate) async fn of(&self, table: &str, rows: Result<Arc<MemTable>, QueryError>, naming: &Naming) -> Arc<Known> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        let (table_rows, known) = match (rows, read) {
            (Ok(rows), Some(Read { table: Some(same), known, .. })) if Arc::ptr_eq(&same, &rows) => (Some(rows), known),
            (Ok(rows), _) => {
                let known = Arc::new(Known::read(&rows, naming).await);
                (Some(rows), known)
            }
            (Err(error), _) => {
                // Without its names an answer is still right.
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(table, %error, source, "names are left out");
                (None, Arc::default())
            }
        };
        let newer = Read { table: table_rows, known: Arc::clone(&known), at: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), newer);
        known
    }
}

impl Known {
    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// Differs when a name differs.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The first name of each id.
    async fn read(rows: &MemTable, naming: &Naming) -> Self {
        let mut known = Self::default();
        for part in &rows.batches {
            for batch in part.read().await.iter() {
                let column = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
                let (Some(ids), Some(names)) = (column(&naming.id), column(&naming.name)) else { continue };
                for (id, name) in ids.iter().zip(names).filter_map(|(id, name)| id.zip(name)) {
                    known.add(id, name);
                }
            }
        }
        known
    }

    pub(crate) fn add(&mut self, id: &str, name: &str) {
        if self.names.contains_key(id) {
            return;
        }
        let mut hash = DefaultHasher::new();
        (id, name).hash(&mut hash);
        // In whatever order they come.
        self.version = self.version.wrapping_add(hash.finish());
        self.names.insert(id.to_owned(), name.to_owned());
    }
}
