//! Values of typed columns as cells.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveTime, Timelike};

use crate::import::source::{Cell, Kind};

/// Whether a column has values that a cell can hold.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView, Map, RunEndEncoded, Struct, Union};
    match data_type {
        List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) | Struct(_) | Map(..)
        | Union(..) => false,
        DataType::Dictionary(_, values) => is_readable(values),
        RunEndEncoded(_, values) => is_readable(values.data_type()),
        _ => true,
    }
}

/// A column's cells. `is_utc`: a time without a zone is in UTC all the same.
pub(super) fn cells(column: &ArrayRef, is_utc: bool) -> Result<Vec<Option<Cell>>, ArrowError> {
    let exact = |text: String| Some(Cell::new(text, Kind::Exact));
    macro_rules! exact {
        ($type:ty) => {
            each::<$type>(column, |value| exact(value.to_string()))
        };
    }
    Ok(match column.data_type() {
        DataType::Null => vec![None; column.len()],
        DataType::Dictionary(_, values) => return cells(&cast(column, values)?, is_utc),
        DataType::RunEndEncoded(_, values) => return cells(&cast(column, values.data_type())?, is_utc),
        DataType::Utf8 => column.as_string::<i32>().iter().map(written).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(written).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(written).collect(),
        DataType::Binary => column.as_binary::<i32>().iter().map(bytes).collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().map(bytes).collect(),
        DataType::BinaryView => column.as_binary_view().iter().map(bytes).collect(),
        DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().iter().map(fixed).collect(),
        DataType::Boolean => {
            let truth = |value: Option<bool>| Some(Cell::new(value?.to_string(), Kind::Truth));
            column.as_boolean().iter().map(truth).collect()
        }
        DataType::Int8 => exact!(Int8Type),
        DataType::Int16 => exact!(Int16Type),
        DataType::Int32 => exact!(Int32Type),
        DataType::Int64 => exact!(Int64Type),
        DataType::UInt8 => exact!(UInt8Type),
        DataType::UInt16 => exact!(UInt16Type),
        DataType::UInt32 => exact!(UInt32Type),
        DataType::UInt64 => exact!(UInt64Type),
        DataType::Float16 => each::<Float16Type>(column, |value| {
            short(f64::from(value), |text| <Float16Type as ArrowPrimitiveType>::Native::from_f64(text) == value)
        }),
        DataType::Float32 => each::<Float32Type>(column, |value| Some(Cell::new(value.to_string(), Kind::Float))),
        DataType::Float64 => each::<Float64Type>(column, |value| Some(Cell::float(value))),
        DataType::Decimal32(..) => decimals::<Decimal32Type>(column),
        DataType::Decimal64(..) => decimals::<Decimal64Type>(column),
        DataType::Decimal128(..) => decimals::<Decimal128Type>(column),
        DataType::Decimal256(..) => decimals::<Decimal256Type>(column),
        DataType::Date32 => each::<Date32Type>(column, |days| time(i64::from(days), 86_400, 1, Zone::Date)),
        DataType::Date64 => each::<Date64Type>(column, |millis| {
            time(millis, 1, 1_000, if millis % 86_400_000 == 0 { Zone::Date } else { Zone::None })
        }),
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() || is_utc { Zone::Utc } else { Zone::None };
            timestamps(column, unit, zone)
        }
        DataType::Time32(TimeUnit::Second) => each::<Time32SecondType>(column, |value| clock(i64::from(value), 1)),
        DataType::Time32(_) => each::<Time32MillisecondType>(column, |value| clock(i64::from(value), 1_000)),
        DataType::Time64(TimeUnit::Microsecond) => {
            each::<Time64MicrosecondType>(column, |value| clock(value, 1_000_000))
        }
        DataType::Time64(_) => each::<Time64NanosecondType>(column, |value| clock(value, 1_000_000_000)),
        other => {
            let unusable = Cell::new(format!("a value of type {other}, which no column can hold"), Kind::Unusable);
            (0..column.len()).map(|row| column.is_valid(row).then(|| unusable.clone())).collect()
        }
    })
}

fn timestamps(column: &ArrayRef, unit: &TimeUnit, zone: Zone) -> Vec<Option<Cell>> {
    match unit {
        TimeUnit::Second => each::<TimestampSecondType>(column, |value| time(value, 1, 1, zone)),
        TimeUnit::Millisecond => each::<TimestampMillisecondType>(column, |value| time(value, 1, 1_000, zone)),
        TimeUnit::Microsecond => each::<TimestampMicrosecondType>(column, |value| time(value, 1, 1_000_000, zone)),
        TimeUnit::Nanosecond => each::<TimestampNanosecondType>(column, |value| time(value, 1, 1_000_000_000, zone)),
    }
}

fn each<T: ArrowPrimitiveType>(column: &ArrayRef, cell: impl Fn(T::Native) -> Option<Cell>) -> Vec<Option<Cell>> {
    let column: &PrimitiveArray<T> = column.as_primitive();
    column.iter().map(|value| cell(value?)).collect()
}

fn decimals<T: DecimalType>(column: &ArrayRef) -> Vec<Option<Cell>> {
    let column: &PrimitiveArray<T> = column.as_primitive();
    let cell = |row| column.is_valid(row).then(|| Cell::new(column.value_as_string(row), Kind::Exact));
    (0..column.len()).map(cell).collect()
}

fn written(text: Option<&str>) -> Option<Cell> {
    Cell::written(text?.to_owned())
}

fn bytes(bytes: Option<&[u8]>) -> Option<Cell> {
    match std::str::from_utf8(bytes?) {
        Ok(text) => Cell::written(text.to_owned()),
        Err(_) => Some(Cell::new("bytes that are not text".to_owned(), Kind::Unusable)),
    }
}

/// Sixteen bytes that are not text are a UUID.
fn fixed(value: Option<&[u8]>) -> Option<Cell> {
    let raw: Option<[u8; 16]> = value?.try_into().ok();
    match raw {
        Some(raw) if !raw.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
            let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            Some(Cell::new(parts.join("-"), Kind::Exact))
        }
        _ => bytes(value),
    }
}

/// A number with the fewest digits that give it back.
fn short(number: f64, gives_back: impl Fn(f64) -> bool) -> Option<Cell> {
    let texts = (0..=16).map(|digits| format!("{number:.digits$e}"));
    let shortest = texts.filter_map(|text| text.parse().ok()).find(|text| gives_back(*text));
    Some(Cell::float(shortest.unwrap_or(number)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Utc,
    None,
    /// A date alone.
    Date,
}

/// `value` counts `unit` seconds, or parts of one, of which a second has `parts`.
fn time(value: i64, unit: i64, parts: i64, zone: Zone) -> Option<Cell> {
    let (seconds, rest) = (value.div_euclid(parts), value.rem_euclid(parts));
    let nanos = u32::try_from(rest * (1_000_000_000 / parts)).unwrap_or_default();
    let moment = seconds.checked_mul(unit).and_then(|seconds| DateTime::from_timestamp(seconds, nanos));
    let Some(moment) = moment.filter(|moment| (1..=9999).contains(&moment.year())) else {
        return Some(Cell::new(format!("{value}, which is not a possible time"), Kind::Unusable));
    };
    let moment = moment.naive_utc();
    let text = match zone {
        Zone::Utc => moment.format("%Y-%m-%dT%H:%M:%S%.fZ"),
        Zone::None => moment.format("%Y-%m-%dT%H:%M:%S%.f"),
        Zone::Date => moment.format("%Y-%m-%d"),
    };
    Some(Cell::new(text.to_string(), Kind::Time))
}

fn clock(value: i64, parts: i64) -> Option<Cell> {
    let seconds = u32::try_from(value.div_euclid(parts)).ok();
    let nanos = u32::try_from(value.rem_euclid(parts) * (1_000_000_000 / parts)).unwrap_or_default();
    let clock = seconds.and_then(|seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos));
    let Some(clock) = clock.filter(|clock| clock.nanosecond() < 1_000_000_000) else {
        return Some(Cell::new(format!("{value}, which is not a possible time"), Kind::Unusable));
    };
    Some(Cell::new(clock.format("%H:%M:%S%.f").to_string(), Kind::Clock))
}
