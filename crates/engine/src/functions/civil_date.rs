//! `civil_date(time, zone)`: the day of an instant in a zone.
//!
//! `CAST(time AT TIME ZONE zone AS DATE)` asks the calendar for each row. Here it is asked for the
//! hours that a batch touches.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarUDF, Volatility, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::create_udf;
use vitral_schemas::time::civil_days;
use vitral_schemas::topic::timestamp_type;

use super::rewrite::replace_expressions;

pub fn civil_date() -> ScalarUDF {
    create_udf(
        "civil_date",
        vec![timestamp_type(), DataType::Utf8],
        DataType::Date32,
        Volatility::Immutable,
        Arc::new(run),
    )
}

fn run(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [times, ColumnarValue::Scalar(ScalarValue::Utf8(Some(zone)))] = arguments else {
        return exec_err!("civil_date takes a time, and a zone as a constant");
    };
    let zone: Tz = zone.parse().map_err(|_| exec_datafusion_err!("there is no zone {zone}"))?;
    let times = ColumnarValue::values_to_arrays(std::slice::from_ref(times))?;
    let days = civil_days(zone, times[0].as_primitive())?;
    Ok(ColumnarValue::Array(Arc::new(days) as ArrayRef))
}

/// Replaces the cast by the function.
#[derive(Debug)]
pub struct CivilDates;

impl AnalyzerRule for CivilDates {
    fn name(&self) -> &'static str {
        "civil_dates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        replace_expressions(plan, |expr, input| match zone_of(expr) {
            Some((time, zone)) if time.get_type(input)? == timestamp_type() => {
                Ok(Some(civil_date().call(vec![time.clone(), lit(zone.as_ref())])))
            }
            _ => Ok(None),
        })
    }
}

/// The time and the zone of `CAST(CAST(time AS Timestamp(zone)) AS Date32)`.
fn zone_of(expr: &Expr) -> Option<(&Expr, Arc<str>)> {
    let Expr::Cast(Cast { expr: local, field: day }) = expr else { return None };
    let Expr::Cast(Cast { expr: time, field: zoned }) = local.as_ref() else { return None };
    match (day.data_type(), zoned.data_type()) {
        (DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Microsecond, Some(zone))) => {
            Some((time, Arc::clone(zone)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn the_same_rows_under_the_same_names() {
        let rows = "(SELECT arrow_cast(x, 'Timestamp(Microsecond, Some(\"UTC\"))') AS t FROM \
            (VALUES (1748000000000000), (NULL), (1748052000000000)) AS v(x))";
        let query = format!(
            "SELECT CAST(t AT TIME ZONE 'America/Sao_Paulo' AS DATE), count(*) FROM {rows} \
             WHERE CAST(t AT TIME ZONE 'America/Sao_Paulo' AS DATE) >= '2025-01-01' GROUP BY 1 ORDER BY 1"
        );
        let (plain, ruled) = (SessionContext::new(), SessionContext::new());
        ruled.add_analyzer_rule(Arc::new(CivilDates));
        let mut shown = Vec::new();
        for context in [&plain, &ruled] {
            let frame = context.sql(&query).await.expect("planned");
            shown.push(pretty_format_batches(&frame.collect().await.expect("rows")).expect("shown").to_string());
        }
        assert_eq!(shown[0], shown[1]);
        let plan = ruled.sql(&query).await.expect("planned").into_optimized_plan().expect("optimised");
        let plan = plan.display_indent().to_string();
        assert!(plan.matches("civil_date(").count() >= 2, "{plan}");
    }
}
