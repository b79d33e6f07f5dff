//! When published numbers were proved: the rows of `reconciliacao`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::execution::SessionState;
use datafusion::logical_expr::ident;
use vitral_catalog::EngineTable;
use vitral_schemas::topic::timestamp_type;

use super::Proof;
use crate::error::QueryError;
use crate::plan::frame;
use crate::read_point::ReadPoint;
use crate::rows::utc_text;
use crate::tables::scan;

/// The newest comparisons that are looked at: of some metrics, those of a year.
const ROWS_MAX: usize = 50_000;

/// What reconciliations have found, the newest first.
#[derive(Debug, Default)]
pub(super) struct Proofs(BTreeMap<String, Vec<(Proof, i64, i64)>>);

impl Proofs {
    /// None of them within row filters: they tell of all rows.
    pub(super) async fn of(state: &SessionState, point: &ReadPoint) -> Result<Self, QueryError> {
        if !point.principal.filters().is_empty() {
            return Ok(Self::default());
        }
        match point.engine_tables.get(&EngineTable::Reconciliation) {
            None => Self::read(&point.reconciliations),
            Some(table) => {
                let newest = vec![ident("instante").sort(false, false)];
                let frame = frame(state, scan(Arc::clone(table))?.sort(newest)?.limit(0, Some(ROWS_MAX))?.build()?);
                let schema = Arc::clone(frame.schema().inner());
                Self::read(&concat_batches(&schema, &frame.collect().await?)?)
            }
        }
    }

    fn read(rows: &RecordBatch) -> Result<Self, QueryError> {
        let column = |name: &str, data_type: &DataType| cast(rows.column(rows.schema().index_of(name)?), data_type);
        let text = |name: &str| column(name, &DataType::Utf8);
        let time = |name: &str| column(name, &timestamp_type());
        let (metrics, verdicts, origins) = (text("metrica")?, text("veredito")?, text("origem")?);
        let (metrics, verdicts, origins) =
            (metrics.as_string::<i32>(), verdicts.as_string::<i32>(), origins.as_string::<i32>());
        let (at, from, until) = (time("instante")?, time("de")?, time("ate")?);
        let micros = |array: &Arc<dyn Array>, row: usize| array.as_primitive::<TimestampMicrosecondType>().value(row);
        let mut newest: Vec<usize> = (0..rows.num_rows()).collect();
        newest.sort_by_key(|row| std::cmp::Reverse(micros(&at, *row)));
        let mut found = Self::default();
        for row in newest {
            let proof = Proof {
                instant: utc_text(micros(&at, row)).unwrap_or_default(),
                verdict: verdicts.value(row).to_owned(),
                origin: origins.value(row).to_owned(),
            };
            let known = found.0.entry(metrics.value(row).to_owned()).or_default();
            known.push((proof, micros(&from, row), micros(&until, row)));
        }
        Ok(found)
    }

    /// The last comparison of a metric that had this window, or of a table.
    pub(super) fn of_metric(&self, metric: &str, window: Option<(i64, i64)>) -> Option<Proof> {
        let covers =
            |(_, from, until): &&(Proof, i64, i64)| window.is_none_or(|(start, _)| (*from..*until).contains(&start));
        self.0.get(metric)?.iter().find(covers).map(|(proof, ..)| proof.clone())
    }
}
