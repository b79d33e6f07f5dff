//! `DEFAULT`: what stands where a message has no value. It is held to what the message's own value
//! would have been: no longer text, no rounded number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::is_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{cast, ident, lit, when};
use datafusion::physical_expr::PhysicalExpr;
use vitral_schemas::topic::{ColumnKind, Topic};
use vitral_schemas::verdict::Reason;
use vitral_schemas::{exact, text};

use super::plan::{Fault, Planner};
use super::{evaluate, excerpt};

/// The `DEFAULT` of a column.
#[derive(Debug)]
pub(super) struct ColumnDefault {
    /// The column's index.
    pub(super) index: usize,
    /// Its name and the expression, for people.
    text: String,
    fill: Fill,
}

#[derive(Debug)]
enum Fill {
    /// The column with the absent values filled in.
    Values(Arc<dyn PhysicalExpr>),
    /// Where the column has no value, the text of one, which it may be unable to hold.
    Texts(Arc<dyn PhysicalExpr>),
}

/// Rows that have no default, and why.
pub(super) type Misfits = Vec<(usize, Reason, String)>;

impl ColumnDefault {
    pub(super) fn new(planner: &Planner<'_>, index: usize, default: &str) -> Result<Self, Fault> {
        let topic = planner.topic;
        let column = &topic.columns[index];
        if column.needed {
            return Err(Fault::new(
                "it never applies, as a message without the column is refused",
                "remove DEFAULT, or NOT NULL if the column may be absent",
            ));
        }
        let expr = planner.parsed(default)?;
        let is_constant = !expr.any_column_refs();
        let own = planner.type_of(&planner.physical(expr.clone())?)?;
        let is_text = may_not_fit(column.kind, &own);
        let mut given = cast(expr, if is_text { DataType::Utf8 } else { column.kind.data_type() });
        if is_constant {
            let mut value = planner.constant(given)?;
            if is_text {
                let (fitting, misfits) = held(&value, topic, index)?;
                if let Some((_, _, why)) = misfits.into_iter().next() {
                    return Err(Fault::new(why, "give a value that the column can hold"));
                }
                value = fitting;
            }
            given = lit(ScalarValue::try_from_array(value.as_ref(), 0)?);
        }
        let mut filled = when(ident(&column.name).is_null(), given);
        let fill = if is_text && !is_constant {
            Fill::Texts(planner.physical(filled.end()?)?)
        } else {
            Fill::Values(planner.physical(filled.otherwise(ident(&column.name))?)?)
        };
        Ok(Self { index, text: format!("{}: DEFAULT {default}", column.name), fill })
    }

    /// The column with the absent values filled in; those that have no default stay absent.
    pub(super) fn fill(&self, topic: &Topic, rows: &RecordBatch) -> Result<(ArrayRef, Misfits)> {
        let (Fill::Values(expr) | Fill::Texts(expr)) = &self.fill;
        let (mut values, failures) = evaluate(expr, rows)?;
        let failed =
            |(row, cause): (usize, String)| (row, Reason::Value, format!("{} cannot be computed: {cause}", self.text));
        let mut misfits: Misfits = failures.into_iter().map(failed).collect();
        if matches!(self.fill, Fill::Texts(_)) {
            let (fitting, unfit) = held(&values, topic, self.index)?;
            let column = rows.column(self.index);
            values = zip(&is_null(column)?, &fitting, column)?;
            let unfit = unfit.into_iter();
            misfits.extend(unfit.map(|(row, reason, why)| (row, reason, format!("{} does not fit: {why}", self.text))));
        }
        Ok((values, misfits))
    }
}

/// Whether a column may be unable to hold values of a type as they are, though a cast would make
/// them fit.
fn may_not_fit(kind: ColumnKind, own: &DataType) -> bool {
    let column_scale = match kind {
        ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency => return true,
        ColumnKind::Timestamp | ColumnKind::Boolean => return false,
        ColumnKind::Integer => 0,
        ColumnKind::Decimal { scale, .. } => scale,
    };
    match own {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale > column_scale,
        other => other.is_floating(),
    }
}

/// The column's values of texts, null where it holds none of them, and why not.
fn held(texts: &ArrayRef, topic: &Topic, index: usize) -> Result<(ArrayRef, Misfits)> {
    let Some(texts) = texts.as_string_opt::<i32>() else {
        return Err(DataFusionError::Execution(format!("{} in the place of texts", texts.data_type())));
    };
    let column = &topic.columns[index];
    if column.kind.data_type() != DataType::Utf8 {
        let (values, misfits) = exact::values(texts, column.kind);
        let misfits = misfits.into_iter().map(|misfit| (misfit.row, Reason::Value, misfit.why));
        return Ok((values, misfits.collect()));
    }
    let is_event_id = topic.event_id == Some(index);
    let mut misfits = Misfits::new();
    let values = texts.iter().enumerate().map(|(row, given)| {
        let given = given?;
        text::value(given, column, is_event_id).unwrap_or_else(|(reason, what)| {
            let mut why = format!("\"{}\" {what}", excerpt(given));
            if reason == Reason::Size {
                why += &format!(" ({} bytes)", column.bytes_max);
            }
            misfits.push((row, reason, why));
            None
        })
    });
    let values: ArrayRef = Arc::new(values.collect::<StringArray>());
    Ok((values, misfits))
}
