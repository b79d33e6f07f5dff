//! Windows that a replay has changed and that are not published again yet, kept in the store: the
//! process that changed their rows may die before it recomputes them.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use serde::{Deserialize, Serialize};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_store::Location;

use crate::error::BatchError;

const FILE: &str = "replay-pending.json";

/// Event times of rows that came to count, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) oldest_ms: i64,
    pub(super) newest_ms: i64,
}

impl Pending {
    /// The event times of these rows; none without any.
    pub(super) fn of(topic: &Topic, rows: &RecordBatch) -> Option<Self> {
        let times = rows.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
        let (oldest_ms, newest_ms) = (min(times)?.div_euclid(MICROS_PER_MS), max(times)?.div_euclid(MICROS_PER_MS));
        Some(Self { oldest_ms, newest_ms })
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self { oldest_ms: self.oldest_ms.min(other.oldest_ms), newest_ms: self.newest_ms.max(other.newest_ms) }
    }

    /// Adds these times to what is pending.
    pub(super) async fn add(self, store: &Location) -> Result<(), BatchError> {
        let all = Self::read(store).await?.map_or(self, |known| known.with(self));
        let text = serde_json::to_string(&all).map_err(|source| damaged(store, source))?;
        Ok(store.write_text(FILE, &text).await?)
    }

    pub(super) async fn read(store: &Location) -> Result<Option<Self>, BatchError> {
        let Some(text) = store.read_text(FILE).await? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|source| damaged(store, source))
    }

    /// All of it is published.
    pub(super) async fn clear(store: &Location) -> Result<(), BatchError> {
        Ok(store.delete(FILE).await?)
    }
}

fn damaged(store: &Location, source: serde_json::Error) -> BatchError {
    BatchError::PendingReplay { file: FILE, folder: store.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn times_add_up_until_they_are_published() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        assert_eq!(Pending::read(&store).await.expect("read"), None);
        for (oldest_ms, newest_ms) in [(20, 30), (10, 25), (22, 40)] {
            Pending { oldest_ms, newest_ms }.add(&store).await.expect("added");
        }
        let all = Pending::read(&store).await.expect("read");
        assert_eq!(all, Some(Pending { oldest_ms: 10, newest_ms: 40 }));
        store.write_text(FILE, "{").await.expect("written");
        let error = Pending::read(&store).await.expect_err("damaged").to_string();
        assert!(error.contains(FILE) && error.contains("--repair"), "{error}");
        Pending::clear(&store).await.expect("deleted");
        assert_eq!(Pending::read(&store).await.expect("read"), None);
    }
}
