//! Look-ups in a file, CSV or Parquet, which is read again when it changes.
//!
//! All of its rows are in memory. A file that cannot be used any more, or has two rows of one key, changes nothing: what was read last
//! goes on being answered, and counts as stale until the file is right again.

#![warn(missing_docs)]

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use vitral_catalog::{Reference, reference};
use vitral_connect::memory::MemoryLookup;
use vitral_connect::{ConnectError, Lookup, with_causes};

/// How often the file is looked at: rows of this much later have what it says now.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look-up over the rows of a file.
#[derive(Debug)]
pub struct FileLookup {
    file: Arc<TableFile>,
    schema: SchemaRef,
    look_every: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct TableFile {
    folder: PathBuf,
    path: PathBuf,
    table: Reference,
    key: String,
}

#[derive(Debug)]
struct State {
    rows: Arc<MemoryLookup>,
    /// Of the file as it was looked at last, whether it could be used or not.
    stamp: Stamp,
    looked: Instant,
    is_reading: bool,
    /// The file has changed, and cannot be used as it is now.
    is_stale: bool,
}

/// Tells one state of a file from the next; none is a missing file, which is an empty table.
type Stamp = Option<(SystemTime, u64)>;

/// Why a file cannot be looked up in.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, or its columns are others.
    #[error("{path}, the file of look-up table {table}, cannot be read")]
    Read {
        /// The table.
        table: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ArrowError,
    },
    /// Nobody could say which of them is meant.
    #[error("{path}, the file of look-up table {table}, has two rows with the {key} {value}: leave one of them out")]
    Twice {
        /// The table.
        table: String,
        /// The file.
        path: PathBuf,
        /// The key's column.
        key: String,
        /// The key.
        value: String,
    },
    /// The declaration has no file or no key.
    #[error("{0} is not a look-up table of a file")]
    NotAFile(String),
}

impl FileLookup {
    /// Reads the table's file in the folder of reference tables. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, lacks a needed column, or has two rows of one key.
    pub fn open(folder: &Path, table: &Reference) -> Result<Self, FileError> {
        let (Some(path), Some(lookup)) = (&table.path, &table.lookup) else {
            return Err(FileError::NotAFile(table.name.clone()));
        };
        let (folder, path, key) = (folder.to_owned(), folder.join(path), lookup.key.clone());
        let file = Arc::new(TableFile { folder, path, table: table.clone(), key });
        let stamp = file.stamp()?;
        let rows = Arc::new(file.read()?);
        let fields = reference::schema(table).fields().iter().map(|field| Field::clone(field)).collect::<Vec<_>>();
        let state = State { rows, stamp, looked: Instant::now(), is_reading: false, is_stale: false };
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { file, schema, look_every: LOOK_EVERY, state: Arc::new(Mutex::new(state)) })
    }

    /// Begins to read the file again if it has changed; until that is done, what was read before is answered.
    fn look(&self) {
        {
            let mut state = lock(&self.state);
            if state.is_reading || state.looked.elapsed() < self.look_every {
                return;
            }
            state.is_reading = true;
        }
        let (file, state) = (Arc::clone(&self.file), Arc::clone(&self.state));
        tokio::task::spawn_blocking(move || {
            let outcome = file.stamp().map(|stamp| (stamp, lock(&state).stamp != stamp));
            let outcome = match outcome {
                Ok((stamp, true)) => file.read().map(|rows| Some((stamp, rows))).map_err(|error| (Some(stamp), error)),
                Ok((_, false)) => Ok(None),
                Err(error) => Err((None, error)),
            };
            let mut state = lock(&state);
            state.is_reading = false;
            state.looked = Instant::now();
            match outcome {
                Ok(None) => {}
                Ok(Some((stamp, rows))) => {
                    tracing::info!(table = file.table.name, file = %file.path.display(), "look-up table read again");
                    (state.stamp, state.rows, state.is_stale) = (stamp, Arc::new(rows), false);
                }
                Err((stamp, error)) => {
                    // The same file is not read again and again.
                    state.stamp = stamp.unwrap_or(state.stamp);
                    state.is_stale = true;
                    tracing::error!(
                        table = file.table.name,
                        error = with_causes(&error),
                        "look-up table cannot be read again: what was read before is used"
                    );
                }
            }
        });
    }
}

impl TableFile {
    fn stamp(&self) -> Result<Stamp, FileError> {
        match std::fs::metadata(&self.path).and_then(|found| Ok((found.modified()?, found.len()))) {
            Ok(stamp) => Ok(Some(stamp)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(error.into())),
        }
    }

    fn read(&self) -> Result<MemoryLookup, FileError> {
        let rows = reference::read(&self.folder, &self.table).map_err(|source| self.unread(source))?;
        let rows = concat_batches(&reference::schema(&self.table), &rows).map_err(|source| self.unread(source))?;
        self.refuse_twice(&rows)?;
        MemoryLookup::new(&rows, &self.key).map_err(|error| self.unread(ArrowError::ExternalError(Box::new(error))))
    }

    fn refuse_twice(&self, rows: &RecordBatch) -> Result<(), FileError> {
        let Some(keys) = rows.column_by_name(&self.key) else {
            return Err(FileError::NotAFile(self.table.name.clone()));
        };
        let keys = cast(keys, &DataType::Utf8).map_err(|source| self.unread(source))?;
        let mut seen = HashSet::new();
        match keys.as_string::<i32>().iter().flatten().find(|key| !seen.insert(*key)) {
            None => Ok(()),
            Some(value) => Err(FileError::Twice {
                table: self.table.name.clone(),
                path: self.path.clone(),
                key: self.key.clone(),
                value: value.to_owned(),
            }),
        }
    }

    fn unread(&self, source: ArrowError) -> FileError {
        FileError::Read { table: self.table.name.clone(), path: self.path.clone(), source }
    }
}

#[async_trait]
impl Lookup for FileLookup {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        self.look();
        let rows = Arc::clone(&lock(&self.state).rows);
        rows.get(keys).await
    }

    fn is_stale(&self) -> bool {
        lock(&self.state).is_stale
    }
}

/// A panic between lock and unlock leaves plain values behind.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
