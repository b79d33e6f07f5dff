//! The columns of a stored table, compared with those that the catalog declares.

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::lit;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::{DeltaTable, DeltaTableError, StructField};

use super::Table;
use crate::error::StoreError;

/// What becomes of a stored column that is not declared any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undeclared {
    /// An error.
    Refused,
    /// It stays, and new rows have null in it.
    Kept,
}

impl Table {
    /// Refuses a column of another type; adds a column that the table lacks.
    pub(super) async fn add_missing_columns(&mut self, undeclared: Undeclared) -> Result<(), StoreError> {
        let failed = StoreError::table(&self.name, "compared with the catalog");
        let stored = stored_schema(&self.delta).map_err(&failed)?;
        self.check_types(&self.schema)?;
        let is_missing = |name: &str| stored.field_with_name(name).is_err();
        let missing = self.schema.fields().iter().filter(|field| is_missing(field.name()));
        let missing: Vec<_> = missing.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        for dropped in stored.fields().iter().filter(|field| self.schema.field_with_name(field.name()).is_err()) {
            let (table, column) = (self.name.clone(), dropped.name().clone());
            if undeclared == Undeclared::Refused {
                let (found, wanted) = (type_words(dropped.data_type()), "missing".to_owned());
                return Err(StoreError::Incompatible { table, column, found, wanted });
            }
            if !dropped.is_nullable() {
                return Err(StoreError::Needed { table, column });
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let fields = delta_fields(&Schema::new(missing)).map_err(|source| failed(source.into()))?;
        self.delta = self
            .delta
            .clone()
            .add_columns()
            .with_fields(fields)
            .await
            .map_err(StoreError::table(&self.name, "given its new columns"))?;
        Ok(())
    }
}

impl Table {
    /// The columns that it has, as of the last commit seen here.
    pub(crate) fn stored_schema(&self) -> Result<Schema, StoreError> {
        stored_schema(&self.delta).map_err(StoreError::table(&self.name, "asked for its columns"))
    }

    /// Refuses a column that has another type there than in `wanted`.
    pub(crate) fn check_types(&self, wanted: &Schema) -> Result<(), StoreError> {
        let stored = stored_schema(&self.delta).map_err(StoreError::table(&self.name, "compared with the catalog"))?;
        for field in wanted.fields() {
            if let Ok(found) = stored.field_with_name(field.name())
                && found.data_type() != field.data_type()
            {
                return Err(StoreError::Incompatible {
                    table: self.name.clone(),
                    column: field.name().clone(),
                    found: type_words(found.data_type()),
                    wanted: type_words(field.data_type()),
                });
            }
        }
        Ok(())
    }

    /// The same rows with null in the columns that the table has besides theirs.
    pub(super) fn filled_up(&self, rows: RecordBatch) -> Result<RecordBatch, StoreError> {
        let lacking = self.lacking(&rows.schema())?;
        if lacking.is_empty() {
            return Ok(rows);
        }
        let mut columns = rows.columns().to_vec();
        columns.extend(lacking.iter().map(|field| new_null_array(field.data_type(), rows.num_rows())));
        let fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().chain(lacking).collect();
        RecordBatch::try_new(Schema::new(fields).into(), columns)
            .map_err(|source| StoreError::read(&self.name)(source.into()))
    }

    /// The same for the rows of a plan.
    pub(super) fn filled_up_by_plan(&self, mut rows: DataFrame) -> Result<DataFrame, StoreError> {
        let failed = StoreError::read(&self.name);
        for field in self.lacking(rows.schema().as_arrow())? {
            let nothing = ScalarValue::try_from(field.data_type()).map_err(&failed)?;
            rows = rows.with_column(field.name(), lit(nothing)).map_err(&failed)?;
        }
        Ok(rows)
    }

    /// The table's columns that are not among these and may be null.
    fn lacking(&self, found: &Schema) -> Result<Vec<FieldRef>, StoreError> {
        let stored = self.stored_schema()?;
        let lacking = stored.fields().iter().filter(|field| found.field_with_name(field.name()).is_err());
        Ok(lacking.filter(|field| field.is_nullable()).cloned().collect())
    }
}

/// The columns that a table has, as its last commit seen here says.
pub(super) fn stored_schema(delta: &DeltaTable) -> Result<Schema, DeltaTableError> {
    Ok(delta.snapshot()?.schema().as_ref().try_into_arrow()?)
}

/// Columns as Delta declares them.
pub(super) fn delta_fields(schema: &Schema) -> Result<Vec<StructField>, arrow::error::ArrowError> {
    schema.fields().iter().map(|field| field.as_ref().try_into_kernel()).collect()
}

/// A type of a column as SQL calls it.
pub(crate) fn type_words(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => "TEXT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        other => other.to_string(),
    }
}
