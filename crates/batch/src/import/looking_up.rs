//! Columns of imported rows that are looked up.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::{Import, failed};
use crate::error::BatchError;
use crate::unanswered::Unanswered;

impl Import {
    /// The rows with the columns that are looked up, where they count, and which of these have no
    /// answer.
    pub(super) async fn looked_up(&self, rows: RecordBatch) -> Result<(RecordBatch, Unanswered), BatchError> {
        let mut unanswered = Unanswered::default();
        if self.lookups.is_empty() {
            return Ok((rows, unanswered));
        }
        let failed = |source: ArrowError| failed(source.into());
        let first = rows.num_columns() - self.topic.columns.len();
        let own: Vec<usize> = (first..rows.num_columns()).collect();
        let verdicts = rows.column_by_name(history_columns::VERDICT).map(|column| column.as_string::<i32>());
        let counts: BooleanArray =
            verdicts.into_iter().flatten().map(|verdict| Some(verdict == Some(Verdict::Counted.name()))).collect();
        let found = self.lookups.find(&rows.project(&own).map_err(failed)?, &counts).await.map_err(failed)?;
        unanswered.add_found(&self.topic, &found);
        Ok((found.put_into(&rows, first).map_err(failed)?, unanswered))
    }
}
