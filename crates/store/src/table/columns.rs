//! The columns of a stored table, compared with those that the catalog declares.

use arrow::datatypes::Schema;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::{DeltaTable, DeltaTableError, StructField};

use super::Table;
use crate::error::StoreError;

impl Table {
    /// Refuses a column of another type or one that the catalog dropped; adds a column that the table lacks.
    pub(super) async fn add_missing_columns(&mut self) -> Result<(), StoreError> {
        let failed = StoreError::table(&self.name, "compared with the catalog");
        let stored = stored_schema(&self.delta).map_err(&failed)?;
        self.check_types(&self.schema)?;
        let is_missing = |name: &str| stored.field_with_name(name).is_err();
        let missing = self.schema.fields().iter().filter(|field| is_missing(field.name()));
        let missing: Vec<_> = missing.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        if let Some(dropped) = stored.fields().iter().find(|field| self.schema.field_with_name(field.name()).is_err()) {
            return Err(StoreError::Incompatible {
                table: self.name.clone(),
                column: dropped.name().clone(),
                found: dropped.data_type().to_string(),
                wanted: "missing".to_owned(),
            });
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
                    found: found.data_type().to_string(),
                    wanted: field.data_type().to_string(),
                });
            }
        }
        Ok(())
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
