//! Look-ups in a file, CSV or Parquet, which is read again when it changes.
//!
//! All of its rows are in memory. Those who ask more than a second after the last look wait until
//! the file was looked at and, where it has changed, read: at most for the table's timeout, then
//! what was read before is answered, and counts as stale. A file that cannot be used, as it lacks a
//! column, has two rows of one key or is there no longer, changes nothing: what was read last goes
//! on being answered, and counts as stale until the file is right again. Where nothing was read
//! before, nothing is answered, and that counts as failing. A file that never was there is an empty
//! table. A row with a value that its column cannot hold exactly is left out alone.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod table_file;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use vitral_catalog::{Reference, reference};
use vitral_connect::memory::MemoryLookup;
use vitral_connect::{ConnectError, Lookup, with_causes};

pub use self::table_file::{FileError, Problem};
use self::table_file::{Stamp, TableFile};

/// How old a look may be: rows that come this much later than a change have what the file says
/// then.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look-up over the rows of a file.
#[derive(Debug)]
pub struct FileLookup {
    file: Arc<TableFile>,
    schema: SchemaRef,
    look_every: Duration,
    /// How long a look, and what it reads, is waited for.
    timeout: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// None as long as the file could not be used even once.
    rows: Option<Arc<MemoryLookup>>,
    /// Of the file as it was read last, whether it could be used or not; none to read it whatever
    /// it is.
    stamp: Option<Stamp>,
    /// Whether the file was ever there.
    was_there: bool,
    /// When the last look began that is over.
    looked: Instant,
    /// The look that is under way.
    look: Option<Look>,
    /// Whether that one has taken longer than it is waited for.
    is_late: bool,
    /// What keeps the file, as it is now, from being used.
    problem: Option<String>,
}

/// Ends with its sender.
type Look = watch::Receiver<()>;

impl FileLookup {
    /// Reads the table's file in the folder of reference tables. Blocks. A file that cannot be used
    /// is said in the log, and read again when it changes.
    ///
    /// # Errors
    /// The declaration is not of a file, or has no key.
    pub fn open(folder: &Path, table: &Reference) -> Result<Self, FileError> {
        let file = Arc::new(TableFile::new(folder, table)?);
        let state = State {
            rows: None,
            stamp: None,
            was_there: false,
            looked: Instant::now(),
            look: None,
            is_late: false,
            problem: None,
        };
        let state = Arc::new(Mutex::new(state));
        read_if_changed(&file, &state);
        let timeout_ms = table.lookup.as_ref().map_or(0, |lookup| lookup.timeout_ms);
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default());
        Ok(Self { file, schema: reference::schema(table), look_every: LOOK_EVERY, timeout, state })
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

    /// Returns once the last look is recent enough for who asks now, or has taken too long: then
    /// what was read before is answered.
    async fn look(&self) {
        let asked = Instant::now();
        let looks = async {
            while let Some(mut look) = self.due(asked) {
                // An error is its end.
                while look.changed().await.is_ok() {}
            }
        };
        if tokio::time::timeout(self.timeout, looks).await.is_err() {
            let mut state = lock(&self.state);
            state.is_late = state.look.is_some();
        }
    }

    /// The look that must be waited for; it is begun here if none is under way.
    fn due(&self, asked: Instant) -> Option<Look> {
        let mut state = lock(&self.state);
        if state.looked + self.look_every > asked {
            return None;
        }
        // One that has ended otherwise is begun again.
        if let Some(look) = state.look.as_ref().filter(|look| look.has_changed().is_ok()) {
            return (!state.is_late).then(|| look.clone());
        }
        let (end, look) = watch::channel(());
        state.look = Some(look.clone());
        let (file, state) = (Arc::clone(&self.file), Arc::clone(&self.state));
        tokio::task::spawn_blocking(move || {
            read_if_changed(&file, &state);
            drop(end);
        });
        Some(look)
    }
}

fn read_if_changed(file: &TableFile, state: &Mutex<State>) {
    let began = Instant::now();
    let (known, was_there) = {
        let state = lock(state);
        (state.stamp, state.was_there)
    };
    let stamp = match file.stamp() {
        Ok(None) if was_there => Err(file.lost()),
        stamp => stamp,
    };
    let outcome = match &stamp {
        Ok(stamp) if known == Some(*stamp) => None,
        Ok(_) => Some(file.read()),
        Err(_) => None,
    };
    // It may have been lost since it was looked at, which reads as an empty table.
    let stamp = match (stamp, file.stamp()) {
        (Ok(Some(_)), Ok(None)) => Err(file.lost()),
        (stamp, _) => stamp,
    };
    let mut state = lock(state);
    (state.look, state.is_late, state.looked) = (None, false, began);
    state.was_there |= matches!(stamp, Ok(Some(_)));
    match (stamp, outcome) {
        (Ok(stamp), Some(Ok(read))) => {
            if known.is_some() {
                tracing::info!(table = file.name(), file = %file.path().display(), "look-up table read again");
            }
            say_unusable(file, &read.problems);
            (state.stamp, state.rows, state.problem) = (Some(stamp), Some(Arc::new(read.rows)), None);
        }
        (Ok(stamp), Some(Err(error))) => {
            // The same content is not read again and again; what could not be opened is tried
            // again.
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
        self.look().await;
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

    /// As the file stands, read exactly: here no row is left out.
    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        let file = Arc::clone(&self.file);
        let read = async move {
            let read = tokio::task::spawn_blocking(move || file.read_whole()).await.map_err(ConnectError::permanent)?;
            read.map_err(|error| ConnectError::permanent(with_causes(&error)))
        };
        let batches = stream::once(read).flat_map(|read| match read {
            Ok(batches) => stream::iter(batches.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        batches.boxed()
    }

    fn is_stale(&self) -> bool {
        let state = lock(&self.state);
        state.problem.is_some() || state.is_late
    }
}

/// A panic between lock and unlock leaves plain values behind.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
