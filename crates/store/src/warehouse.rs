//! The port of the warehouse, where batch jobs put their tables for SQL readers; and the warehouse
//! as Delta tables.
//!
//! A job recomputes whole days or months. It replaces their rows in one transaction, so that
//! readers see the old rows or the new ones, and a job that is killed, repeated, or run twice at
//! once leaves the same rows.

mod delta;
mod reading;
mod set_aside;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono::NaiveDate;
use datafusion::dataframe::DataFrame;

pub use self::delta::DeltaWarehouse;
pub use self::reading::{DeltaWarehouseReader, ReadFrom, WarehouseReader, WarehouseTables};
pub use self::set_aside::{AsideRow, Capacity, SetAside};
use crate::error::StoreError;

/// A table of the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarehouseTable {
    /// The name, which is also that of the database's table or of the folder.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The column with the row's day.
    pub date: String,
    /// The columns of the unique key; none if rows may be equal.
    pub key: Vec<String>,
}

/// Days from the first up to, but without, the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last.
    pub to: NaiveDate,
}

/// What [`Warehouse::replace`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Rows that were written.
    pub written: u64,
    /// What the database cannot take.
    pub set_aside: SetAside,
}

/// One kind of warehouse; all of them pass the same suite of tests.
#[async_trait::async_trait]
pub trait Warehouse: Send + Sync {
    /// Creates the table if it does not exist, and adds the columns that an older one lacks.
    /// Returns its identity, which distinguishes it from any other table, including one that takes
    /// its place.
    async fn prepare(&self, table: &WarehouseTable) -> Result<String, StoreError>;

    /// One transaction: removes the rows of `days` and adds `rows`, except for those that the
    /// database cannot take. Rows of other days are an error.
    async fn replace(&self, table: &WarehouseTable, days: Days, rows: DataFrame) -> Result<Replaced, StoreError>;

    /// The rows of `days`.
    async fn rows(&self, table: &WarehouseTable, days: Days) -> Result<Vec<RecordBatch>, StoreError>;
}

/// A column of a job's statement in the types that every warehouse has.
pub fn warehouse_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::UInt64 | DataType::UInt32 | DataType::Int32 | DataType::Int16 | DataType::Int8 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
}
