//! Which row of a commit a table cannot take in, for people who have to correct it.

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;

use super::KeyedTable;
use super::sums::{drain, key_words};
use crate::archive::ArchiveReader;
use crate::error::StoreError;
use crate::keyed::source::{Range, stream_rows};

impl KeyedTable {
    /// The states of the rows of a few offsets, and the bounds of sums with them; an error if they
    /// cannot be made or do not merge with those that are there.
    pub(super) async fn states_that_fit(
        &self,
        archive: &ArchiveReader,
        ranges: &[Range],
    ) -> Result<(Vec<RecordBatch>, Vec<f64>), StoreError> {
        let rows = stream_rows(&self.plan.topic, archive, ranges, &self.logs).await?;
        let states = self.plan.partial(rows).map_err(self.failed())?;
        let states = self.plan.frame(states).collect().await.map_err(self.failed())?;
        let bounds = self.bounds_with(&states).await?;
        Ok((states, bounds))
    }

    /// The error with the first row that it is of, if rows are its cause: with those before it
    /// there is none.
    pub(super) async fn explained(&self, archive: &ArchiveReader, ranges: &[Range], error: StoreError) -> StoreError {
        let source = match error {
            StoreError::Read { source, .. } if is_of_rows(&source) => source,
            other => return other,
        };
        match self.culprit(archive, ranges).await {
            Ok(Some(which)) => self.not_kept(which, &source),
            Ok(None) => self.not_kept("the last rows".to_owned(), &source),
            // The store is away: the next attempt finds it.
            Err(error) => error,
        }
    }

    /// The first row that cannot be added, in words.
    async fn culprit(&self, archive: &ArchiveReader, ranges: &[Range]) -> Result<Option<String>, StoreError> {
        let mut before: Vec<Range> = Vec::new();
        for range in ranges {
            let mut with = before.clone();
            with.push(range.clone());
            if self.can_add(archive, &with).await? {
                before = with;
                continue;
            }
            // The rows before `good` can be added, those before `bad` cannot.
            let (mut good, mut bad) = (range.from, range.until);
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                let mut with = before.clone();
                with.push(Range { until: middle, ..range.clone() });
                if self.can_add(archive, &with).await? { good = middle } else { bad = middle }
            }
            let row = Range { from: good, until: bad, ..range.clone() };
            let key = self.key_of(archive, row).await?.map(|key| format!(" ({key})")).unwrap_or_default();
            let topic = &self.plan.topic.kafka_topic;
            return Ok(Some(format!("the row at offset {good} of partition {} of {topic}{key}", range.partition)));
        }
        Ok(None)
    }

    async fn can_add(&self, archive: &ArchiveReader, ranges: &[Range]) -> Result<bool, StoreError> {
        match self.states_that_fit(archive, ranges).await {
            Ok(_) => Ok(true),
            Err(StoreError::Read { source, .. }) if is_of_rows(&source) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The key of a row, where it has one that can be computed.
    async fn key_of(&self, archive: &ArchiveReader, row: Range) -> Result<Option<String>, StoreError> {
        let rows = stream_rows(&self.plan.topic, archive, &[row], &self.logs).await?;
        let Ok(keys) = self.plan.keys_of(rows) else { return Ok(None) };
        let Ok(keys) = self.plan.frame(keys).collect().await else { return Ok(None) };
        Ok(keys.iter().find(|batch| batch.num_rows() > 0).map(|batch| key_words(batch, 0)))
    }

    pub(super) fn not_kept(&self, which: String, source: &DataFusionError) -> StoreError {
        StoreError::NotKept { table: self.plan.view.name.clone(), which, reason: vitral_engine::words(source) }
    }

    /// What a failed write says of its rows, which the writer keeps to itself; else its own error.
    pub(super) async fn error_of_rows(&self, rows: DataFrame, error: StoreError) -> StoreError {
        if error.is_conflict() || !matches!(error, StoreError::Table { .. }) {
            return error;
        }
        match drain(rows).await {
            Err(source) if is_of_rows(&source) => self.not_kept("rows that it was to take in".to_owned(), &source),
            _ => error,
        }
    }
}

/// Whether another attempt would fail in the same way.
fn is_of_rows(error: &DataFusionError) -> bool {
    !matches!(
        error.find_root(),
        DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::External(_)
            | DataFusionError::ResourcesExhausted(_)
            | DataFusionError::ParquetError(_)
    )
}
