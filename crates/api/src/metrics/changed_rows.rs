//! Which of the rows of sessions a live stream has not sent yet.

use std::collections::HashSet;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use vitral_query::QueryError;

/// What the reader has of the rows of the last message: as many as a message may hold.
#[derive(Default)]
pub(super) struct ChangedRows {
    known: HashSet<OwnedRow>,
}

impl ChangedRows {
    /// The rows that are not as they were at the last call.
    pub(super) fn of(&mut self, rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let schema = rows.schema();
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converted = RowConverter::new(fields.collect())?.convert_columns(rows.columns())?;
        let now: Vec<OwnedRow> = converted.iter().map(|row| row.owned()).collect();
        let is_new: BooleanArray = now.iter().map(|row| Some(!self.known.contains(row))).collect();
        self.known = now.into_iter().collect();
        Ok(filter_record_batch(rows, &is_new)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};

    use super::*;

    fn rows(of: &[(&str, i64)]) -> RecordBatch {
        let users = StringArray::from_iter_values(of.iter().map(|(user, _)| *user));
        let counts = Int64Array::from_iter_values(of.iter().map(|(_, count)| *count));
        let columns: [(&str, ArrayRef); 2] = [("id_usuario", Arc::new(users)), ("eventos", Arc::new(counts))];
        RecordBatch::try_from_iter(columns).expect("rows")
    }

    #[test]
    fn a_row_is_sent_once_and_again_when_it_changes() {
        let mut changed = ChangedRows::default();
        let mut users = |of: &[(&str, i64)]| {
            let found = changed.of(&rows(of)).expect("rows");
            found.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(users(&[("a", 1), ("b", 1)]), ["a", "b"]);
        assert!(users(&[("a", 1), ("b", 1)]).is_empty());
        assert_eq!(users(&[("b", 2), ("a", 1), ("c", 1)]), ["b", "c"]);
    }
}
