//! Tables of the catalogs from rows that say little: most columns have what is usual.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result as EngineResult;
use datafusion::scalar::ScalarValue;

/// The columns of a row that say something.
pub(super) type SaidRow = Vec<(&'static str, ScalarValue)>;

/// Rows of a table of the catalog: what a row does not say is null, or nothing of its kind.
pub(super) fn filled(schema: &SchemaRef, rows: &[SaidRow]) -> EngineResult<RecordBatch> {
    let column = |field: &FieldRef| -> EngineResult<ArrayRef> {
        let usual = usual(field)?;
        let value = |row: &SaidRow| match row.iter().find(|(name, _)| name == field.name()) {
            Some((_, value)) => value.cast_to(field.data_type()),
            None => Ok(usual.clone()),
        };
        let values: Vec<ScalarValue> = rows.iter().map(value).collect::<EngineResult<_>>()?;
        if values.is_empty() {
            return Ok(new_empty_array(field.data_type()));
        }
        ScalarValue::iter_to_array(values)
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect::<EngineResult<_>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn usual(field: &Field) -> EngineResult<ScalarValue> {
    match field.data_type() {
        _ if field.is_nullable() => ScalarValue::try_new_null(field.data_type()),
        DataType::Utf8 => Ok(ScalarValue::Utf8(Some(String::new()))),
        DataType::Boolean => Ok(ScalarValue::Boolean(Some(false))),
        other => ScalarValue::Int32(Some(0)).cast_to(other),
    }
}

pub(super) fn in_memory(rows: RecordBatch) -> EngineResult<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}
