//! PostgreSQL's functions of times: said and read by patterns, in zones, and apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, Months, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::patterns::Pattern;

const DAY_MICROS: i64 = 86_400_000_000;

/// All of them, under names that the engine has not.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    let all = [
        ("pg_to_char", Kind::ToChar),
        ("pg_to_timestamp", Kind::ToTimestamp),
        ("pg_to_date", Kind::ToDate),
        ("pg_timezone", Kind::InZone),
        ("pg_age", Kind::Age),
    ];
    all.into_iter().map(|(name, kind)| {
        let signature = Signature::any(2, Volatility::Immutable);
        ScalarUDF::new_from_impl(OfTimes { name, kind, signature })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A time and a pattern.
    ToChar,
    /// A text and a pattern.
    ToTimestamp,
    ToDate,
    /// A zone and a time, with a zone or without one.
    InZone,
    /// Two times.
    Age,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfTimes {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for OfTimes {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> EngineResult<DataType> {
        let times: &[DataType] = match self.kind {
            Kind::ToChar => arguments.get(..1).unwrap_or_default(),
            Kind::InZone => arguments.get(1..).unwrap_or_default(),
            Kind::Age => arguments,
            Kind::ToTimestamp | Kind::ToDate => &[],
        };
        if let Some(other) = times.iter().find(|kind| !is_time(kind)) {
            let name = self.name.trim_start_matches("pg_");
            return Err(DataFusionError::Plan(format!(
                "{name} is of dates and timestamps, not of {other}: cast it first"
            )));
        }
        Ok(match self.kind {
            Kind::ToChar => DataType::Utf8,
            Kind::ToTimestamp => utc(),
            Kind::ToDate => DataType::Date32,
            Kind::InZone if matches!(arguments.get(1), Some(DataType::Timestamp(_, Some(_)))) => local(),
            Kind::InZone => utc(),
            Kind::Age => DataType::Interval(IntervalUnit::MonthDayNano),
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let [first, second] = arguments.args.as_slice() else {
            return Err(DataFusionError::Plan(format!("{} takes two arguments", self.name)));
        };
        let (first, second) = (first.to_array(arguments.number_rows)?, second.to_array(arguments.number_rows)?);
        let found: ArrayRef = match self.kind {
            Kind::ToChar => Arc::new(to_char(&first, &second)?),
            Kind::ToTimestamp => {
                let read = read(&first, &second)?.into_iter();
                let micros = read.map(|time| time.map(|time| time.and_utc().timestamp_micros()));
                Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            Kind::ToDate => {
                let days = read(&first, &second)?.into_iter();
                let days = days.map(|time| time.map(|time| Date32Type::from_naive_date(time.date())));
                Arc::new(days.collect::<Date32Array>())
            }
            Kind::InZone => in_zone(&first, &second)?,
            Kind::Age => Arc::new(ages(&first, &second)?),
        };
        Ok(ColumnarValue::Array(found))
    }
}

fn is_time(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Timestamp(_, _)
            | DataType::Date32
            | DataType::Date64
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Null
    )
}

fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn failed(message: String) -> DataFusionError {
    DataFusionError::Execution(message)
}

/// The times as UTC has them.
fn times(values: &ArrayRef) -> EngineResult<Vec<Option<NaiveDateTime>>> {
    let values = cast_with_options(values, &local(), &CastOptions { safe: false, ..CastOptions::default() })?;
    let time = |micros: i64| DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc());
    Ok(values.as_primitive::<TimestampMicrosecondType>().iter().map(|micros| micros.and_then(time)).collect())
}

/// For each row what its pattern makes of it. A pattern that is the same again is read once.
fn by_pattern<T, R>(
    values: impl Iterator<Item = Option<T>>,
    patterns: &ArrayRef,
    make: impl Fn(&Pattern, T) -> Result<R, String>,
) -> EngineResult<Vec<Option<R>>> {
    let patterns = cast(patterns, &DataType::Utf8)?;
    let mut known: Option<(String, Pattern)> = None;
    let mut made = Vec::with_capacity(patterns.len());
    for (value, pattern) in values.zip(patterns.as_string::<i32>()) {
        let (Some(value), Some(text)) = (value, pattern) else {
            made.push(None);
            continue;
        };
        let pattern = match known.take() {
            Some((of, pattern)) if of == text => pattern,
            _ => Pattern::new(text).map_err(failed)?,
        };
        made.push(Some(make(&pattern, value).map_err(failed)?));
        known = Some((text.to_owned(), pattern));
    }
    Ok(made)
}

fn to_char(values: &ArrayRef, patterns: &ArrayRef) -> EngineResult<StringArray> {
    let written = by_pattern(times(values)?.into_iter(), patterns, |pattern, time| Ok(pattern.write(time)))?;
    Ok(written.into_iter().collect())
}

fn read(texts: &ArrayRef, patterns: &ArrayRef) -> EngineResult<Vec<Option<NaiveDateTime>>> {
    let texts = cast(texts, &DataType::Utf8)?;
    by_pattern(texts.as_string::<i32>().iter(), patterns, |pattern, text| pattern.read(text))
}

/// The time that a zone's clocks show; of a time without a zone, the moment at which they do.
fn in_zone(zones: &ArrayRef, values: &ArrayRef) -> EngineResult<ArrayRef> {
    let is_moment = matches!(values.data_type(), DataType::Timestamp(_, Some(_)));
    let zones = cast(zones, &DataType::Utf8)?;
    let mut known: Option<(&str, Tz)> = None;
    let mut found = Vec::with_capacity(values.len());
    for (time, name) in times(values)?.into_iter().zip(zones.as_string::<i32>()) {
        let (Some(time), Some(name)) = (time, name) else {
            found.push(None);
            continue;
        };
        let zone = match known {
            Some((of, zone)) if of == name => zone,
            _ => zone(name)?,
        };
        known = Some((name, zone));
        let time = if is_moment { Some(zone.from_utc_datetime(&time).naive_local()) } else { moment(zone, time) };
        found.push(time.map(|time| time.and_utc().timestamp_micros()));
    }
    let found = TimestampMicrosecondArray::from(found);
    Ok(Arc::new(if is_moment { found } else { found.with_timezone("UTC") }))
}

fn zone(name: &str) -> EngineResult<Tz> {
    let found = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| failed(format!("time zone {name:?} not recognized")))
}

/// The moment at which a zone's clocks show a time. Where they jump over it, after the jump.
fn moment(zone: Tz, time: NaiveDateTime) -> Option<NaiveDateTime> {
    let at = |time: &NaiveDateTime| zone.from_local_datetime(time).earliest().map(|at| at.with_timezone(&Utc));
    let found = at(&time).or_else(|| at(&(time + TimeDelta::hours(1))));
    found.map(|found| found.naive_utc())
}

fn ages(first: &ArrayRef, second: &ArrayRef) -> EngineResult<IntervalMonthDayNanoArray> {
    let pairs = times(first)?.into_iter().zip(times(second)?);
    let ages = pairs.map(|(first, second)| {
        let (Some(first), Some(second)) = (first, second) else { return Ok(None) };
        age(first, second).map(Some).ok_or_else(|| failed("interval out of range".to_owned()))
    });
    ages.collect()
}

/// What lies between two times in months, days and less.
fn age(first: NaiveDateTime, second: NaiveDateTime) -> Option<IntervalMonthDayNano> {
    let (later, earlier, sign) = if first < second { (second, first, -1) } else { (first, second, 1) };
    let mut months = (later.year() - earlier.year()) * 12 + place(later.month())? - place(earlier.month())?;
    let mut days = place(later.day())? - place(earlier.day())?;
    let mut micros = later.time().signed_duration_since(earlier.time()).num_microseconds()?;
    if micros < 0 {
        (micros, days) = (micros + DAY_MICROS, days - 1);
    }
    if days < 0 {
        // As many as the earlier month has.
        let month = earlier.date().with_day(1)?;
        let length = month.checked_add_months(Months::new(1))?.signed_duration_since(month).num_days();
        (days, months) = (days + i32::try_from(length).ok()?, months - 1);
    }
    Some(IntervalMonthDayNano::new(months * sign, days * sign, micros * 1_000 * i64::from(sign)))
}

fn place(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}
