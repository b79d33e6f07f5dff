//! What a sink's rows look like: their columns, their key, and how two rows are compared.

use std::hash::Hasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use siphasher::sip128::{Hasher128, SipHasher13};
use vitral_connect::{DELETED_COLUMN, written_type};

/// In a base: the hash of the row that has the key.
pub(super) const HASH_COLUMN: &str = "_hash";

/// Of one view with one key.
#[derive(Debug)]
pub(super) struct Shape {
    /// The columns as they are written, and whether the row is deleted.
    pub written: SchemaRef,
    /// Where the key's columns are.
    key: Vec<usize>,
    keys: RowConverter,
    rows: RowConverter,
}

impl Shape {
    /// Fails on a column that no target has a form for, or a key that is not there: both were an
    /// error when the process started.
    pub fn new(schema: &Schema, key: &[String]) -> Result<Self, String> {
        let mut fields = Vec::new();
        for field in schema.fields() {
            let Some(data_type) = written_type(field.data_type()) else {
                return Err(format!("column {} is {}, which cannot be copied", field.name(), field.data_type()));
            };
            fields.push(Field::new(field.name(), data_type, true));
        }
        let place = |name: &String| {
            let found = fields.iter().position(|field| field.name() == name);
            found.ok_or_else(|| format!("its rows have no column {name}"))
        };
        let key = key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let sorted = |field: &Field| SortField::new(field.data_type().clone());
        let converter = |fields| RowConverter::new(fields).map_err(|error| error.to_string());
        let keys = converter(key.iter().map(|place| sorted(&fields[*place])).collect())?;
        let rows = converter(fields.iter().map(sorted).collect())?;
        fields.push(Field::new(DELETED_COLUMN, DataType::Boolean, false));
        Ok(Self { written: Arc::new(Schema::new(fields)), key, keys, rows })
    }

    /// The columns and the key, as they are kept with each epoch.
    pub fn describe(&self) -> String {
        let columns: serde_json::Map<_, _> =
            self.columns().map(|field| (field.name().clone(), field.data_type().to_string().into())).collect();
        let key: Vec<&str> = self.key.iter().map(|place| self.written.field(*place).name().as_str()).collect();
        serde_json::json!({ "chave": key, "colunas": columns }).to_string()
    }

    /// Why what was written earlier cannot be deleted on with; none if it can. Columns may be new.
    pub fn differs_from(&self, described: &str) -> Option<String> {
        let earlier: serde_json::Value = serde_json::from_str(described).ok()?;
        let now: serde_json::Value = serde_json::from_str(&self.describe()).ok()?;
        if !earlier["chave"].is_null() && earlier["chave"] != now["chave"] {
            return Some(format!("its key was {}, and now it is {}", earlier["chave"], now["chave"]));
        }
        let (earlier, now) = (earlier["colunas"].as_object()?, now["colunas"].as_object()?);
        let mut differing = earlier.iter().filter(|(name, data_type)| now.get(*name) != Some(data_type));
        differing.next().map(|(name, data_type)| match now.get(name) {
            None => format!("its column {name} was copied, and its rows no longer have it"),
            Some(now) => format!("its column {name} was {data_type}, and now it is {now}"),
        })
    }

    fn columns(&self) -> impl Iterator<Item = &Field> {
        self.written.fields().iter().map(|field| field.as_ref()).filter(|field| field.name() != DELETED_COLUMN)
    }

    /// The columns of a view's rows, as they are written.
    pub fn cast(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.columns().zip(batch.columns());
        columns.map(|(field, column)| cast(column, field.data_type())).collect()
    }

    /// The columns of rows that were written once; those that are new since then are null.
    pub fn as_written(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
        let column = |field: &Field| match batch.column_by_name(field.name()) {
            Some(column) => cast(column, field.data_type()),
            None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        };
        self.columns().map(column).collect()
    }

    /// The keys of rows, in a form that can be compared; and which of them are null in part.
    pub fn keys_of(&self, columns: &[ArrayRef]) -> Result<(Rows, Vec<bool>), ArrowError> {
        let key: Vec<ArrayRef> = self.key.iter().map(|place| Arc::clone(&columns[*place])).collect();
        let count = key.first().map_or(0, |column| column.len());
        let is_null = (0..count).map(|row| key.iter().any(|column| column.is_null(row))).collect();
        Ok((self.keys.convert_columns(&key)?, is_null))
    }

    /// The keys of a base, in the same form.
    pub fn keys_of_base(&self, base: &RecordBatch) -> Result<Rows, ArrowError> {
        let count = base.num_columns().saturating_sub(1);
        self.keys.convert_columns(&base.columns()[..count])
    }

    /// A hash of each row, the same in every process.
    pub fn hashes_of(&self, columns: &[ArrayRef]) -> Result<Vec<u128>, ArrowError> {
        let rows = self.rows.convert_columns(columns)?;
        let hash = |row: arrow::row::Row<'_>| {
            let mut hasher = SipHasher13::new();
            hasher.write(row.as_ref());
            hasher.finish128().as_u128()
        };
        Ok(rows.iter().map(hash).collect())
    }

    /// Keys as columns again.
    fn key_columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.keys.parser();
        self.keys.convert_rows(keys.map(|key| parser.parse(key)))
    }

    /// Rows that are deleted: their keys alone.
    pub fn deleted<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch, ArrowError> {
        let keys = self.key_columns(keys)?;
        let count = keys.first().map_or(0, |column| column.len());
        let mut columns: Vec<ArrayRef> =
            self.columns().map(|field| arrow::array::new_null_array(field.data_type(), count)).collect();
        for (place, column) in self.key.iter().zip(keys) {
            columns[*place] = column;
        }
        self.batch(columns, true)
    }

    /// Rows as they are written.
    pub fn batch(&self, mut columns: Vec<ArrayRef>, is_deleted: bool) -> Result<RecordBatch, ArrowError> {
        let count = columns.first().map_or(0, |column| column.len());
        columns.push(Arc::new(arrow::array::BooleanArray::from(vec![is_deleted; count])));
        RecordBatch::try_new(Arc::clone(&self.written), columns)
    }

    /// Keys, each with its row's hash.
    pub fn base(&self, rows: &[(&[u8], u128)]) -> Result<RecordBatch, ArrowError> {
        let mut columns = self.key_columns(rows.iter().map(|row| row.0))?;
        let names = self.key.iter().map(|place| self.written.field(*place).clone());
        let mut fields: Vec<Field> = names.collect();
        fields.push(Field::new(HASH_COLUMN, DataType::Binary, false));
        columns.push(Arc::new(arrow::array::BinaryArray::from_iter_values(
            rows.iter().map(|(_, hash)| hash.to_be_bytes()),
        )));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}
