//! What is sent to the target of a view that is copied: its epochs, each of which is one commit
//! before anything of it is sent.
//!
//! An epoch holds the rows that have changed and those that are deleted, so that a second attempt
//! sends the same. What the target must hold is known from these rows: a base (the keys, each with
//! a hash of its row) and the epochs after it. Now and then a new base takes the place of what was
//! sent. `_sent` is the number of the last epoch that the target has taken.

mod rows;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::prelude::{col, lit};
use uuid::Uuid;

use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// The application whose version tells one commit from the next.
const WRITER: &str = "sink/escrita";
const SENT_FILE: &str = "_sent";
/// Whether the epoch was committed is looked up after an error, this often.
const LOOKS: usize = 3;

/// Some changes of a view, fixed before they are sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkEpoch {
    /// Rises with each epoch.
    pub number: u64,
    /// When it was decided, in milliseconds since the epoch of all clocks.
    pub at_ms: i64,
    /// How far what was read had come, as JSON.
    pub versions: String,
    /// The columns and the key, in a form of the epoch's writer.
    pub columns: String,
    /// Rows that are new or have changed.
    pub upserts: u64,
    /// Rows that are deleted.
    pub deletes: u64,
    /// Both.
    pub rows: Vec<RecordBatch>,
}

/// Everything that is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkState {
    /// What the target holds, or need not hold, as of an epoch: its keys.
    pub base: Option<SinkEpoch>,
    /// What came after, in order.
    pub epochs: Vec<SinkEpoch>,
}

/// The epochs of one view. One process writes it: the stream's.
#[derive(Debug)]
pub struct SinkLog {
    name: String,
    place: Location,
    table: Table,
}

impl SinkState {
    /// The number of the last epoch, or of the base; none before either.
    pub fn last(&self) -> Option<u64> {
        self.epochs.last().or(self.base.as_ref()).map(|epoch| epoch.number)
    }

    /// In what form the columns and the key were written last.
    pub fn columns(&self) -> Option<&str> {
        self.epochs.last().or(self.base.as_ref()).map(|epoch| epoch.columns.as_str())
    }
}

impl SinkLog {
    /// Opens the epochs of a view, or begins them.
    pub async fn open(store: &Location, view: &str) -> Result<Self, StoreError> {
        let (name, place) = (format!("sinks/{view}"), Layout::of(store).sink(view));
        let table = Table::open(&name, &place, rows::schema()).await?;
        Ok(Self { name, place, table })
    }

    /// All that is known.
    pub async fn read(&self) -> Result<SinkState, StoreError> {
        read(&self.name, &self.table).await
    }

    /// The last epoch that the target has taken; none before the first.
    pub async fn sent(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.place.read_text(SENT_FILE).await?.and_then(|text| text.trim().parse().ok()))
    }

    /// The target has taken this epoch.
    pub async fn set_sent(&self, number: u64) -> Result<(), StoreError> {
        self.place.write_text(SENT_FILE, &number.to_string()).await
    }

    /// One commit: the next epoch after `previous`. If another process has committed one in the
    /// meantime, this one has to stop.
    pub async fn append(&mut self, previous: Option<u64>, epoch: &SinkEpoch) -> Result<(), StoreError> {
        self.commit(previous, epoch, rows::CHANGES).await
    }

    /// The same for the first base.
    pub async fn begin(&mut self, base: &SinkEpoch) -> Result<(), StoreError> {
        self.commit(None, base, rows::BASE).await
    }

    async fn commit(&mut self, previous: Option<u64>, epoch: &SinkEpoch, kind: &'static str) -> Result<(), StoreError> {
        let application = self.name.clone();
        let committed = self.table.transaction(&application).await?;
        if committed.map(rows::unsigned) != previous {
            return Err(StoreError::Overtaken { table: self.name.clone() });
        }
        // By which this commit is known again. Of two that are under way together, only one
        // succeeds.
        let token = i64::from_ne_bytes(Uuid::new_v4().as_u64_pair().0.to_ne_bytes());
        let transactions = [(application, rows::signed(epoch.number)), (WRITER.to_owned(), token)];
        let rows = self.rows(epoch, kind)?;
        if let Err(error) = self.table.append(vec![rows], &transactions).await
            && !self.is_committed(token).await
        {
            return Err(error);
        }
        Ok(())
    }

    /// After an error whose outcome is unknown: whether the commit is there.
    async fn is_committed(&mut self, token: i64) -> bool {
        for _ in 0..LOOKS {
            if self.table.refresh().await.is_err() {
                continue;
            }
            if let Ok(committed) = self.table.transaction(WRITER).await {
                return committed == Some(token);
            }
        }
        false
    }

    /// One commit: this base takes the place of everything. All epochs must have been sent. The
    /// next epoch follows its number.
    pub async fn replace(&mut self, base: &SinkEpoch) -> Result<(), StoreError> {
        let rows = self.rows(base, rows::BASE)?;
        let number = (self.name.clone(), rows::signed(base.number));
        self.table.replace(col("epoca").lt_eq(lit(i64::MAX)), rows, &[number]).await?;
        self.table.vacuum().await.map(|_| ())
    }

    fn rows(&self, epoch: &SinkEpoch, kind: &'static str) -> Result<RecordBatch, StoreError> {
        rows::of(epoch, kind).map_err(|error| StoreError::read(&self.name)(error.into()))
    }
}

/// The epochs of a view, for reading; none before the first.
pub async fn read_sink(store: &Location, view: &str) -> Result<Option<SinkState>, StoreError> {
    let name = format!("sinks/{view}");
    match Table::read(&name, &Layout::of(store).sink(view)).await? {
        Some(table) => read(&name, &table).await.map(Some),
        None => Ok(None),
    }
}

async fn read(name: &str, table: &Table) -> Result<SinkState, StoreError> {
    let failed = StoreError::read(name);
    let found = read_session(1).read_table(table.provider().await?).map_err(&failed)?;
    let found = found.collect().await.map_err(&failed)?;
    rows::read(&found).map_err(|error| failed(error.into()))
}

/// Shared by the parts of this module.
fn text_column<'a>(values: impl Iterator<Item = &'a str>) -> arrow::array::ArrayRef {
    Arc::new(arrow::array::StringArray::from_iter_values(values))
}

#[cfg(test)]
mod tests;
