//! What a look-up's system says in texts, as typed columns: exact, or refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use vitral_schemas::exact;
use vitral_schemas::lookup::LookupTable;

use crate::ConnectError;

/// How often rows of a table that cannot be used are said in the log.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The columns of what is found in a look-up table.
pub fn table_schema(table: &LookupTable) -> SchemaRef {
    let fields = table.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows of texts in a table's columns, to be ordered by keys.
#[derive(Debug)]
pub struct Texts<'a> {
    table: &'a LookupTable,
    rows: Vec<Vec<Option<String>>>,
    /// Rows that cannot be used, and why.
    unusable: BTreeMap<usize, String>,
}

impl<'a> Texts<'a> {
    /// Rows with a text for each column of the table.
    pub fn new(table: &'a LookupTable, rows: Vec<Vec<Option<String>>>) -> Self {
        Self { table, rows, unusable: BTreeMap::new() }
    }

    /// A row more, with a text for each column.
    pub fn add(&mut self, row: Vec<Option<String>>) {
        self.rows.push(row);
    }

    /// A row that is there and cannot be used, and why: its key has no row.
    pub fn add_unusable(&mut self, key: Option<String>, why: String) {
        let columns = self.table.columns.iter();
        let row = columns.map(|column| key.clone().filter(|_| column.name == self.table.key)).collect();
        self.unusable.insert(self.rows.len(), why);
        self.rows.push(row);
    }

    /// One row for each key, in the keys' order; a row of nulls for a key that is not among the
    /// rows, or whose row cannot be used: with a value that is not of its column's type, or not
    /// exactly, or with a second row of the key. Others are not touched by that.
    ///
    /// # Errors
    /// The keys cannot be compared.
    pub fn for_keys(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let schema = table_schema(self.table);
        let mut unusable = self.unusable.clone();
        let columns = (0..self.table.columns.len()).map(|index| self.column(index, &mut unusable)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(ConnectError::permanent)?;
        let key = schema.index_of(&self.table.key).map_err(ConnectError::permanent)?;
        // As texts, and as its type writes them: 007 is the number 7.
        let own = cast(rows.column(key), &DataType::Utf8).map_err(ConnectError::permanent)?;
        let mut by_key = HashMap::new();
        for (row, key) in own.as_string::<i32>().iter().enumerate() {
            if let Some(key) = key
                && let Some(first) = by_key.insert(key, row)
            {
                let why = format!("two rows have the key {key}");
                unusable.insert(first, why.clone());
                unusable.insert(row, why);
            }
        }
        if let Some(why) = unusable.values().next()
            && may_say(&self.table.name)
        {
            tracing::warn!(table = self.table.name, rows = unusable.len(), why, "rows cannot be used in look-ups");
        }
        by_key.retain(|_, row| !unusable.contains_key(row));
        let keys = cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)?;
        let place = |key: Option<&str>| key.and_then(|key| by_key.get(key)).map(|row| *row as u64);
        let places: UInt64Array = keys.as_string::<i32>().iter().map(place).collect();
        take_record_batch(&rows, &places).map_err(ConnectError::permanent)
    }

    /// All of the rows as they stand, those of one key and those without included.
    ///
    /// # Errors
    /// A row cannot be used: nothing says what it should be.
    pub fn whole(&self) -> Result<RecordBatch, ConnectError> {
        let mut unusable = self.unusable.clone();
        let columns = (0..self.table.columns.len()).map(|index| self.column(index, &mut unusable)).collect();
        if let Some((row, why)) = unusable.first_key_value() {
            let key = self.table.columns.iter().position(|column| column.name == self.table.key);
            let key = key.and_then(|key| self.rows[*row][key].as_deref()).unwrap_or("NULL");
            let words = format!("the row with the {} {key} cannot be read: {why}", self.table.key);
            return Err(ConnectError::permanent(words));
        }
        RecordBatch::try_new(table_schema(self.table), columns).map_err(ConnectError::permanent)
    }

    /// A column with null in the rows that cannot be used.
    fn column(&self, index: usize, unusable: &mut BTreeMap<usize, String>) -> ArrayRef {
        let column = &self.table.columns[index];
        let texts: StringArray = self.rows.iter().map(|row| row[index].as_deref()).collect();
        let (values, misfits) = exact::values(&texts, column.kind);
        unusable
            .extend(misfits.into_iter().map(|misfit| (misfit.row, format!("column {}: {}", column.name, misfit.why))));
        values
    }
}

/// Whether unusable rows of this table were not said for a while: where each key is asked for by
/// itself, each may have one.
fn may_say(table: &str) -> bool {
    static SAID: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = said.get(table).is_none_or(|said| said.elapsed() >= SAY_EVERY);
    if is_due {
        said.insert(table.to_owned(), Instant::now());
    }
    is_due
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array};
    use arrow::datatypes::Decimal128Type;
    use vitral_schemas::lookup::{LookupOrigin, OnFailure};
    use vitral_schemas::topic::{Column, ColumnKind};

    use super::*;

    fn table() -> LookupTable {
        LookupTable {
            name: "produtos".to_owned(),
            columns: vec![
                Column::new("id", ColumnKind::Integer),
                Column::new("preco", ColumnKind::Decimal { precision: 18, scale: 2 }),
                Column::new("desde", ColumnKind::Timestamp),
            ],
            key: "id".to_owned(),
            origin: LookupOrigin::File { path: "produtos.csv".to_owned() },
            cache_ms: 0,
            timeout_ms: 0,
            retries: 0,
            on_failure: OnFailure::Null,
        }
    }

    fn get(rows: &[[Option<&str>; 3]]) -> Result<RecordBatch, String> {
        let rows = rows.iter().map(|row| row.iter().map(|text| text.map(str::to_owned)).collect()).collect();
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(9), Some(1)]));
        let table = table();
        Texts::new(&table, rows).for_keys(&keys).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_become_typed_rows_in_the_keys_order() {
        let rows = get(&[
            [Some("1"), Some("10.500"), Some("2025-05-14T12:00:00Z")],
            [Some("2"), None, None],
            [None, Some("3"), None],
        ])
        .expect("rows");
        let keys: Vec<_> = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
        assert_eq!(keys, [Some(2), None, None, Some(1)]);
        assert_eq!(rows.column(1).as_primitive::<Decimal128Type>().value(3), 1_050);
        assert!(rows.column(1).is_null(0) && rows.column(2).is_valid(3));
    }

    #[test]
    fn a_whole_table_has_every_row_and_refuses_one_that_is_not_exact() {
        let whole = |rows: &[[Option<&str>; 3]]| {
            let rows = rows.iter().map(|row| row.iter().map(|text| text.map(str::to_owned)).collect()).collect();
            Texts::new(&table(), rows).whole().map_err(|error| error.to_string())
        };
        let rows = whole(&[[Some("1"), Some("1.5"), None], [Some("1"), None, None], [None; 3]]).expect("rows");
        assert_eq!((rows.num_rows(), rows.column(0).null_count()), (3, 1));
        let error = whole(&[[Some("1"), None, None], [Some("7"), Some("1.005"), None]]).expect_err("half a cent");
        assert!(error.contains("the row with the id 7 cannot be read: column preco: 1.005"), "{error}");
    }

    #[test]
    fn a_row_that_cannot_be_used_is_left_out_alone() {
        let good = [Some("2"), Some("3.10"), None];
        for bad in [
            vec![[Some("1"), Some("1.005"), None]],
            vec![[Some("1"), Some("caro"), None]],
            vec![[Some("1"), None, Some("ontem")]],
            vec![[Some("1"), Some("1"), None], [Some("01"), Some("1"), None]],
        ] {
            let rows: Vec<_> = bad.iter().copied().chain([good]).collect();
            let rows = get(&rows).expect("rows");
            assert!((0..3).all(|column| rows.column(column).is_null(3)), "{bad:?}");
            assert_eq!(rows.column(1).as_primitive::<Decimal128Type>().value(0), 310, "{bad:?}");
        }
        let rows = get(&[[Some("x"), Some("1"), None], good]).expect("rows");
        assert!(rows.column(0).is_valid(0) && rows.column(0).is_null(3));
    }
}
