//! What operators mean by the types of what they stand between: truths that are compared with
//! texts, and intervals times numbers.

use std::sync::Arc;

use arrow::array::{AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const MONTH_DAYS: f64 = 30.0;
const DAY_MICROS: f64 = 86_400_000_000.0;
/// What a text has to begin with to be a truth.
const TRUTHS: [(&str, &str, bool); 6] = [
    ("true", "t", true),
    ("false", "f", false),
    ("yes", "y", true),
    ("no", "n", false),
    ("on", "on", true),
    ("off", "of", false),
];

/// The operators.
#[derive(Debug)]
pub(super) struct Operators {
    times: ScalarUDF,
    divided: ScalarUDF,
}

impl Operators {
    pub(super) fn new() -> Self {
        let function = |name, is_divided| {
            let signature = Signature::exact(vec![INTERVAL, DataType::Float64], Volatility::Immutable);
            ScalarUDF::new_from_impl(Scaled { name, is_divided, signature })
        };
        Self { times: function("pg_interval_times", false), divided: function("pg_interval_divided", true) }
    }
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> EngineResult<PlannerResult<RawBinaryExpr>> {
        let kind = |expr: &Expr| expr.get_type(schema).ok();
        let (left, right) = (&expr.left, &expr.right);
        Ok(match expr.op {
            BinaryOperator::Eq | BinaryOperator::NotEq => {
                let is_boolean = |expr: &Expr| kind(expr) == Some(DataType::Boolean);
                match (text_of(left), text_of(right)) {
                    (None, Some(text)) if is_boolean(left) => {
                        PlannerResult::Original(RawBinaryExpr { right: lit(truth(text)?), ..expr })
                    }
                    (Some(text), None) if is_boolean(right) => {
                        PlannerResult::Original(RawBinaryExpr { left: lit(truth(text)?), ..expr })
                    }
                    _ => PlannerResult::Original(expr),
                }
            }
            BinaryOperator::Multiply | BinaryOperator::Divide => {
                let is_divided = expr.op == BinaryOperator::Divide;
                let function = if is_divided { &self.divided } else { &self.times };
                match (kind(left), kind(right)) {
                    (Some(DataType::Interval(_)), Some(number)) if number.is_numeric() => {
                        PlannerResult::Planned(scaled(function, expr.left, expr.right))
                    }
                    (Some(number), Some(DataType::Interval(_))) if number.is_numeric() && !is_divided => {
                        PlannerResult::Planned(scaled(function, expr.right, expr.left))
                    }
                    _ => PlannerResult::Original(expr),
                }
            }
            _ => PlannerResult::Original(expr),
        })
    }
}

fn scaled(function: &ScalarUDF, interval: Expr, number: Expr) -> Expr {
    function.call(vec![cast(interval, INTERVAL), cast(number, DataType::Float64)])
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// `t`, `false`, `on`, `1`: what PostgreSQL takes for a truth.
fn truth(text: &str) -> EngineResult<bool> {
    let said = text.trim().to_lowercase();
    let word = TRUTHS.iter().find(|(word, least, _)| word.starts_with(&said) && said.starts_with(least));
    match (word, said.as_str()) {
        (Some((_, _, truth)), _) => Ok(*truth),
        (None, "1") => Ok(true),
        (None, "0") => Ok(false),
        (None, _) => Err(DataFusionError::Plan(format!("invalid input syntax for type boolean: \"{text}\""))),
    }
}

/// An interval times a number, or by one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    name: &'static str,
    is_divided: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let [intervals, numbers] = arguments.args.as_slice() else {
            return Err(DataFusionError::Plan(format!("{} takes two arguments", self.name)));
        };
        let intervals = intervals.to_array(arguments.number_rows)?;
        let numbers = numbers.to_array(arguments.number_rows)?;
        let pairs =
            intervals.as_primitive::<IntervalMonthDayNanoType>().iter().zip(numbers.as_primitive::<Float64Type>());
        let found = pairs.map(|(interval, number)| {
            let (Some(interval), Some(number)) = (interval, number) else { return Ok(None) };
            if self.is_divided && number == 0.0 {
                return Err(DataFusionError::Execution("division by zero".to_owned()));
            }
            let scale = |part: f64| if self.is_divided { part / number } else { part * number };
            let found = scale_interval(interval, scale);
            found.map(Some).ok_or_else(|| DataFusionError::Execution("interval out of range".to_owned()))
        });
        let found: IntervalMonthDayNanoArray = found.collect::<EngineResult<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// What is left of months becomes days, and what is left of days becomes time.
fn scale_interval(interval: IntervalMonthDayNano, scale: impl Fn(f64) -> f64) -> Option<IntervalMonthDayNano> {
    let months = scale(f64::from(interval.months));
    let days = scale(f64::from(interval.days));
    // So that what is whole but for the last bits is whole.
    let rounded = |days: f64| (days * DAY_MICROS).round() / DAY_MICROS;
    let of_months = rounded(months.fract() * MONTH_DAYS);
    let left = (days.fract() + of_months.fract()) * DAY_MICROS;
    let micros = scale((interval.nanoseconds / 1_000) as f64);
    let nanoseconds = whole(micros + left)?.checked_mul(1_000)?;
    let days = whole(days.trunc() + of_months.trunc())?;
    Some(IntervalMonthDayNano::new(i32::try_from(whole(months.trunc())?).ok()?, i32::try_from(days).ok()?, nanoseconds))
}

fn whole(number: f64) -> Option<i64> {
    let number = number.round();
    (number.abs() < 9.0e18).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_interval_goes_to_the_smaller_units() {
        let interval = IntervalMonthDayNano::new;
        for (given, number, wanted) in [
            (interval(0, 0, 300_000_000_000), 3.0, interval(0, 0, 900_000_000_000)),
            (interval(0, 0, 1_000_000_000), 1_000_000.0, interval(0, 0, 1_000_000_000_000_000)),
            (interval(1, 0, 0), 1.5, interval(1, 15, 0)),
            (interval(0, 1, 0), 0.5, interval(0, 0, 43_200_000_000_000)),
            (interval(1, 1, 0), -1.0, interval(-1, -1, 0)),
        ] {
            assert_eq!(scale_interval(given, |part| part * number), Some(wanted), "{given:?} * {number}");
        }
        assert_eq!(scale_interval(interval(0, 0, i64::MAX), |part| part * 10.0), None);
    }

    #[test]
    fn truths_are_written_in_many_ways() {
        for text in ["t", "TRUE", "tr", "y", "on", "1"] {
            assert!(truth(text).expect(text), "{text}");
        }
        for text in ["f", "False", "no", "off", "0"] {
            assert!(!truth(text).expect(text), "{text}");
        }
        assert!(truth("o").is_err() && truth("talvez").is_err() && truth("").is_err());
    }
}
