//! `civil_date(time, zone)`: the day of an instant in a zone.
//!
//! `CAST(time AT TIME ZONE zone AS DATE)` asks the calendar for each row. Here it is asked for the hours that a batch touches.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarUDF, Volatility, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::create_udf;
use vitral_schemas::topic::timestamp_type;

const HOUR_MICROS: i64 = 3_600_000_000;
/// Hours of a batch that are remembered at most: 23 years.
const HOURS_MAX: i64 = 200_000;

pub(crate) fn civil_date() -> ScalarUDF {
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
    let days = dates(times[0].as_primitive(), zone)?;
    Ok(ColumnarValue::Array(Arc::new(days) as ArrayRef))
}

/// What is known of an hour since the Unix epoch.
#[derive(Clone, Copy)]
enum Hour {
    NotAsked,
    /// All of it is on this day.
    On(i32),
    /// A day begins in it, or its clocks are changed.
    Mixed,
}

fn dates(times: &PrimitiveArray<TimestampMicrosecondType>, zone: Tz) -> Result<Date32Array> {
    let first = arrow::compute::min(times).unwrap_or_default().div_euclid(HOUR_MICROS);
    let last = arrow::compute::max(times).unwrap_or_default().div_euclid(HOUR_MICROS);
    let hours = vec![Cell::new(Hour::NotAsked); usize::try_from((last - first + 1).min(HOURS_MAX)).unwrap_or_default()];
    times.try_unary(|micros| {
        let hour = micros.div_euclid(HOUR_MICROS);
        let Some(known) = usize::try_from(hour - first).ok().and_then(|nth| hours.get(nth)) else {
            return date(micros, zone);
        };
        if let Hour::NotAsked = known.get() {
            known.set(ask(hour, zone)?);
        }
        match known.get() {
            Hour::On(day) => Ok(day),
            Hour::NotAsked | Hour::Mixed => date(micros, zone),
        }
    })
}

fn ask(hour: i64, zone: Tz) -> Result<Hour> {
    let (start, end) = (hour * HOUR_MICROS, (hour + 1) * HOUR_MICROS - 1);
    let offset = |micros| Ok::<_, datafusion::error::DataFusionError>(local(micros, zone)?.offset().fix());
    let day = date(start, zone)?;
    Ok(if day == date(end, zone)? && offset(start)? == offset(end)? { Hour::On(day) } else { Hour::Mixed })
}

fn date(micros: i64, zone: Tz) -> Result<i32> {
    Ok(Date32Type::from_naive_date(local(micros, zone)?.date_naive()))
}

fn local(micros: i64, zone: Tz) -> Result<DateTime<Tz>> {
    let utc = DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| exec_datafusion_err!("{micros} microseconds are beyond the calendar"))?;
    Ok(zone.from_utc_datetime(&utc.naive_utc()))
}

/// Replaces the cast by the function.
#[derive(Debug)]
pub(crate) struct CivilDates;

impl AnalyzerRule for CivilDates {
    fn name(&self) -> &'static str {
        "civil_dates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
            let input = Arc::clone(input.schema());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let replaced = expr.transform_up(|expr| match zone_of(&expr) {
                    Some((time, zone)) if time.get_type(input.as_ref())? == timestamp_type() => {
                        Ok(Transformed::yes(civil_date().call(vec![time.clone(), lit(zone.as_ref())])))
                    }
                    _ => Ok(Transformed::no(expr)),
                })?;
                Ok(replaced.update_data(|expr| name.restore(expr)))
            })
        })?;
        // Schemas above keep the names, and the type is the same.
        Ok(rewritten.data)
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
    use arrow::array::TimestampMicrosecondArray;
    use arrow::compute::cast;
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// Around every change of clocks of some zones, and days at random.
    #[test]
    fn the_same_days_as_the_cast() {
        for zone in
            ["America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu", "Africa/Monrovia", "UTC"]
        {
            let tz: Tz = zone.parse().expect("a zone");
            let step = 1_234_567_891_234;
            let mut instants: Vec<Option<i64>> =
                (0..2_000).map(|nth| Some(-200_000_000_000_000 + nth * step)).collect();
            let mut before = None;
            for hour in -600_000..500_000 {
                let offset = local(hour * HOUR_MICROS, tz).expect("a time").offset().fix();
                if before.is_some_and(|before| before != offset) {
                    for minute in -180..180 {
                        instants.push(Some(hour * HOUR_MICROS + minute * 60_000_000 + 1));
                    }
                }
                before = Some(offset);
            }
            instants.push(None);
            let times = TimestampMicrosecondArray::from(instants).with_timezone("UTC");
            let zoned = cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))).expect("local");
            let expected = cast(&zoned, &DataType::Date32).expect("days");
            // Also in parts, whose hours are all remembered.
            assert_eq!(&dates(&times, tz).expect("days"), expected.as_primitive::<Date32Type>(), "{zone}");
            for start in (0..times.len()).step_by(300) {
                let len = 300.min(times.len() - start);
                let found = dates(&times.slice(start, len), tz).expect("days");
                assert_eq!(&found, expected.slice(start, len).as_primitive::<Date32Type>(), "{zone} from {start}");
            }
        }
    }

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
