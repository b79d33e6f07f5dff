//! Rows that the warehouse's database cannot take, table `quarentena`: kept with the reason, so
//! that the rest of their table goes on.
//!
//! A row stays here until its day is computed again and it fits, because the job's query was
//! changed or the row was taken back.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit};
use chrono::Utc;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit};

use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;
use crate::warehouse::{Days, SetAside};

/// The table's name, and its folder in the store.
pub const QUARANTINE_TABLE: &str = "quarentena";
/// Jobs, and merges of files, may conflict with each other.
const ATTEMPTS: usize = 10;

/// The rows that are set aside in one store.
#[derive(Debug)]
pub struct Quarantine {
    store: Location,
}

impl Quarantine {
    /// The quarantine of this store.
    pub fn of(store: &Location) -> Self {
        Self { store: store.as_delta() }
    }

    /// Every row; none before the first.
    pub async fn provider(&self) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
        match Table::read(QUARANTINE_TABLE, &self.place()).await? {
            Some(table) => Ok(Some(table.provider().await?)),
            None => Ok(None),
        }
    }

    /// Every row, by table and day.
    pub async fn rows(&self) -> Result<Vec<RecordBatch>, StoreError> {
        let Some(stored) = self.provider().await? else { return Ok(Vec::new()) };
        let order = ["tabela", "dia"].map(|name| ident(name).sort(true, true)).to_vec();
        let frame = read_session(1).read_table(stored).and_then(|frame| frame.sort(order));
        let run = async { frame?.collect().await };
        run.await.map_err(StoreError::read(QUARANTINE_TABLE))
    }

    /// One commit: replaces what was set aside of these days of the warehouse's table.
    pub async fn replace(&self, table: &str, days: Days, set_aside: &SetAside) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_to_replace(table, days, set_aside).await {
                Err(error) if attempt < ATTEMPTS && error.is_conflict() => {
                    tracing::debug!(table, attempt, %error, "not set aside; trying again");
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_to_replace(&self, table: &str, days: Days, set_aside: &SetAside) -> Result<(), StoreError> {
        let failed = StoreError::read(QUARANTINE_TABLE);
        let mut stored = match Table::read(QUARANTINE_TABLE, &self.place()).await? {
            Some(stored) => stored,
            None if set_aside.rows.is_empty() => return Ok(()),
            None => Table::open(QUARANTINE_TABLE, &self.place(), schema()).await?,
        };
        let day = |day| lit(ScalarValue::Date32(Some(Date32Type::from_naive_date(day))));
        let wanted =
            ident("tabela").eq(lit(table)).and(ident("dia").gt_eq(day(days.from))).and(ident("dia").lt(day(days.to)));
        if set_aside.rows.is_empty() && self.is_clear(&stored, wanted.clone()).await? {
            return Ok(());
        }
        let rows = rows(table, days, set_aside).map_err(|error| failed(error.into()))?;
        stored.replace(wanted, rows, &[]).await
    }

    async fn is_clear(&self, stored: &Table, wanted: Expr) -> Result<bool, StoreError> {
        let frame = read_session(1).read_table(stored.provider().await?);
        let run = async { frame?.filter(wanted)?.count().await };
        Ok(run.await.map_err(StoreError::read(QUARANTINE_TABLE))? == 0)
    }

    fn place(&self) -> Location {
        Layout::of(&self.store).table(QUARANTINE_TABLE)
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("tabela"),
        Field::new("dia", DataType::Date32, false),
        text("motivo"),
        text("detalhe"),
        text("linha"),
        Field::new("instante", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]))
}

fn rows(table: &str, days: Days, set_aside: &SetAside) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = &set_aside.rows;
    let text = |text: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows.len()).map(text)))
    };
    // A row without one of these days is kept under the first, so that it is replaced together with
    // them.
    let day = |row: usize| rows[row].day.filter(|day| (days.from..days.to).contains(day)).unwrap_or(days.from);
    let now = TimestampMicrosecondArray::from_value(Utc::now().timestamp_micros(), rows.len()).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        text(&|_| table.to_owned()),
        Arc::new(Date32Array::from_iter_values((0..rows.len()).map(|row| Date32Type::from_naive_date(day(row))))),
        text(&|row| rows[row].reason.name().to_owned()),
        text(&|row| rows[row].detail.clone()),
        text(&|row| rows[row].row.clone()),
        Arc::new(now),
    ];
    RecordBatch::try_new(schema(), columns)
}
