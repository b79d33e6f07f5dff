//! A table as the reader of its live stream has it, while all of its rows fit into one message:
//! only then are rows that go known too.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use vitral_query::QueryError;

/// What has become of a table's rows since the last time.
pub(super) struct Changes {
    /// The rows that are new or not as they were.
    pub(super) rows: RecordBatch,
    /// The keys whose rows were removed.
    pub(super) removed: RecordBatch,
}

/// Each row by its key.
pub(super) struct Followed {
    keys: usize,
    key_schema: SchemaRef,
    of_keys: RowConverter,
    of_rows: RowConverter,
    known: HashMap<OwnedRow, OwnedRow>,
}

impl Followed {
    /// Nothing is known yet. The first `keys` columns are the key.
    pub(super) fn new(schema: &Schema, keys: usize) -> Result<Self, QueryError> {
        let fields: Vec<_> = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let key_fields = fields.iter().take(keys).cloned().collect();
        let key_schema = schema.project(&(0..keys).collect::<Vec<_>>())?.into();
        let of_keys = RowConverter::new(key_fields)?;
        Ok(Self { keys, key_schema, of_keys, of_rows: RowConverter::new(fields)?, known: HashMap::new() })
    }

    /// Takes all rows of the table as they are now.
    pub(super) fn update(&mut self, rows: &RecordBatch) -> Result<Changes, QueryError> {
        let keys = self.of_keys.convert_columns(&rows.columns()[..self.keys])?;
        let values = self.of_rows.convert_columns(rows.columns())?;
        let mut before = std::mem::take(&mut self.known);
        let mut has_changed = Vec::with_capacity(rows.num_rows());
        for (key, value) in keys.iter().zip(values.iter()) {
            let (key, value) = (key.owned(), value.owned());
            has_changed.push(before.remove(&key).as_ref() != Some(&value));
            self.known.insert(key, value);
        }
        let mut removed: Vec<OwnedRow> = before.into_keys().collect();
        removed.sort();
        let columns = self.of_keys.convert_rows(removed.iter().map(OwnedRow::row))?;
        let removed = RecordBatch::try_new(self.key_schema.clone(), columns)?;
        Ok(Changes { rows: filter_record_batch(rows, &BooleanArray::from(has_changed))?, removed })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};

    use super::*;

    fn levels(of: &[(&str, i64)]) -> RecordBatch {
        let products = StringArray::from_iter_values(of.iter().map(|(product, _)| *product));
        let levels = Int64Array::from_iter_values(of.iter().map(|(_, level)| *level));
        let columns: [(&str, ArrayRef); 2] = [("id_produto", Arc::new(products)), ("nivel", Arc::new(levels))];
        RecordBatch::try_from_iter(columns).expect("rows")
    }

    fn products(rows: &RecordBatch) -> Vec<&str> {
        rows.column(0).as_string::<i32>().iter().flatten().collect()
    }

    #[test]
    fn rows_that_change_come_and_go_are_told() {
        let mut followed = Followed::new(&levels(&[]).schema(), 1).expect("it can be followed");
        let mut update = |of: &[(&str, i64)]| followed.update(&levels(of)).expect("changes");
        let first = update(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!((products(&first.rows), first.removed.num_rows()), (vec!["a", "b", "c"], 0));
        let second = update(&[("b", 2), ("d", 1)]);
        assert_eq!((products(&second.rows), products(&second.removed)), (vec!["b", "d"], vec!["a", "c"]));
        let third = update(&[("a", 1), ("b", 2), ("d", 1)]);
        assert_eq!((products(&third.rows), third.removed.num_rows()), (vec!["a"], 0));
    }
}
