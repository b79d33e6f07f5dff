//! Where a file's new rows go: into the history, many at a time, or into the place of what an
//! import had added, in one commit.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use futures::TryStreamExt;
use tempfile::NamedTempFile;
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;
use vitral_store::{History, StoreError};

use super::known::Known;
use super::{ImportError, failed};
use crate::error::BatchError;
use crate::unanswered::Unanswered;

/// Rows that a run has committed so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Committed {
    pub(super) counted: u64,
    pub(super) duplicate: u64,
    pub(super) unanswered: Unanswered,
}

#[expect(clippy::large_enum_variant, reason = "one for each file")]
pub(super) enum Sink {
    Append {
        /// The number of the last commit that is known of.
        seen: i64,
        /// Nothing is known of the file's rows, as there was nothing.
        is_first: bool,
    },
    /// In place of what these imports have added.
    Replace { taken: Vec<String>, spool: Spool },
}

/// Rows that wait on disk for their commit.
pub(super) struct Spool {
    file: NamedTempFile,
    writer: ArrowWriter<File>,
}

impl Spool {
    pub(super) fn new(schema: &SchemaRef, name: &str) -> Result<Self, BatchError> {
        let file = tempfile::Builder::new().suffix(".parquet").tempfile().map_err(ImportError::read(name))?;
        let handle = file.reopen().map_err(ImportError::read(name))?;
        let writer = ArrowWriter::try_new(handle, SchemaRef::clone(schema), None);
        Ok(Self { file, writer: writer.map_err(|error| failed(error.into()))? })
    }
}

impl Sink {
    /// Takes rows, and which could not be looked up; false where another import has changed what is
    /// known of the file.
    pub(super) async fn put(
        &mut self,
        history: &mut History,
        (rows, unanswered): (&RecordBatch, &Unanswered),
        known: &mut Known,
        committed: &mut Committed,
    ) -> Result<bool, BatchError> {
        match self {
            Self::Replace { spool, .. } => {
                spool.writer.write(rows).map_err(|error| failed(error.into()))?;
                Ok(true)
            }
            Self::Append { seen, is_first } => {
                let is_in = append(history, rows, seen, known, *is_first).await?;
                if is_in {
                    committed.add(rows);
                    committed.unanswered.add(unanswered);
                }
                Ok(is_in)
            }
        }
    }

    /// After the last row; false where another import has changed what is known of the file.
    pub(super) async fn finish(self, history: &mut History) -> Result<bool, BatchError> {
        let Self::Replace { taken, spool: Spool { file, writer } } = self else { return Ok(true) };
        writer.close().map_err(|error| failed(error.into()))?;
        let path: &Path = file.path();
        let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
        match history.replace(&taken, path).await {
            Ok(()) => Ok(true),
            Err(StoreError::Overtaken { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Committed {
    fn add(&mut self, rows: &RecordBatch) {
        let verdicts = rows.column_by_name(history_columns::VERDICT).map(|column| column.as_string::<i32>());
        for verdict in verdicts.into_iter().flat_map(|verdicts| verdicts.iter().flatten()) {
            self.counted += u64::from(verdict == Verdict::Counted.name());
            self.duplicate += u64::from(verdict == Verdict::Duplicate.name());
        }
    }
}

async fn append(
    history: &mut History,
    rows: &RecordBatch,
    seen: &mut i64,
    known: &mut Known,
    is_first: bool,
) -> Result<bool, BatchError> {
    loop {
        match history.append(rows).await {
            Ok(()) => {
                *seen = history.sequence().await?;
                return Ok(true);
            }
            Err(StoreError::Overtaken { .. }) if is_first => return Ok(false),
            Err(StoreError::Overtaken { .. }) => {
                let mut others = history.identities(*seen).await?;
                *seen = history.sequence().await?;
                let mut is_touched = false;
                while let Some(batch) = others.try_next().await.map_err(failed)? {
                    is_touched |= known.learn(&batch, &[]);
                }
                if is_touched {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
