//! How many bytes a call may give at most, from what it is given.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, sum};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// A character in UTF-8.
const CHARACTER_BYTES: usize = 4;
/// A number or a time as text.
const NUMBER_TEXT_BYTES: usize = 32;
/// A number, or where a text begins.
const WORD_BYTES: usize = 8;

const MICROS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// An upper bound, not the size itself.
pub(super) fn expected(name: &str, args: &ScalarFunctionArgs) -> Result<usize> {
    let call = Call::of(args)?;
    let count = call.given.len();
    let given = || call.sum(|row| (0..count).fold(0, |sum: usize, index| sum.saturating_add(row.bytes(index))));
    Ok(match name {
        "repeat" => call.sum(|row| row.bytes(0).saturating_mul(row.count(1))),
        "array_repeat" => call.sum(|row| row.bytes(0).max(WORD_BYTES).saturating_mul(row.count(1))),
        "array_resize" => {
            let filled = |row: Row<'_>| row.bytes(2).max(WORD_BYTES).saturating_mul(row.count(1));
            given().saturating_add(call.sum(filled))
        }
        "lpad" | "rpad" => {
            call.sum(|row| row.count(1).saturating_mul(if row.is_ascii() { 1 } else { CHARACTER_BYTES }))
        }
        "range" | "generate_series" => call.sum(steps).saturating_mul(WORD_BYTES),
        "replace" => call.sum(|row| {
            let found = row.bytes(0) / row.bytes(1).max(1) + 1;
            row.bytes(0).saturating_add(found.saturating_mul(row.bytes(2)))
        }),
        // A replacement names what was found at most as often as it has two characters.
        "regexp_replace" => call.sum(|row| {
            let written = (row.bytes(0) + 1).saturating_mul(row.bytes(2));
            row.bytes(0).saturating_add(written.saturating_mul(3) / 2)
        }),
        "translate" => given().saturating_mul(CHARACTER_BYTES),
        "encode" => given().saturating_mul(2),
        "array_to_string" => call.sum(|row| {
            let elements = row.elements(0);
            let between = NUMBER_TEXT_BYTES.saturating_add(row.bytes(1)).saturating_add(row.bytes(2));
            row.bytes(0).saturating_add(elements.saturating_mul(between))
        }),
        "concat_ws" => call.sum(|row| {
            let between = row.bytes(0).saturating_mul(count);
            (1..count).fold(between, |sum, index| sum.saturating_add(row.bytes(index)))
        }),
        // Two characters stand for a value, whose quotes are doubled.
        "pg_format" => call.sum(|row| {
            let longest = (1..count).map(|index| row.bytes(index)).max().unwrap_or(0);
            row.bytes(0).saturating_add(row.bytes(0).saturating_mul(longest))
        }),
        // What they give is what they are given.
        _ => given(),
    })
}

/// How many values a series has.
fn steps(row: Row<'_>) -> usize {
    let (first, last, step) = match row.call.given.len() {
        1 => (Some(0), row.number(0), Some(1)),
        2 => (row.number(0), row.number(1), Some(1)),
        _ => (row.number(0), row.number(1), row.number(2)),
    };
    let (Some(first), Some(last), Some(step)) = (first, last, step) else { return 0 };
    let distance = last.abs_diff(first) / step.unsigned_abs().max(1);
    usize::try_from(distance).unwrap_or(usize::MAX).saturating_add(1)
}

struct Call {
    given: Vec<Given>,
    rows: usize,
}

impl Call {
    fn of(args: &ScalarFunctionArgs) -> Result<Self> {
        let has_rows = args.args.iter().any(|arg| matches!(arg, ColumnarValue::Array(_)));
        let given = args.args.iter().map(Given::of).collect::<Result<_>>()?;
        Ok(Self { given, rows: if has_rows { args.number_rows } else { 1 } })
    }

    /// Of all rows together.
    fn sum(&self, of_row: impl Fn(Row<'_>) -> usize) -> usize {
        let rows = (0..self.rows).map(|index| Row { call: self, index });
        rows.fold(0, |sum: usize, row| sum.saturating_add(of_row(row)))
    }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    call: &'a Call,
    index: usize,
}

impl Row<'_> {
    fn given(&self, index: usize) -> Option<(&Given, usize)> {
        let given = self.call.given.get(index)?;
        Some((given, if given.is_constant { 0 } else { self.index }))
    }

    /// Of an argument; 0 if it is null or not there.
    fn bytes(&self, index: usize) -> usize {
        self.given(index).map_or(0, |(given, row)| given.bytes(row))
    }

    /// Of a list.
    fn elements(&self, index: usize) -> usize {
        self.given(index).map_or(0, |(given, row)| given.length(row))
    }

    fn number(&self, index: usize) -> Option<i64> {
        let (given, row) = self.given(index)?;
        let numbers = given.numbers.as_ref().filter(|numbers| numbers.is_valid(row))?;
        Some(numbers.value(row))
    }

    /// How often something is to be there.
    fn count(&self, index: usize) -> usize {
        usize::try_from(self.number(index).unwrap_or(0)).unwrap_or(0)
    }

    fn is_ascii(&self) -> bool {
        self.call.given.iter().all(|given| given.is_ascii)
    }
}

/// An argument.
struct Given {
    is_constant: bool,
    /// Bytes of texts, elements of lists.
    lengths: Option<Int64Array>,
    /// What each of them takes.
    each_bytes: usize,
    /// Times and intervals in microseconds.
    numbers: Option<Int64Array>,
    is_ascii: bool,
}

impl Given {
    fn of(arg: &ColumnarValue) -> Result<Self> {
        let (values, is_constant) = match arg {
            ColumnarValue::Array(values) => (Arc::clone(values), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let lengths = lengths(&values)?;
        let each_bytes = match values.data_type() {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                let elements = lengths.as_ref().and_then(sum).unwrap_or(0);
                let bytes = values.to_data().get_slice_memory_size()?;
                usize::try_from(elements).map_or(0, |elements| bytes.div_ceil(elements.max(1)))
            }
            _ if lengths.is_some() => 1,
            _ => values.to_data().get_slice_memory_size()?.div_ceil(values.len().max(1)),
        };
        let is_ascii = match values.data_type() {
            DataType::Utf8 => values.as_string::<i32>().is_ascii(),
            data_type => !data_type.is_string(),
        };
        Ok(Self { is_constant, lengths, each_bytes, numbers: numbers(&values), is_ascii })
    }

    fn length(&self, row: usize) -> usize {
        match &self.lengths {
            Some(lengths) if lengths.is_valid(row) => usize::try_from(lengths.value(row)).unwrap_or(0),
            Some(_) => 0,
            None => 1,
        }
    }

    fn bytes(&self, row: usize) -> usize {
        self.length(row).saturating_mul(self.each_bytes)
    }
}

fn lengths(values: &ArrayRef) -> Result<Option<Int64Array>> {
    let has_lengths = matches!(
        values.data_type(),
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
    );
    if !has_lengths {
        return Ok(None);
    }
    let lengths = cast(&length(values)?, &DataType::Int64)?;
    Ok(Some(lengths.as_primitive::<Int64Type>().clone()))
}

fn numbers(values: &ArrayRef) -> Option<Int64Array> {
    let values = match values.data_type() {
        data_type if data_type.is_integer() => cast(values, &DataType::Int64),
        data_type if data_type.is_temporal() && !matches!(data_type, DataType::Interval(_)) => {
            cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))
                .and_then(|times| cast(&times, &DataType::Int64))
        }
        DataType::Interval(_) => {
            let intervals = cast(values, &DataType::Interval(IntervalUnit::MonthDayNano)).ok()?;
            let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
            let micros = intervals.iter().map(|interval| {
                let interval = interval?;
                let days = i64::from(interval.months) * 28 + i64::from(interval.days);
                Some((days * MICROS_A_DAY).saturating_add(interval.nanoseconds / 1_000))
            });
            return Some(micros.collect());
        }
        _ => return None,
    };
    Some(values.ok()?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::common::config::ConfigOptions;

    use super::*;

    fn of(name: &str, args: Vec<ColumnarValue>, number_rows: usize) -> usize {
        let fields = args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
        let return_field = Arc::new(Field::new("r", DataType::Utf8, true));
        let config_options = Arc::new(ConfigOptions::default());
        let args = ScalarFunctionArgs { args, arg_fields: fields, number_rows, return_field, config_options };
        expected(name, &args).expect("a size")
    }

    fn text(value: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(value))
    }

    fn number(value: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(value))
    }

    fn texts(values: &[Option<&str>]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(values.iter().copied().collect::<StringArray>()))
    }

    #[test]
    fn what_a_call_may_give_is_known_before() {
        assert_eq!(of("repeat", vec![text("ab"), number(3)], 8), 6);
        assert_eq!(of("repeat", vec![text("ab"), number(-1)], 8), 0);
        assert_eq!(of("repeat", vec![texts(&[Some("a"), None, Some("abc")]), number(10)], 3), 40);
        assert_eq!(of("lpad", vec![text("a"), number(1_000)], 1), 1_000);
        assert_eq!(of("lpad", vec![text("a"), number(1_000), text("é")], 1), 4_000);
        assert_eq!(of("replace", vec![text("aaaa"), text("a"), text("bbb")], 1), 19);
        assert_eq!(of("array_repeat", vec![number(1), number(1_000)], 1), 8_000);
        assert_eq!(of("range", vec![number(1_000)], 1), 8_008);
        assert_eq!(of("generate_series", vec![number(10), number(-10), number(-5)], 1), 40);
        assert_eq!(of("concat", vec![texts(&[Some("ab"), Some("c")]), text("xyz")], 2), 9);
        assert_eq!(of("repeat", vec![text("a"), number(i64::MAX)], 1), usize::try_from(i64::MAX).expect("64 bits"));
    }

    #[test]
    fn a_series_of_times_has_as_many_values_as_steps() {
        let time = |micros| ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(micros), None));
        let second = ColumnarValue::Scalar(ScalarValue::new_interval_mdn(0, 0, 1_000_000_000));
        assert_eq!(of("generate_series", vec![time(0), time(3_600_000_000), second], 1), 3_601 * 8);
        let day = |days| ColumnarValue::Scalar(ScalarValue::Date32(Some(days)));
        let month = ColumnarValue::Scalar(ScalarValue::new_interval_mdn(1, 0, 0));
        assert_eq!(of("range", vec![day(0), day(56), month], 1), 24);
    }
}
