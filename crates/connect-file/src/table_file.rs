//! A table's file: its rows by key, and what is wrong with it, by place.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use vitral_catalog::reference::{Misfit, Place};
use vitral_catalog::{Reference, reference};
use vitral_connect::memory::MemoryLookup;
use vitral_connect::with_causes;

/// Tells one state of a file from the next; none is a missing file, which is an empty table if it
/// never was there.
pub(super) type Stamp = Option<(SystemTime, u64)>;

#[derive(Debug)]
pub(super) struct TableFile {
    folder: PathBuf,
    path: PathBuf,
    table: Reference,
    key: String,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) rows: MemoryLookup,
    /// Of rows that were left out.
    pub(super) problems: Vec<Problem>,
}

/// Something wrong in a look-up table's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it; none for the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub why: String,
}

impl Problem {
    /// Its place in the file, and what is wrong.
    pub fn words(&self) -> String {
        self.place.map_or_else(|| self.why.clone(), |place| format!("{place}: {}", self.why))
    }
}

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
    #[error(
        "{path}, the file of look-up table {table}, has two rows with the {key} {value}, {} and {}: leave one of them out",
        .places[0],
        .places[1]
    )]
    Twice {
        /// The table.
        table: String,
        /// The file.
        path: PathBuf,
        /// The key's column.
        key: String,
        /// The key.
        value: String,
        /// The first of them, and the second.
        places: Box<[Place; 2]>,
    },
    /// It was there before: a table without rows would say that nobody has any.
    #[error("{path}, the file of look-up table {table}, is not there any more: put it back")]
    Lost {
        /// The table.
        table: String,
        /// The file.
        path: PathBuf,
    },
    /// The declaration has no file or no key.
    #[error("{0} is not a look-up table of a file")]
    NotAFile(String),
}

impl FileError {
    /// Whether the file could not be opened or read to its end, whatever is in it.
    pub(super) fn is_of_access(&self) -> bool {
        matches!(self, Self::Read { source: ArrowError::IoError(..), .. })
    }

    /// The same by its place.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Read { path, .. } => Problem { path: path.clone(), place: None, why: with_causes(self) },
            Self::Twice { path, places, key, value, .. } => {
                let [first, second] = **places;
                let why = format!("a second row has the {key} {value}, which {first} has");
                Problem { path: path.clone(), place: Some(second), why }
            }
            Self::Lost { path, .. } => Problem { path: path.clone(), place: None, why: self.to_string() },
            Self::NotAFile(name) => Problem { path: PathBuf::from(name), place: None, why: self.to_string() },
        }
    }
}

impl TableFile {
    pub(super) fn new(folder: &Path, table: &Reference) -> Result<Self, FileError> {
        let (Some(path), Some(lookup)) = (&table.path, &table.lookup) else {
            return Err(FileError::NotAFile(table.name.clone()));
        };
        let (folder, path, key) = (folder.to_owned(), folder.join(path), lookup.key.clone());
        let mut table = table.clone();
        if table.columns.iter().all(|column| column.name != key) {
            return Err(FileError::NotAFile(table.name));
        }
        // One that is absent would be null for every key, as if nobody had a value.
        for column in &mut table.columns {
            column.needed = true;
        }
        Ok(Self { folder, path, table, key })
    }

    pub(super) fn name(&self) -> &str {
        &self.table.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn stamp(&self) -> Result<Stamp, FileError> {
        match std::fs::metadata(&self.path).and_then(|found| Ok((found.modified()?, found.len()))) {
            Ok(stamp) => Ok(Some(stamp)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(error.into())),
        }
    }

    /// Why a file that is missing now cannot be read, as it was there before.
    pub(super) fn lost(&self) -> FileError {
        FileError::Lost { table: self.table.name.clone(), path: self.path.clone() }
    }

    pub(super) fn read(&self) -> Result<Read, FileError> {
        let unread = |source| self.unread(source);
        let read = reference::read_lenient(&self.folder, &self.table).map_err(unread)?;
        let rows = concat_batches(&reference::schema(&self.table), &read.batches).map_err(unread)?;
        let keys = rows.column_by_name(&self.key).ok_or_else(|| FileError::NotAFile(self.table.name.clone()))?;
        let keys = cast(keys, &DataType::Utf8).map_err(unread)?;
        let keys = keys.as_string::<i32>();
        self.refuse_twice(keys, &read)?;
        let mut unusable: BTreeMap<usize, &Misfit> = BTreeMap::new();
        for misfit in &read.misfits {
            unusable.entry(misfit.row).or_insert(misfit);
        }
        let problems = unusable.values().map(|Misfit { row, column, why }| {
            let of = keys
                .is_valid(*row)
                .then(|| keys.value(*row))
                .map(|key| format!("{} {key}, ", self.key))
                .unwrap_or_default();
            let why = format!("{of}column {column}: {why}");
            Problem { path: self.path.clone(), place: Some(read.place(*row)), why }
        });
        let problems: Vec<Problem> = problems.collect();
        let rows = Self::without(&rows, &unusable).map_err(unread)?;
        let rows = MemoryLookup::new(&rows, &self.key);
        let rows = rows.map_err(|error| self.unread(ArrowError::ExternalError(Box::new(error))))?;
        Ok(Read { rows, problems })
    }

    /// Every row; a value that its column cannot hold exactly is an error.
    pub(super) fn read_whole(&self) -> Result<Vec<RecordBatch>, FileError> {
        reference::read(&self.folder, &self.table).map_err(|source| self.unread(source))
    }

    fn without(rows: &RecordBatch, unusable: &BTreeMap<usize, &Misfit>) -> Result<RecordBatch, ArrowError> {
        if unusable.is_empty() {
            return Ok(rows.clone());
        }
        let is_usable: BooleanArray = (0..rows.num_rows()).map(|row| Some(!unusable.contains_key(&row))).collect();
        filter_record_batch(rows, &is_usable)
    }

    fn refuse_twice(&self, keys: &StringArray, read: &reference::Rows) -> Result<(), FileError> {
        let mut seen = HashMap::new();
        for (row, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            if let Some(first) = seen.insert(key, row) {
                return Err(FileError::Twice {
                    table: self.table.name.clone(),
                    path: self.path.clone(),
                    key: self.key.clone(),
                    value: key.to_owned(),
                    places: Box::new([read.place(first), read.place(row)]),
                });
            }
        }
        Ok(())
    }

    fn unread(&self, source: ArrowError) -> FileError {
        FileError::Read { table: self.table.name.clone(), path: self.path.clone(), source }
    }
}
