//! Where batch jobs put their tables, for whoever reads them as SQL.
//!
//! A job computes whole days or months anew. What it replaces and what it writes is one transaction, so that readers see the one or the
//! other, and a job that is killed, repeated, or run twice at once leaves the same rows.

mod delta;
mod open;
mod postgres;
mod probe;
mod redshift;
mod set_aside;
mod sql;
mod tls;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;
use datafusion::dataframe::DataFrame;

pub use self::delta::DeltaWarehouse;
pub use self::open::{OpenError, WarehouseConfig, as_postgres, open};
pub use self::postgres::PostgresWarehouse;
pub use self::probe::{ProbedDatabase, probe};
pub use self::redshift::RedshiftWarehouse;
pub use self::set_aside::{AsideRow, SetAside};
pub use self::sql::Connection;
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
    /// Columns that no two rows share; none if rows may be alike.
    pub key: Vec<String>,
}

/// Days from the first, up to and without the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last.
    pub to: NaiveDate,
}

/// What became of the rows of some days.
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
    /// Makes the table if there is none, and gives an older one the columns that it lacks. What tells it from any other, also from one
    /// that takes its place.
    async fn prepare(&self, table: &WarehouseTable) -> Result<String, StoreError>;

    /// One transaction: the rows of `days` go, `rows` come, but for those that the database cannot take. Rows of other days are an error.
    async fn replace(&self, table: &WarehouseTable, days: Days, rows: DataFrame) -> Result<Replaced, StoreError>;

    /// The rows of `days`.
    async fn rows(&self, table: &WarehouseTable, days: Days) -> Result<Vec<RecordBatch>, StoreError>;
}
