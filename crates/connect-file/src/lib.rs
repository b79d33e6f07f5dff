//! Look-ups in a file, CSV or Parquet, which is read again when it changes.
//!
//! All of its rows are in memory. A file that cannot be used, as it lacks a column or has two rows of one key, changes nothing: what was
//! read last goes on being answered, and counts as stale until the file is right again. Where nothing was read before, nothing is answered,
//! and that counts as failing. A row with a value that its column cannot hold exactly is left out alone.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod table_file;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use vitral_catalog::{Reference, reference};
use vitral_connect::memory::MemoryLookup;
use vitral_connect::{ConnectError, Lookup, with_causes};

pub use self::table_file::{FileError, Problem};
use self::table_file::{Stamp, TableFile};

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
struct State {
    /// None as long as the file could not be used even once.
    rows: Option<Arc<MemoryLookup>>,
    /// Of the file as it was read last, whether it could be used or not; none to read it whatever it is.
    stamp: Option<Stamp>,
    looked: Instant,
    is_reading: bool,
    /// What keeps the file, as it is now, from being used.
    problem: Option<String>,
}

impl FileLookup {
    /// Reads the table's file in the folder of reference tables. Blocks. A file that cannot be used is said in the log, and read again when
    /// it changes.
    ///
    /// # Errors
    /// The declaration is not of a file, or has no key.
    pub fn open(folder: &Path, table: &Reference) -> Result<Self, FileError> {
        let file = Arc::new(TableFile::new(folder, table)?);
        let state = State { rows: None, stamp: None, looked: Instant::now(), is_reading: true, problem: None };
        let state = Arc::new(Mutex::new(state));
        read_if_changed(&file, &state);
        Ok(Self { file, schema: reference::schema(table), look_every: LOOK_EVERY, state })
    }

    /// Everything that is wrong with the table's file. Blocks.
    ///
    /// # Errors
    /// The declaration is not of a file, or has no key.
    pub fn problems(folder: &Path, table: &Reference) -> Result<Vec<Problem>, FileError> {
        let file = TableFile::new(folder, table)?;
        Ok(match file.read() {
            Ok(read) => read.problems,
            Err(error) => vec![error.problem()],
        })
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
        tokio::task::spawn_blocking(move || read_if_changed(&file, &state));
    }
}

fn read_if_changed(file: &TableFile, state: &Mutex<State>) {
    let stamp = file.stamp();
    let known = lock(state).stamp;
    let outcome = match &stamp {
        Ok(stamp) if known == Some(*stamp) => None,
        Ok(_) => Some(file.read()),
        Err(_) => None,
    };
    let mut state = lock(state);
    state.is_reading = false;
    state.looked = Instant::now();
    match (stamp, outcome) {
        (Ok(stamp), Some(Ok(read))) => {
            if known.is_some() {
                tracing::info!(table = file.name(), file = %file.path().display(), "look-up table read again");
            }
            say_unusable(file, &read.problems);
            (state.stamp, state.rows, state.problem) = (Some(stamp), Some(Arc::new(read.rows)), None);
        }
        (Ok(stamp), Some(Err(error))) => {
            // The same content is not read again and again; what could not be opened is tried again.
            state.stamp = (!error.is_of_access()).then_some(stamp);
            state.fail(file, &error);
        }
        (Ok(_), None) => {}
        (Err(error), _) => {
            state.stamp = None;
            state.fail(file, &error);
        }
    }
}

/// Rows that cannot be used are left out.
fn say_unusable(file: &TableFile, problems: &[Problem]) {
    let Some(first) = problems.first() else { return };
    tracing::error!(
        table = file.name(),
        file = %file.path().display(),
        rows = problems.len(),
        first = %first.words(),
        "rows of a look-up table cannot be used: their keys are unknown"
    );
}

impl State {
    /// Says what is wrong, once for each problem.
    fn fail(&mut self, file: &TableFile, error: &FileError) {
        let words = with_causes(error);
        if self.problem.as_ref() != Some(&words) {
            let then = match self.rows {
                Some(_) => "look-up table cannot be read again: what was read before is used",
                None => "look-up table cannot be read: its columns are null until it can",
            };
            tracing::error!(table = file.name(), error = words, "{then}");
        }
        self.problem = Some(words);
    }
}

#[async_trait]
impl Lookup for FileLookup {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        self.look();
        let rows = {
            let state = lock(&self.state);
            match (&state.rows, &state.problem) {
                (Some(rows), _) => Arc::clone(rows),
                (None, problem) => {
                    let why = problem.as_deref().unwrap_or("the file was not read yet").to_owned();
                    return Err(ConnectError::permanent(why));
                }
            }
        };
        rows.get(keys).await
    }

    fn is_stale(&self) -> bool {
        lock(&self.state).problem.is_some()
    }
}

/// A panic between lock and unlock leaves plain values behind.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
