//! Whether sums still fit their types when states merge: found by the commit that would make one
//! not fit, not by its readers.
//!
//! States are never read before more are appended. What is known instead is a bound: no sum of any
//! key is larger than the sizes of all states added up, or than the largest merged one and the
//! sizes of those that came since. Only where that nears a type's limit are states merged before a
//! commit.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use futures::TryStreamExt;
use vitral_engine::sum_since_bound;

use super::KeyedTable;
use crate::error::StoreError;
use crate::keyed::plan::Summed;

/// Floating-point numbers are close, not exact.
const SHARE: f64 = 0.99;
/// So many keys are named.
const NAMED_KEYS: usize = 3;

impl KeyedTable {
    /// The bounds once these states are added; an error if a sum does not fit its type then.
    pub(super) async fn bounds_with(&self, states: &[RecordBatch]) -> Result<Vec<f64>, StoreError> {
        let sums = self.plan.sums();
        if sums.is_empty() {
            return Ok(Vec::new());
        }
        let failed = self.failed();
        let mut bounds = match &self.bounds {
            Some(bounds) => bounds.clone(),
            None => self.sizes(&sums).await?,
        };
        for states in states {
            for (bound, sum) in bounds.iter_mut().zip(&sums) {
                *bound += sizes(states, sum.index, sum).map_err(&failed)?.into_iter().sum::<f64>();
            }
        }
        if fit(&bounds, &sums) {
            return Ok(bounds);
        }
        let all = LogicalPlanBuilder::from(self.states().await?);
        let with = || {
            let added = MemTable::try_new(Arc::clone(self.plan.state_schema()), vec![states.to_vec()])?;
            let added = LogicalPlanBuilder::scan("novos", provider_as_source(Arc::new(added)), None)?.build()?;
            all.union(added)?.build()
        };
        self.merged_bounds(with().map_err(&failed)?, &sums).await.map_err(&failed)
    }

    /// An error if the states that are there do not merge, with the keys of which they do not.
    pub(super) async fn check_sums(&mut self) -> Result<(), StoreError> {
        if self.bounds.is_some() {
            return Ok(());
        }
        match self.bounds_with(&[]).await {
            Ok(bounds) => {
                self.bounds = Some(bounds);
                Ok(())
            }
            Err(StoreError::Read { source, .. }) => {
                let keys = self.keys_beyond().await.unwrap_or_default();
                let which = if keys.is_empty() {
                    "what it has".to_owned()
                } else {
                    format!("what it has of {}", keys.join(" and "))
                };
                Err(self.not_kept(which, &source))
            }
            Err(error) => Err(error),
        }
    }

    /// The sizes of all states added up.
    async fn sizes(&self, sums: &[Summed]) -> Result<Vec<f64>, StoreError> {
        let mut bounds = vec![0.0; sums.len()];
        let columns = |states: LogicalPlan| {
            let columns = sums.iter().map(|sum| {
                let field = self.plan.state_schema().field(sum.index);
                cast(ident(field.name()), field.data_type().clone()).alias(field.name())
            });
            LogicalPlanBuilder::from(states).project(columns.collect::<Vec<_>>())?.build()
        };
        let columns = columns(self.states().await?).map_err(self.failed())?;
        let run = async {
            let mut batches = self.plan.frame(columns).execute_stream().await?;
            while let Some(batch) = batches.try_next().await? {
                for (index, (bound, sum)) in bounds.iter_mut().zip(sums).enumerate() {
                    *bound += sizes(&batch, index, sum)?.into_iter().sum::<f64>();
                }
            }
            Ok(())
        };
        run.await.map_err(self.failed())?;
        Ok(bounds)
    }

    /// The largest sums of any key; an error if one does not fit.
    async fn merged_bounds(&self, states: LogicalPlan, sums: &[Summed]) -> Result<Vec<f64>> {
        let mut bounds = vec![0.0_f64; sums.len()];
        let mut merged = self.plan.frame(self.plan.merge_keys(states.clone())?).execute_stream().await?;
        // Without their origin states have a column less.
        while let Some(batch) = merged.try_next().await? {
            for (bound, sum) in bounds.iter_mut().zip(sums) {
                *bound = sizes(&batch, sum.index - 1, sum)?.into_iter().fold(*bound, f64::max);
            }
        }
        // Sums of rows are made when they are read.
        let is_any = sums.iter().zip(&bounds).any(|(sum, bound)| sum.is_since && *bound >= sum.largest * SHARE);
        if is_any {
            drain(self.plan.frame(self.plan.rows(states)?)).await?;
        }
        Ok(bounds)
    }

    /// Keys of which the states do not merge.
    async fn keys_beyond(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for column in self.plan.sums().iter().filter(|column| !column.is_since) {
            let name = self.plan.state_schema().field(column.index).name().clone();
            let digits = match column.data_type {
                DataType::Decimal128(_, scale) => i32::from(scale),
                _ => 0,
            };
            let largest = column.largest / 10_f64.powi(digits) * SHARE;
            let keys = self.plan.view.keys.iter().map(ident).collect::<Vec<_>>();
            let plan = |states: LogicalPlan| {
                let size = sum(cast(ident(&name), DataType::Float64)).alias("_soma");
                let beyond = ident("_soma").gt_eq(lit(largest)).or(ident("_soma").lt_eq(lit(-largest)));
                let beyond = LogicalPlanBuilder::from(states).aggregate(keys.clone(), vec![size])?.filter(beyond)?;
                beyond.project(keys.clone())?.limit(0, Some(NAMED_KEYS))?.build()
            };
            let plan = plan(self.states().await?).map_err(self.failed())?;
            for batch in self.plan.frame(plan).collect().await.map_err(self.failed())? {
                found.extend((0..batch.num_rows()).map(|row| key_words(&batch, row)));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// A key as people write it.
pub(super) fn key_words(keys: &RecordBatch, row: usize) -> String {
    let schema = keys.schema();
    let words = schema.fields().iter().zip(keys.columns()).map(|(field, column)| {
        let value = if column.is_null(row) {
            "null".to_owned()
        } else {
            array_value_to_string(column, row).map_or_else(|_| "?".to_owned(), |value| format!("'{value}'"))
        };
        format!("{} = {value}", field.name())
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Runs a plan to its end.
pub(super) async fn drain(frame: DataFrame) -> Result<()> {
    let mut batches = frame.execute_stream().await?;
    while batches.try_next().await?.is_some() {}
    Ok(())
}

fn fit(bounds: &[f64], sums: &[Summed]) -> bool {
    bounds.iter().zip(sums).all(|(bound, sum)| *bound < sum.largest * SHARE)
}

/// How large the sums of states can be, each.
fn sizes(states: &RecordBatch, index: usize, sum: &Summed) -> Result<Vec<f64>> {
    let column = states.column(index);
    let wrong = || DataFusionError::Internal(format!("{} is not a sum", states.schema().field(index).name()));
    if sum.is_since {
        let states = column.as_binary_opt::<i32>().ok_or_else(wrong)?;
        return states.iter().flatten().map(sum_since_bound).collect();
    }
    Ok(match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            values.iter().flatten().map(|value| value.unsigned_abs() as f64).collect()
        }
        DataType::Decimal128(..) => {
            let values = column.as_primitive::<Decimal128Type>();
            values.iter().flatten().map(|value| value.unsigned_abs() as f64).collect()
        }
        _ => return Err(wrong()),
    })
}
