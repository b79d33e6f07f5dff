//! What a topic's declaration says of decoded rows beyond their types: `DEFAULT`, `CHECK`, and how
//! far ahead of the clock a row may be.
//!
//! An expression that fails on a row refuses that row alone. Whether it fails there does not depend
//! on the rows around it: what cannot be computed for many rows is computed for fewer, if need be
//! for each by itself.

mod defaults;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, new_null_array};
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::physical_expr::PhysicalExpr;
use vitral_schemas::diagnostic::{Diagnostic, Position};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Reason;

use self::defaults::ColumnDefault;
use self::plan::{Fault, Planner};
use crate::words;

/// How much of a value is shown.
const VALUE_CHARS: usize = 60;

/// The rules of one topic's columns: their defaults, then their checks.
#[derive(Debug)]
pub struct RowRules {
    topic: Topic,
    defaults: Vec<ColumnDefault>,
    /// `CHECK`: its column, its text with the column's name, and the expression; where it is false
    /// the row is refused.
    checks: Vec<(usize, String, Arc<dyn PhysicalExpr>)>,
}

/// Rows that are refused, why, and the words for people.
pub type Forbidden = BTreeMap<usize, (Reason, String)>;

impl RowRules {
    /// Errors name the column whose expression cannot be planned, or could never do what it says.
    pub fn new(topic: &Topic, session: &SessionContext) -> Result<Self, Box<Diagnostic>> {
        let wrong = |column: &str, kind: &str, Fault { what, remedy }: Fault| {
            let position = Position::file(format!("topic {}", topic.name));
            Box::new(position.error(format!("{kind} of column {column}: {what}"), remedy.to_owned()))
        };
        let planner = Planner::new(topic, session).map_err(|fault| wrong("*", "the columns", fault))?;
        let (mut defaults, mut checks) = (Vec::new(), Vec::new());
        for (index, column) in topic.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                let planned = ColumnDefault::new(&planner, index, default);
                defaults.push(planned.map_err(|fault| wrong(&column.name, "DEFAULT", fault))?);
            }
            if let Some(check) = &column.check {
                let planned = planner.condition(check).map_err(|fault| wrong(&column.name, "CHECK", fault))?;
                checks.push((index, format!("{}: {check}", column.name), planned));
            }
        }
        Ok(Self { topic: topic.clone(), defaults, checks })
    }

    /// Fills in defaults, and refuses what a check of the filled rows or the clock forbids; refused
    /// rows become null in every column. `columns` are the topic's; rows without an event time are
    /// refused already.
    pub fn apply(&self, columns: Vec<ArrayRef>, now_ms: i64) -> Result<(RecordBatch, Forbidden)> {
        let rows = RecordBatch::try_new(self.topic.schema(), columns)?;
        let (is_decoded, is_row) = self.decoded(&rows)?;
        let mut forbidden = self.too_far_ahead(&rows, now_ms);
        let mut refuse = |row: usize, reason: Reason, detail: String| {
            if is_row.value(row) {
                forbidden.entry(row).or_insert((reason, detail));
            }
        };
        let rows = self.filled(rows, &mut refuse)?;
        self.check(&rows, &mut refuse)?;
        if is_decoded.true_count() == rows.num_rows() && forbidden.is_empty() {
            return Ok((rows, forbidden));
        }
        let nothing = nothing_of(&is_decoded, &forbidden)?;
        let columns = rows.columns().iter().map(|column| compute::nullif(column, &nothing));
        let rows = RecordBatch::try_new(rows.schema(), columns.collect::<Result<_, _>>()?)?;
        Ok((rows, forbidden))
    }

    /// The rows with their defaults, each of which is computed from what the message has.
    fn filled(&self, rows: RecordBatch, refuse: &mut impl FnMut(usize, Reason, String)) -> Result<RecordBatch> {
        if self.defaults.is_empty() {
            return Ok(rows);
        }
        let mut columns = rows.columns().to_vec();
        for default in self.defaults.iter().filter(|default| rows.column(default.index).null_count() > 0) {
            let (values, misfits) = default.fill(&self.topic, &rows)?;
            columns[default.index] = values;
            misfits.into_iter().for_each(|(row, reason, detail)| refuse(row, reason, detail));
        }
        Ok(RecordBatch::try_new(rows.schema(), columns)?)
    }

    /// Refuses the rows for which a check is false.
    fn check(&self, rows: &RecordBatch, refuse: &mut impl FnMut(usize, Reason, String)) -> Result<()> {
        for (index, text, check) in &self.checks {
            let (holds, failures) = evaluate(check, rows)?;
            for (row, cause) in failures {
                refuse(row, Reason::Value, format!("{text} cannot be computed: {cause}"));
            }
            let Some(holds) = holds.as_boolean_opt() else {
                return Err(DataFusionError::Execution(format!("{text} is {}, not a condition", holds.data_type())));
            };
            if holds.false_count() > 0 {
                let fails = |row: &usize| holds.is_valid(*row) && !holds.value(*row);
                let value = |row: usize| shown(rows.column(*index), row);
                (0..holds.len()).filter(fails).for_each(|row| {
                    refuse(row, Reason::Value, format!("{text} does not hold for {}", value(row)));
                });
            }
        }
        Ok(())
    }

    /// Which rows were decoded, and which of them are to be checked: what deletes a row has its
    /// key, and perhaps a time, but nothing to check.
    fn decoded(&self, rows: &RecordBatch) -> Result<(BooleanArray, BooleanArray)> {
        let has_time = compute::is_not_null(rows.column(self.topic.event_time))?;
        let Some(changes) = &self.topic.changes else { return Ok((has_time.clone(), has_time)) };
        let has_key = changes.key.first().map(|key| compute::is_not_null(rows.column(*key))).transpose()?;
        let is_deleted = changes.debezium.map(|debezium| rows.column(debezium.deleted).as_boolean());
        let is_row = match is_deleted {
            Some(is_deleted) => compute::and_not(&has_time, is_deleted)?,
            None => has_time.clone(),
        };
        Ok((has_key.unwrap_or(has_time), is_row))
    }

    /// Rows whose event time the clock forbids.
    fn too_far_ahead(&self, rows: &RecordBatch, now_ms: i64) -> Forbidden {
        let times = rows.column(self.topic.event_time);
        let latest = (now_ms + self.topic.ahead_ms).saturating_mul(MICROS_PER_MS);
        let mut forbidden = Forbidden::new();
        for (row, time) in times.as_primitive::<TimestampMicrosecondType>().iter().enumerate() {
            if time.is_some_and(|time| time > latest) {
                let name = &self.topic.columns[self.topic.event_time].name;
                let detail = format!(
                    "{name} is too far ahead of the wall clock; a time without an offset is one of the domain's zone"
                );
                forbidden.insert(row, (Reason::Future, detail));
            }
        }
        forbidden
    }
}

/// The rows of which nothing is kept.
fn nothing_of(is_decoded: &BooleanArray, forbidden: &Forbidden) -> Result<BooleanArray> {
    let mut kept = BooleanBufferBuilder::new(is_decoded.len());
    kept.append_buffer(is_decoded.values());
    for row in forbidden.keys() {
        kept.set_bit(*row, false);
    }
    Ok(compute::not(&BooleanArray::new(kept.finish(), None))?)
}

/// A value for people.
fn shown(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    excerpt(&array_value_to_string(column, row).unwrap_or_default())
}

/// The beginning of a text that is long.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The expression's values, and the rows on which it fails, with the cause; those are null.
fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<(ArrayRef, Vec<(usize, String)>)> {
    let mut failures = Vec::new();
    let values = evaluate_part(expr, rows, 0, &mut failures)?;
    Ok((values, failures))
}

/// The same for rows of which `first` come before.
fn evaluate_part(
    expr: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
    first: usize,
    failures: &mut Vec<(usize, String)>,
) -> Result<ArrayRef> {
    let count = rows.num_rows();
    match expr.evaluate(rows).and_then(|values| values.into_array(count)) {
        Ok(values) => Ok(values),
        Err(cause) if count <= 1 => {
            failures.push((first, words(&cause)));
            Ok(new_null_array(&expr.data_type(&rows.schema())?, count))
        }
        Err(_) => {
            let half = count / 2;
            let before = evaluate_part(expr, &rows.slice(0, half), first, failures)?;
            let after = evaluate_part(expr, &rows.slice(half, count - half), first + half, failures)?;
            Ok(compute::concat(&[before.as_ref(), after.as_ref()])?)
        }
    }
}

#[cfg(test)]
mod tests;
