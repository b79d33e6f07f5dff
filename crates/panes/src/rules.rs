//! What a topic's declaration says of decoded rows beyond their types: `DEFAULT`, `CHECK`, and how far ahead of the clock a row may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::{DFSchema, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{cast, ident, when};
use datafusion::physical_expr::PhysicalExpr;
use vitral_schemas::catalog::Position;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Reason;

use crate::error::PanesError;

#[derive(Debug)]
pub struct RowRules {
    topic: Topic,
    /// `DEFAULT` of a column: its index and the column with the absent values filled in.
    defaults: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    /// `CHECK`: what to say where it is false, which refuses the row.
    checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
}

/// Rows that are refused, why, and the words for people.
pub type Forbidden = BTreeMap<usize, (Reason, String)>;

impl RowRules {
    /// Errors name the column whose expression cannot be planned.
    pub fn new(topic: &Topic, session: &SessionContext) -> Result<Self, PanesError> {
        let wrong = |column: &str, kind: &str, source: DataFusionError| {
            PanesError::Unsupported(Box::new(Position::file(format!("topic {}", topic.name)).error(
                format!("{kind} of column {column}: {}", source.strip_backtrace()),
                "mend the expression in the topic's file".to_owned(),
            )))
        };
        let schema = DFSchema::try_from(topic.schema()).map_err(|source| wrong("*", "the columns", source))?;
        let (mut defaults, mut checks) = (Vec::new(), Vec::new());
        for (index, column) in topic.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                let plan = || {
                    let default = session.state().create_logical_expr(default, &schema)?;
                    let filled = when(ident(&column.name).is_null(), cast(default, column.kind.data_type()))
                        .otherwise(ident(&column.name))?;
                    session.create_physical_expr(filled, &schema)
                };
                defaults.push((index, plan().map_err(|source| wrong(&column.name, "DEFAULT", source))?));
            }
            if let Some(check) = &column.check {
                let plan = || {
                    let check = session.state().create_logical_expr(check, &schema)?;
                    session.create_physical_expr(check, &schema)
                };
                let text = format!("{}: {check} does not hold", column.name);
                checks.push((text, plan().map_err(|source| wrong(&column.name, "CHECK", source))?));
            }
        }
        Ok(Self { topic: topic.clone(), defaults, checks })
    }

    /// Fills in defaults, and refuses what a check or the clock forbids; refused rows become null in every column. `columns` are the
    /// topic's; rows without an event time are refused already.
    pub fn apply(&self, columns: Vec<ArrayRef>, now_ms: i64) -> Result<(RecordBatch, Forbidden)> {
        let rows = RecordBatch::try_new(self.topic.schema(), columns)?;
        let times = rows.column(self.topic.event_time);
        let is_decoded = compute::is_not_null(times)?;
        let latest = (now_ms + self.topic.ahead_ms).saturating_mul(MICROS_PER_MS);
        let mut forbidden = Forbidden::new();
        for (row, time) in times.as_primitive::<TimestampMicrosecondType>().iter().enumerate() {
            if time.is_some_and(|time| time > latest) {
                let name = &self.topic.columns[self.topic.event_time].name;
                forbidden.insert(row, (Reason::Future, format!("{name} is too far ahead of the wall clock")));
            }
        }
        for (text, check) in &self.checks {
            let holds = check.evaluate(&rows)?.into_array(rows.num_rows())?;
            let holds = holds.as_boolean();
            if holds.false_count() == 0 {
                continue;
            }
            let fails = |row: &usize| is_decoded.value(*row) && holds.is_valid(*row) && !holds.value(*row);
            for row in (0..holds.len()).filter(fails) {
                forbidden.entry(row).or_insert_with(|| (Reason::Value, text.clone()));
            }
        }
        let mut columns = rows.columns().to_vec();
        for (index, filled) in &self.defaults {
            if columns[*index].null_count() > 0 {
                columns[*index] = filled.evaluate(&rows)?.into_array(rows.num_rows())?;
            }
        }
        if is_decoded.true_count() < rows.num_rows() || !forbidden.is_empty() {
            let mut kept = BooleanBufferBuilder::new(rows.num_rows());
            kept.append_buffer(is_decoded.values());
            for row in forbidden.keys() {
                kept.set_bit(*row, false);
            }
            let nothing = compute::not(&BooleanArray::new(kept.finish(), None))?;
            columns = columns.iter().map(|column| compute::nullif(column, &nothing)).collect::<Result<_, _>>()?;
        }
        Ok((RecordBatch::try_new(self.topic.schema(), columns)?, forbidden))
    }
}
