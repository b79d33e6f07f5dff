//! What a history holds, import by import.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{ExprFunctionExt, ident, lit, when};
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::History;
use crate::error::StoreError;
use crate::session::read_session;

/// What is stored of one import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedRows {
    /// The name of the file that they came from.
    pub file: String,
    /// Rows that count.
    pub counted: u64,
    /// Rows that had been imported already.
    pub duplicate: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The oldest and newest event time of rows that count, in microseconds.
    pub period_micros: Option<(i64, i64)>,
    /// When its last rows arrived, in microseconds.
    pub arrival_micros: Option<i64>,
    /// Whether rows of it were taken back.
    pub is_undone: bool,
    /// Whether a version without identities of rows imported it.
    pub is_of_old_version: bool,
}

impl ImportedRows {
    /// Whether nothing is left of the import.
    pub fn is_empty(&self) -> bool {
        self.counted + self.duplicate + self.refused == 0
    }
}

impl History {
    /// What is stored, by import.
    pub async fn imports(&self) -> Result<BTreeMap<String, ImportedRows>, StoreError> {
        use history_columns::*;
        let provider = self.provider().await?;
        let has_identities = provider.schema().field_with_name(CELLS).is_ok();
        let time = ident(&self.topic.columns[self.topic.event_time].name);
        let is = |verdict: &str| ident(VERDICT).eq(lit(verdict.to_owned()));
        let number = |verdict: &str, name: &str| {
            when(is(verdict), lit(1_i64)).otherwise(lit(0_i64)).map(|one| sum(one).alias(name))
        };
        let run = async {
            let counted = is(Verdict::Counted.name());
            let columns = vec![
                number(Verdict::Counted.name(), "counted")?,
                number(Verdict::Duplicate.name(), "duplicate")?,
                number(Verdict::Refused.name(), "refused")?,
                number(UNDONE, "undone")?,
                min(time.clone()).filter(counted.clone()).build()?.alias("oldest"),
                max(time).filter(counted).build()?.alias("newest"),
                max(ident(ARRIVAL)).alias("arrival"),
                max(ident(FILE)).alias("file"),
                if has_identities { count(ident(CELLS)).alias("known") } else { sum(lit(0_i64)).alias("known") },
            ];
            read_session(2).read_table(provider)?.aggregate(vec![ident(IMPORT)], columns)?.collect().await
        };
        let mut imports = BTreeMap::new();
        for batch in run.await.map_err(StoreError::read(&self.topic.name))? {
            let number = |column: usize, row: usize| {
                u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(row)).unwrap_or_default()
            };
            let time = |column: usize, row: usize| {
                let times = batch.column(column).as_primitive::<TimestampMicrosecondType>();
                times.iter().nth(row).flatten()
            };
            let (ids, files) = (batch.column(0).as_string::<i32>(), batch.column(8).as_string::<i32>());
            for row in 0..batch.num_rows() {
                let rows = ImportedRows {
                    file: files.value(row).to_owned(),
                    counted: number(1, row),
                    duplicate: number(2, row),
                    refused: number(3, row),
                    is_undone: number(4, row) > 0,
                    period_micros: time(5, row).zip(time(6, row)),
                    arrival_micros: time(7, row),
                    is_of_old_version: number(9, row) == 0 && number(1, row) + number(3, row) > 0,
                };
                imports.insert(ids.value(row).to_owned(), rows);
            }
        }
        Ok(imports)
    }
}
