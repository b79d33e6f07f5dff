//! A look-up that always answers: from what it remembers, from its system, and where that fails, as
//! the table says.
//!
//! What was found is believed for a while, and so is that nothing was. Answers are remembered in
//! two generations, each of at most half of what fits: when the young one is full it becomes the
//! old one, and what the old one had is forgotten.

mod memory;
mod portions;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array, new_null_array};
use arrow::compute::{cast, filter_record_batch, interleave_record_batch, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use tokio::sync::Semaphore;
use vitral_schemas::lookup::OnFailure;

use self::memory::{Memory, Remembered};
use self::portions::{Gathered, gather};
use crate::{ConnectError, Lookup, with_causes};

/// How often a look-up that fails is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A look-up that never fails: what has no answer is null, or what was known last.
#[derive(Debug)]
pub struct TableLookup {
    name: String,
    inner: Box<dyn Lookup>,
    /// The column of what is found that holds its key.
    key: usize,
    cache: Option<Cache>,
    /// Of calls that wait for their answers.
    permits: Semaphore,
    logged: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Cache {
    memory: Mutex<Memory>,
    believed_for: Duration,
    on_failure: OnFailure,
}

/// What became of the keys of some rows; rows without a key are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LookupCounts {
    /// Rows with a key.
    pub asked: u64,
    /// Of those, rows whose key is unknown.
    pub unknown: u64,
    /// Rows for whose key there was no answer: they have null.
    pub failed: u64,
    /// Rows that got an older answer, as there was no newer one.
    pub stale: u64,
}

/// One row for each key, and what became of them.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) rows: RecordBatch,
    pub(crate) counts: LookupCounts,
}

/// Keys that must be asked for, each once, and the rows that wait for them.
#[derive(Default)]
struct Missing {
    /// A row of the batch for each key.
    first_rows: Vec<u64>,
    /// What was known of it and is not believed any more.
    earlier: Vec<Option<Remembered>>,
    /// Each row that waits, with the number of its key.
    waiting: Vec<(usize, usize)>,
}

/// Where each row's values are: in a batch of those that are at hand, of which the first has one
/// row, of nulls.
struct Places {
    batches: Vec<RecordBatch>,
    of_rows: Vec<(usize, usize)>,
}

const NOTHING: (usize, usize) = (0, 0);

impl TableLookup {
    /// Asks `inner`, which has everything at hand, for every batch: nothing is remembered.
    ///
    /// # Errors
    /// It has no column `key`.
    pub fn direct(name: &str, inner: Box<dyn Lookup>, key: &str) -> Result<Self, ConnectError> {
        let key = inner.schema().index_of(key).map_err(ConnectError::permanent)?;
        let permits = Semaphore::new(inner.portion().calls.max(1));
        Ok(Self { name: name.to_owned(), inner, key, cache: None, permits, logged: Mutex::default() })
    }

    /// Remembers what `inner` answers, and believes it for so long.
    ///
    /// # Errors
    /// It has no column `key`.
    pub fn cached(
        name: &str,
        inner: Box<dyn Lookup>,
        key: &str,
        believed_for: Duration,
        on_failure: OnFailure,
    ) -> Result<Self, ConnectError> {
        let memory = Mutex::new(Memory::new(&inner.schema()));
        let cache = Some(Cache { memory, believed_for, on_failure });
        Ok(Self { cache, ..Self::direct(name, inner, key)? })
    }

    /// The column of what is found with this name.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.inner.schema().index_of(name).ok()
    }

    /// One row for each key, in their order.
    pub(crate) async fn get(&self, keys: &ArrayRef) -> Answers {
        let outcome = match &self.cache {
            None => self.ask(keys).await,
            Some(cache) => self.recall(cache, keys).await,
        };
        outcome.unwrap_or_else(|error| {
            let asked = (keys.len() - keys.null_count()) as u64;
            self.log(&error, asked);
            let counts = LookupCounts { asked, failed: asked, ..LookupCounts::default() };
            Answers { rows: self.nothing(keys.len()), counts }
        })
    }

    async fn ask(&self, keys: &ArrayRef) -> Result<Answers, ConnectError> {
        let asked = keys.len() - keys.null_count();
        if asked == 0 {
            return Ok(Answers { rows: self.nothing(keys.len()), counts: LookupCounts::default() });
        }
        let rows = self.found(keys).await?;
        let known = rows.num_rows() - rows.column(self.key).null_count();
        let stale = if self.inner.is_stale() { known } else { 0 };
        let counts =
            LookupCounts { asked: asked as u64, unknown: (asked - known) as u64, failed: 0, stale: stale as u64 };
        Ok(Answers { rows, counts })
    }

    async fn recall(&self, cache: &Cache, keys: &ArrayRef) -> Result<Answers, ConnectError> {
        let texts = cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)?;
        let texts = texts.as_string::<i32>();
        let mut counts = LookupCounts::default();
        let (mut places, missing) = self.remembered(cache, texts, &mut counts);
        if !missing.first_rows.is_empty() {
            let wanted = UInt64Array::from(missing.first_rows.clone());
            let wanted = take(keys, &wanted, None).map_err(ConnectError::permanent)?;
            let found = gather(&*self.inner, &self.permits, &wanted, self.nothing(1)).await?;
            if let Some(error) = &found.error {
                self.log(error, (wanted.len() - found.is_answered.true_count()) as u64);
            }
            if let Err(error) = self.learn(cache, texts, &missing, &found) {
                self.log(&ConnectError::permanent(error), 0);
            }
            self.fill(cache, &missing, found, &mut places, &mut counts);
        }
        let batches: Vec<&RecordBatch> = places.batches.iter().collect();
        let rows = interleave_record_batch(&batches, &places.of_rows).map_err(ConnectError::permanent)?;
        Ok(Answers { rows, counts })
    }

    /// What is remembered of each row's key, and what must be asked for.
    fn remembered(&self, cache: &Cache, keys: &StringArray, counts: &mut LookupCounts) -> (Places, Missing) {
        let now = Instant::now();
        let mut missing = Missing::default();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let memory = cache.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_rows = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let Some(key) = key else {
                of_rows.push(NOTHING);
                continue;
            };
            counts.asked += 1;
            let known = memory.find(key);
            match known {
                Some(known) if now.duration_since(known.at) < cache.believed_for => {
                    counts.unknown += u64::from(known.place.is_none());
                    of_rows.push(known.place.unwrap_or(NOTHING));
                }
                known => {
                    let number = *numbers.entry(key).or_insert_with(|| {
                        missing.first_rows.push(row as u64);
                        missing.earlier.push(known);
                        missing.first_rows.len() - 1
                    });
                    missing.waiting.push((row, number));
                    of_rows.push(NOTHING);
                }
            }
        }
        // Places are counted from behind the row of nulls. What is asked for meanwhile may let the
        // memory forget: these stay.
        let batches = std::iter::once(self.nothing(1)).chain(memory.batches()).collect();
        (Places { batches, of_rows }, missing)
    }

    /// Remembers the keys that have an answer.
    fn learn(&self, cache: &Cache, keys: &StringArray, missing: &Missing, found: &Gathered) -> Result<(), ArrowError> {
        let answered = &found.is_answered;
        let rows = match answered.false_count() {
            0 => found.rows.clone(),
            _ => filter_record_batch(&found.rows, answered)?,
        };
        let is_known = rows.column(self.key);
        let is_known: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_known.is_valid(row))).collect();
        let names = missing.first_rows.iter().zip(answered.values()).filter(|(_, is_answered)| *is_answered);
        let names = names.map(|(row, _)| keys.value(usize::try_from(*row).unwrap_or_default()));
        let mut memory = cache.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.learn(names, &rows, &is_known, Instant::now())
    }

    /// Gives the rows that wait what was found for their keys, or what there is without an answer.
    fn fill(&self, cache: &Cache, missing: &Missing, found: Gathered, places: &mut Places, counts: &mut LookupCounts) {
        let batch = places.batches.len();
        let keys = found.rows.column(self.key);
        for (row, number) in &missing.waiting {
            if found.is_answered.value(*number) {
                counts.unknown += u64::from(keys.is_null(*number));
                places.of_rows[*row] = if keys.is_null(*number) { NOTHING } else { (batch, *number) };
                continue;
            }
            match missing.earlier[*number].filter(|_| cache.on_failure == OnFailure::Last) {
                Some(earlier) => {
                    counts.stale += 1;
                    places.of_rows[*row] = earlier.place.unwrap_or(NOTHING);
                }
                None => counts.failed += 1,
            }
        }
        places.batches.push(found.rows);
    }

    async fn found(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let rows = self.inner.get(keys).await?;
        if rows.num_rows() != keys.len() {
            return Err(ConnectError::permanent(format!("{} rows for {} keys", rows.num_rows(), keys.len())));
        }
        Ok(rows)
    }

    fn nothing(&self, rows: usize) -> RecordBatch {
        let schema = self.inner.schema();
        let columns = schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
        RecordBatch::try_new(schema, columns).expect("nullable columns of one length")
    }

    fn log(&self, error: &ConnectError, keys: u64) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            return;
        }
        *logged = Some(Instant::now());
        tracing::warn!(
            table = self.name,
            keys,
            error = with_causes(error),
            "look-ups fail; rows continue without them"
        );
    }
}

impl LookupCounts {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.stale += other.stale;
    }
}

#[cfg(test)]
mod tests;
