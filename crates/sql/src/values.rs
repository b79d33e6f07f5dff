//! One value of a plain type as PostgreSQL writes it, as text or binary.

mod lists;

use std::fmt::{Display, LowerExp, Write as _};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use datafusion_postgres::pgwire::error::PgWireError;

use crate::error::{code, fault};
use crate::numeric;

pub(crate) use self::lists::put_with_length;

/// 2000-01-01, from which PostgreSQL counts, in days and in microseconds since 1970.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// How many digits floating-point numbers have without an exponent.
const SINGLE_DIGITS: i32 = 6;
const DOUBLE_DIGITS: i32 = 15;
/// Smaller numbers have an exponent.
const EXPONENT_MIN: i32 = -4;
/// Those that have none, of whichever type.
const PLAIN: std::ops::Range<f64> = 0.001..100_000.0;

/// Whether there is no value in this row.
pub(crate) fn is_null(array: &dyn Array, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

/// Writes a value that is there, without its length.
pub(crate) fn write(array: &dyn Array, row: usize, is_binary: bool, out: &mut BytesMut) -> Result<(), PgWireError> {
    if is_binary { write_binary(array, row, out) } else { write_text(array, row, out) }
}

fn write_text(array: &dyn Array, row: usize, out: &mut BytesMut) -> Result<(), PgWireError> {
    // It refuses nothing.
    let _ = match array.data_type() {
        DataType::Boolean => out.write_str(if array.as_boolean().value(row) { "t" } else { "f" }),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row), SINGLE_DIGITS, out),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), DOUBLE_DIGITS, out),
        DataType::Decimal128(_, _) => out.write_str(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Utf8 => out.write_str(array.as_string::<i32>().value(row)),
        DataType::Binary => hex(array.as_binary::<i32>().value(row), out),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row), out),
        DataType::Time64(_) => time(array.as_primitive::<Time64MicrosecondType>().value(row), out),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            timestamp(micros, out).and_then(|()| out.write_str(if zone.is_some() { "+00" } else { "" }))
        }
        DataType::Interval(_) => interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row), out),
        DataType::List(_) => return lists::write_text(array.as_list::<i32>().value(row).as_ref(), out),
        other => return Err(unknown(other)),
    };
    Ok(())
}

fn write_binary(array: &dyn Array, row: usize, out: &mut BytesMut) -> Result<(), PgWireError> {
    match array.data_type() {
        DataType::Boolean => out.put_u8(u8::from(array.as_boolean().value(row))),
        DataType::Int16 => out.put_i16(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => out.put_i32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => out.put_i64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => out.put_f32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => out.put_f64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => numeric::write(&array.as_primitive::<Decimal128Type>().value_as_string(row), out),
        DataType::Utf8 => out.put_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => out.put_slice(array.as_binary::<i32>().value(row)),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row).checked_sub(EPOCH_DAYS);
            out.put_i32(days.ok_or_else(out_of_range)?);
        }
        DataType::Time64(_) => out.put_i64(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(_, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row).checked_sub(EPOCH_MICROS);
            out.put_i64(micros.ok_or_else(out_of_range)?);
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            out.put_i64(value.nanoseconds / NANOS_PER_MICRO);
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        DataType::List(_) => return lists::write_binary(array.as_list::<i32>().value(row).as_ref(), out),
        other => return Err(unknown(other)),
    }
    Ok(())
}

/// Numbers with more digits before the point than these, or many zeros behind it, have an exponent.
fn float<F>(value: F, digits: i32, out: &mut BytesMut) -> std::fmt::Result
where
    F: Into<f64> + Display + LowerExp + Copy,
{
    let wide: f64 = value.into();
    if wide.is_nan() {
        out.write_str("NaN")
    } else if wide.is_infinite() {
        out.write_str(if wide > 0.0 { "Infinity" } else { "-Infinity" })
    } else if wide == 0.0 || PLAIN.contains(&wide.abs()) {
        write!(out, "{value}")
    } else {
        let written = format!("{value:e}");
        let (number, exponent) = written.split_once('e').unwrap_or((written.as_str(), "0"));
        match exponent.parse::<i32>() {
            Ok(exponent) if !(EXPONENT_MIN..digits).contains(&exponent) => write!(out, "{number}e{exponent:+03}"),
            _ => write!(out, "{value}"),
        }
    }
}

fn hex(bytes: &[u8], out: &mut BytesMut) -> std::fmt::Result {
    out.write_str("\\x")?;
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

fn date(days: i32, out: &mut BytesMut) -> std::fmt::Result {
    let epoch = NaiveDate::default();
    let count = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 { epoch.checked_sub_days(count) } else { epoch.checked_add_days(count) };
    match date {
        Some(date) => write!(out, "{}", date.format("%Y-%m-%d")),
        None => out.write_str(if days < 0 { "-infinity" } else { "infinity" }),
    }
}

fn time(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    let seconds = u32::try_from(micros.div_euclid(MICROS_PER_SECOND)).unwrap_or(0);
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or_default();
    write!(out, "{}", time.format("%H:%M:%S"))?;
    fraction(micros.rem_euclid(MICROS_PER_SECOND), out)
}

fn timestamp(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => {
            write!(out, "{}", at.format("%Y-%m-%d %H:%M:%S"))?;
            fraction(micros.rem_euclid(MICROS_PER_SECOND), out)
        }
        None => out.write_str(if micros < 0 { "-infinity" } else { "infinity" }),
    }
}

/// Without zeros at its end.
fn fraction(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let digits = format!("{micros:06}");
    write!(out, ".{}", digits.trim_end_matches('0'))
}

/// In the style `postgres`: `1 year 2 mons 3 days 04:05:06.7`.
fn interval(value: arrow::datatypes::IntervalMonthDayNano, out: &mut BytesMut) -> std::fmt::Result {
    let micros = value.nanoseconds / NANOS_PER_MICRO;
    let mut parts = Vec::new();
    for (count, unit) in [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if micros != 0 || parts.is_empty() {
        let whole = micros.unsigned_abs() / MICROS_PER_SECOND.unsigned_abs();
        let sign = if micros < 0 { "-" } else { "" };
        let mut clock = BytesMut::new();
        write!(clock, "{sign}{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)?;
        fraction(i64::try_from(micros.unsigned_abs() % MICROS_PER_SECOND.unsigned_abs()).unwrap_or(0), &mut clock)?;
        parts.push(String::from_utf8_lossy(&clock).into_owned());
    }
    out.write_str(&parts.join(" "))
}

fn unknown(data_type: &DataType) -> PgWireError {
    fault(code::NOT_SUPPORTED, format!("values of the type {data_type} cannot be sent"), "cast the column to text")
}

fn out_of_range() -> PgWireError {
    fault(code::OUT_OF_RANGE, "a time is out of the range that PostgreSQL has", "")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn both(array: ArrayRef) -> (String, Vec<u8>) {
        let (mut text, mut binary) = (BytesMut::new(), BytesMut::new());
        write(array.as_ref(), 0, false, &mut text).expect("text");
        write(array.as_ref(), 0, true, &mut binary).expect("binary");
        (String::from_utf8(text.to_vec()).expect("text"), binary.to_vec())
    }

    #[test]
    fn values_are_written_as_postgresql_does() {
        let money = Decimal128Array::from(vec![-1_050]).with_precision_and_scale(38, 2).expect("a decimal");
        let moment = TimestampMicrosecondArray::from(vec![EPOCH_MICROS + 1_500_000]);
        let long = IntervalMonthDayNano::new(14, 3, 14_706_700_000_000);
        let cases: [(ArrayRef, &str, &[u8]); 8] = [
            (Arc::new(BooleanArray::from(vec![true])), "t", &[1]),
            (Arc::new(money), "-10.50", &[0, 2, 0, 0, 64, 0, 0, 2, 0, 10, 19, 136]),
            (Arc::new(Date32Array::from(vec![EPOCH_DAYS + 1])), "2000-01-02", &[0, 0, 0, 1]),
            (Arc::new(moment.clone().with_timezone("UTC")), "2000-01-01 00:00:01.5+00", &1_500_000_i64.to_be_bytes()),
            (Arc::new(moment), "2000-01-01 00:00:01.5", &1_500_000_i64.to_be_bytes()),
            (
                Arc::new(Time64MicrosecondArray::from(vec![3_600_000_001])),
                "01:00:00.000001",
                &3_600_000_001_i64.to_be_bytes(),
            ),
            (Arc::new(BinaryArray::from(vec![b"\x01\xff".as_slice()])), "\\x01ff", &[1, 255]),
            (
                Arc::new(IntervalMonthDayNanoArray::from(vec![long])),
                "1 year 2 mons 3 days 04:05:06.7",
                &[0, 0, 0, 3, 108, 150, 110, 224, 0, 0, 0, 3, 0, 0, 0, 14],
            ),
        ];
        for (array, text, binary) in cases {
            assert_eq!(both(array), (text.to_owned(), binary.to_vec()));
        }
        for (value, text) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-Infinity"), (0.1, "0.1")] {
            assert_eq!(both(Arc::new(Float64Array::from(vec![value]))).0, text);
        }
    }

    #[test]
    fn large_and_small_numbers_have_an_exponent() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1e+15"),
            (-123_456_789_012_345_680.0, "-1.2345678901234568e+17"),
            (1e300, "1e+300"),
            (0.0001, "0.0001"),
            (-1.5e-7, "-1.5e-07"),
        ] {
            assert_eq!(both(Arc::new(Float64Array::from(vec![value]))).0, text);
        }
        for (value, text) in [(123_456.7, "123456.7"), (1e6, "1e+06"), (0.0001, "0.0001"), (0.00001, "1e-05")] {
            assert_eq!(both(Arc::new(Float32Array::from(vec![value]))).0, text);
        }
    }
}
