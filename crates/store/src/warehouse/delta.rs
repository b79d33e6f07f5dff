//! The warehouse as Delta tables, next to the archive.

use arrow::array::RecordBatch;
use arrow::datatypes::Date32Type;
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, ident, lit};

use super::{Days, Replaced, Warehouse, WarehouseTable};
use crate::error::StoreError;
use crate::location::Location;
use crate::session::read_session;
use crate::table::{Table, Undeclared};

/// Jobs, and merges of files, may conflict with each other.
const ATTEMPTS: usize = 10;

/// A warehouse of Delta tables in a folder or a bucket.
#[derive(Debug, Clone)]
pub struct DeltaWarehouse {
    location: Location,
}

impl DeltaWarehouse {
    /// Tables are below `location`, each in a folder of its name.
    pub fn new(location: Location) -> Self {
        Self { location }
    }

    /// A column that the job no longer computes stays, with null in new rows.
    async fn open(&self, table: &WarehouseTable) -> Result<Table, StoreError> {
        let place = self.location.join(&table.name);
        Table::open_with(&table.name, &place, table.schema.clone(), Undeclared::Kept).await
    }
}

#[async_trait]
impl Warehouse for DeltaWarehouse {
    async fn prepare(&self, table: &WarehouseTable) -> Result<String, StoreError> {
        self.open(table).await?.id().map(str::to_owned)
    }

    async fn replace(&self, table: &WarehouseTable, days: Days, rows: DataFrame) -> Result<Replaced, StoreError> {
        let mut attempt = 1;
        loop {
            let mut opened = self.open(table).await?;
            let replaced = opened.replace_by_plan(within(&table.date, days), rows.clone()).await;
            match replaced {
                Err(error) if attempt < ATTEMPTS && !error.is_final() && error.is_conflict() => {
                    tracing::debug!(table = table.name, attempt, %error, "not replaced; trying again");
                    attempt += 1;
                }
                replaced => return Ok(Replaced { written: replaced?, ..Replaced::default() }),
            }
        }
    }

    async fn rows(&self, table: &WarehouseTable, days: Days) -> Result<Vec<RecordBatch>, StoreError> {
        let failed = StoreError::read(&table.name);
        let opened = self.open(table).await?;
        let frame = read_session(1).read_table(opened.provider().await?).map_err(&failed)?;
        let columns: Vec<Expr> = table.schema.fields().iter().map(|field| ident(field.name())).collect();
        let run = async { frame.filter(within(&table.date, days))?.select(columns)?.collect().await };
        run.await.map_err(&failed)
    }
}

/// Rows of these days.
fn within(date: &str, days: Days) -> Expr {
    let day = |day| lit(ScalarValue::Date32(Some(Date32Type::from_naive_date(day))));
    ident(date).gt_eq(day(days.from)).and(ident(date).lt(day(days.to)))
}
