//! Texts as values of columns: exact, or not at all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};

use crate::topic::ColumnKind;

/// No column holds numbers with more zeros behind their digits, or before them.
const EXPONENT_MAX: i64 = 100;

/// A text that is not a value of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its row.
    pub row: usize,
    /// Why it is not.
    pub why: String,
}

/// The values of texts in a column of this kind, null for each that is not one exactly, and these.
/// Nothing is rounded or cut.
pub fn values(texts: &StringArray, kind: ColumnKind) -> (ArrayRef, Vec<Misfit>) {
    if texts.null_count() == texts.len() {
        return (new_null_array(&kind.data_type(), texts.len()), Vec::new());
    }
    match kind {
        ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency => (Arc::new(texts.clone()), Vec::new()),
        ColumnKind::Integer => {
            let (numbers, misfits) = each(texts, whole);
            (Arc::new(Int64Array::from(numbers)), misfits)
        }
        ColumnKind::Decimal { precision, scale } => {
            let (numbers, misfits) = each(texts, |text| decimal(text, precision, scale));
            let numbers = Decimal128Array::from(numbers).with_precision_and_scale(precision, scale);
            match numbers {
                Ok(numbers) => (Arc::new(numbers), misfits),
                // The catalog takes no such type.
                Err(error) => cast_each(texts, kind, &error.to_string()),
            }
        }
        ColumnKind::Timestamp | ColumnKind::Boolean => match typed(texts, kind) {
            Ok(values) => (values, Vec::new()),
            Err(why) => cast_each(texts, kind, &why),
        },
    }
}

/// Those of the texts that `read` can read, and why it cannot the others.
fn each<T>(texts: &StringArray, read: impl Fn(&str) -> Result<T, String>) -> (Vec<Option<T>>, Vec<Misfit>) {
    let mut misfits = Vec::new();
    let values = texts.iter().enumerate().map(|(row, text)| match read(text?) {
        Ok(value) => Some(value),
        Err(why) => {
            misfits.push(Misfit { row, why });
            None
        }
    });
    (values.collect(), misfits)
}

/// As [`values`], one by one, where not all of them fit.
fn cast_each(texts: &StringArray, kind: ColumnKind, why: &str) -> (ArrayRef, Vec<Misfit>) {
    let (usable, misfits) = each(texts, |text| typed(&StringArray::from(vec![text]), kind).map(|_| text.to_owned()));
    match typed(&usable.into_iter().collect(), kind) {
        Ok(values) => (values, misfits),
        Err(_) => {
            let all = (0..texts.len()).filter(|row| texts.is_valid(*row));
            let misfits = all.map(|row| Misfit { row, why: why.to_owned() }).collect();
            (new_null_array(&kind.data_type(), texts.len()), misfits)
        }
    }
}

fn typed(texts: &StringArray, kind: ColumnKind) -> Result<ArrayRef, String> {
    if texts.null_count() == texts.len() {
        return Ok(new_null_array(&kind.data_type(), texts.len()));
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(texts, &kind.data_type(), &exact).map_err(|error| error.to_string())
}

fn whole(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let number = decimal(text, 19, 0)?;
    i64::try_from(number).map_err(|_| format!("{text} does not fit in a BIGINT"))
}

/// The number in units of its last decimal, whether it is written with an exponent or not.
fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let not_one = || format!("{text:?} is not a number");
    let written = text.trim();
    let (sign, rest) = match written.as_bytes().first() {
        Some(b'-') => (-1, &written[1..]),
        Some(b'+') => (1, &written[1..]),
        _ => (1, written),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        None => (rest, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| not_one())?),
    };
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{behind}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_one());
    }
    // Zeros at either end say nothing.
    let kept = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - kept.len()).map_err(|_| not_one())?;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Ok(0);
    }
    let behind = i64::try_from(behind.len()).map_err(|_| not_one())?;
    let shift = exponent.saturating_add(zeros).saturating_sub(behind).saturating_add(i64::from(scale));
    if shift < 0 {
        return Err(format!("{written} has more than {} decimals", scale.max(0)));
    }
    let too_large = || format!("{written} has more than {precision} digits");
    let length = i64::try_from(kept.len()).unwrap_or(i64::MAX).saturating_add(shift);
    if shift > EXPONENT_MAX || length > i64::from(precision) {
        return Err(too_large());
    }
    let unit = u32::try_from(shift).ok().and_then(|shift| 10_i128.checked_pow(shift));
    let number = kept.parse::<i128>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    number.map(|number| sign * number).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Int64Type};
    use proptest::prelude::*;

    use super::*;

    const MONEY: ColumnKind = ColumnKind::Decimal { precision: 18, scale: 2 };

    fn money(text: &str) -> Result<i128, String> {
        let (values, misfits) = values(&StringArray::from(vec![Some(text), None, Some("1.10")]), MONEY);
        let values = values.as_primitive::<Decimal128Type>();
        assert_eq!((values.value(2), values.is_null(1)), (110, true), "others are not touched by {text}");
        match misfits.into_iter().next() {
            Some(misfit) => {
                assert!(misfit.row == 0 && values.is_null(0), "{text}");
                Err(misfit.why)
            }
            None => Ok(values.value(0)),
        }
    }

    #[test]
    fn money_is_exact_however_it_is_written() {
        for (text, cents) in [
            ("12.5", 1_250),
            ("-0.01", -1),
            ("+.5", 50),
            ("7.", 700),
            ("10.500", 1_050),
            (" 3 ", 300),
            ("1.5e3", 150_000),
            ("1E-2", 1),
            ("100e-2", 100),
            ("-0.000", 0),
            ("0e999", 0),
            ("1234567890123456.78", 123_456_789_012_345_678),
            ("0000000000000000000000000000000000000000000001", 100),
        ] {
            assert_eq!(money(text), Ok(cents), "{text}");
        }
    }

    #[test]
    fn what_would_be_cut_rounded_or_too_large_is_said() {
        for (text, why) in [
            ("3.509", "more than 2 decimals"),
            ("-0.009", "more than 2 decimals"),
            ("1e-3", "more than 2 decimals"),
            ("10000000000000000", "more than 18 digits"),
            ("1e400", "more than 18 digits"),
            ("caro", "not a number"),
            ("1,5", "not a number"),
            ("", "not a number"),
            ("-", "not a number"),
            ("1e", "not a number"),
            ("NaN", "not a number"),
            ("--1", "not a number"),
            ("é1", "not a number"),
        ] {
            let said = money(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn whole_numbers_and_times_fit_or_do_not() {
        let texts = StringArray::from(vec!["7", "5.0", "1e3", "5.5", "9223372036854775808", "-9223372036854775808"]);
        let (numbers, misfits) = values(&texts, ColumnKind::Integer);
        let numbers: Vec<_> = numbers.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(numbers, [Some(7), Some(5), Some(1_000), None, None, Some(i64::MIN)]);
        assert_eq!(misfits.iter().map(|misfit| misfit.row).collect::<Vec<_>>(), [3, 4]);
        let texts = StringArray::from(vec!["2025-05-14T12:00:00Z", "ontem", "2025-05-14T12:00:01Z"]);
        let (times, misfits) = values(&texts, ColumnKind::Timestamp);
        assert_eq!((misfits.len(), misfits[0].row, times.null_count()), (1, 1, 1));
        let (flags, misfits) = values(&StringArray::from(vec!["true", "talvez"]), ColumnKind::Boolean);
        assert!(flags.as_boolean().value(0) && misfits.len() == 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(cents in -99_999_999_999_999_999_i128..99_999_999_999_999_999, exponent in 0_u32..6) {
            let sign = if cents < 0 { "-" } else { "" };
            let (units, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
            assert_eq!(money(&format!("{sign}{units}.{rest:02}")), Ok(cents));
            let scaled = cents.unsigned_abs() * 10_u128.pow(exponent);
            assert_eq!(money(&format!("{sign}{scaled}e-{}", exponent + 2)), Ok(cents));
        }
    }
}
