//! `first_of(unit, date)`: the first day of the month, week, ... that a day is in.
//!
//! `CAST(date_trunc('month', date) AS DATE)` goes by nanoseconds, which reach back to 1677 and on
//! to 2262: one row with a smaller date, such as the year 1 that programs write where nobody filled
//! one in, would fail the whole job.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type};
use arrow::error::ArrowError;
use chrono::{Datelike, Days, NaiveDate};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarUDF, Volatility, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::create_udf;

use super::rewrite::replace_expressions;

const UNITS: [&str; 5] = ["day", "week", "month", "quarter", "year"];

pub fn first_of() -> ScalarUDF {
    create_udf(
        "first_of",
        vec![DataType::Utf8, DataType::Date32],
        DataType::Date32,
        Volatility::Immutable,
        Arc::new(run),
    )
}

fn run(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit))), dates] = arguments else {
        return exec_err!("first_of takes a unit as a constant, and a date");
    };
    let dates = ColumnarValue::values_to_arrays(std::slice::from_ref(dates))?;
    let dates = dates[0].as_primitive::<Date32Type>();
    // Days that follow each other are mostly alike.
    let last = Cell::new(None);
    let firsts: Date32Array = dates.try_unary(|day| match last.get() {
        Some((known, first)) if known == day => Ok::<_, ArrowError>(first),
        _ => {
            let first = first_day(unit, day)
                .ok_or_else(|| ArrowError::ComputeError(format!("day {day} is beyond the calendar")))?;
            last.set(Some((day, first)));
            Ok(first)
        }
    })?;
    Ok(ColumnarValue::Array(Arc::new(firsts) as ArrayRef))
}

fn first_day(unit: &str, day: i32) -> Option<i32> {
    let date = NaiveDate::from_num_days_from_ce_opt(day.checked_add(719_163)?)?;
    let first = match unit {
        "day" => date,
        "week" => date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into()))?,
        "month" => date.with_day(1)?,
        "quarter" => date.with_day(1)?.with_month(date.month0() / 3 * 3 + 1)?,
        "year" => date.with_ordinal(1)?,
        _ => return None,
    };
    Some(Date32Type::from_naive_date(first))
}

/// Replaces `date_trunc` of a date by the function.
#[derive(Debug)]
pub struct TruncatedDates;

impl AnalyzerRule for TruncatedDates {
    fn name(&self) -> &'static str {
        "truncated_dates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        replace_expressions(plan, |expr, input| match truncated(expr) {
            Some((unit, date)) if date.get_type(input)? == DataType::Date32 => {
                Ok(Some(first_of().call(vec![lit(unit), date.clone()])))
            }
            _ => Ok(None),
        })
    }
}

/// The unit and the date of `CAST(date_trunc(unit, CAST(date AS Timestamp)) AS Date32)`.
fn truncated(expr: &Expr) -> Option<(&'static str, &Expr)> {
    let Expr::Cast(Cast { expr: inner, field }) = expr else { return None };
    let Expr::ScalarFunction(ScalarFunction { func, args }) = inner.as_ref() else { return None };
    let [Expr::Literal(unit, _), Expr::Cast(Cast { expr: date, field: instant })] = &args[..] else { return None };
    let is_meant = *field.data_type() == DataType::Date32
        && func.name() == "date_trunc"
        && matches!(instant.data_type(), DataType::Timestamp(_, None));
    let unit = unit.try_as_str()??.to_lowercase();
    let unit = UNITS.into_iter().find(|known| *known == unit)?;
    is_meant.then_some((unit, date.as_ref()))
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn the_same_days_and_those_beyond_nanoseconds() {
        let (plain, ruled) = (SessionContext::new(), SessionContext::new());
        ruled.add_analyzer_rule(Arc::new(TruncatedDates));
        let query = |dates: &str| {
            let units = UNITS.map(|unit| format!("CAST(date_trunc('{unit}', d) AS DATE) AS {unit}_")).join(", ");
            format!(
                "SELECT d, {units}, count(*) AS n FROM (SELECT CAST(x AS DATE) AS d FROM (VALUES {dates}) AS v(x)) GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1"
            )
        };
        let near = query("('2024-02-29'), ('1969-12-31'), (NULL), ('2025-11-30'), ('2261-01-01')");
        let mut shown = Vec::new();
        for context in [&plain, &ruled] {
            let rows = context.sql(&near).await.expect("planned").collect().await.expect("rows");
            shown.push(pretty_format_batches(&rows).expect("shown").to_string());
        }
        assert_eq!(shown[0], shown[1]);
        let far = query("('0001-01-31'), ('9999-12-31')");
        let rows = ruled.sql(&far).await.expect("planned").collect().await.expect("rows");
        let rows = pretty_format_batches(&rows).expect("shown").to_string();
        let first = "| 0001-01-31 | 0001-01-31 | 0001-01-29 | 0001-01-01 | 0001-01-01 | 0001-01-01 | 1 |";
        assert!(rows.contains(first), "{rows}");
        assert!(rows.contains("9999-10-01"), "{rows}");
    }
}
