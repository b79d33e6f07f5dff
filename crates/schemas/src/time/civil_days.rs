//! Days of many instants at once.

use std::cell::Cell;

use arrow::array::{Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::civil_day;

const HOUR_MICROS: i64 = 3_600_000_000;
/// Hours of a batch that are remembered at most: 23 years.
const HOURS_MAX: i64 = 200_000;

/// What is known of an hour since the Unix epoch.
#[derive(Clone, Copy)]
enum Hour {
    NotAsked,
    /// All of it is on this day.
    On(i32),
    /// A day begins in it, or its clocks are changed.
    Mixed,
}

/// The day of each instant in a zone. The calendar is asked for the hours that the instants touch,
/// and where clocks change for each.
pub fn civil_days(zone: Tz, times: &TimestampMicrosecondArray) -> Result<Date32Array, ArrowError> {
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

fn ask(hour: i64, zone: Tz) -> Result<Hour, ArrowError> {
    let (start, end) = (hour * HOUR_MICROS, (hour + 1) * HOUR_MICROS - 1);
    let offset = |micros| Ok::<_, ArrowError>(local(micros, zone)?.offset().fix());
    let day = date(start, zone)?;
    Ok(if day == date(end, zone)? && offset(start)? == offset(end)? { Hour::On(day) } else { Hour::Mixed })
}

fn date(micros: i64, zone: Tz) -> Result<i32, ArrowError> {
    let day = civil_day(zone, micros).ok_or_else(|| beyond(micros))?;
    Ok(Date32Type::from_naive_date(day))
}

fn local(micros: i64, zone: Tz) -> Result<DateTime<Tz>, ArrowError> {
    let utc = DateTime::from_timestamp_micros(micros).ok_or_else(|| beyond(micros))?;
    Ok(zone.from_utc_datetime(&utc.naive_utc()))
}

fn beyond(micros: i64) -> ArrowError {
    ArrowError::ComputeError(format!("{micros} microseconds are beyond the calendar"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, TimeUnit};

    use super::*;

    /// Around every change of clocks of some zones, and days at random. Where a day begins twice,
    /// what lies between the two midnights is the day before, which the cast does not know.
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
            let is_between_midnights =
                |micros: &i64| Some(local(*micros, tz).expect("a time").date_naive()) != civil_day(tz, *micros);
            let (between, cast_alike): (Vec<_>, Vec<_>) =
                instants.into_iter().flatten().partition(is_between_midnights);
            assert_eq!(between.is_empty(), zone != "America/St_Johns", "{zone}");
            let mut instants: Vec<_> = cast_alike.into_iter().map(Some).collect();
            instants.push(None);
            let times = TimestampMicrosecondArray::from(instants).with_timezone("UTC");
            let zoned = cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))).expect("local");
            let expected = cast(&zoned, &DataType::Date32).expect("days");
            // Also in parts, whose hours are all remembered.
            assert_eq!(&civil_days(tz, &times).expect("days"), expected.as_primitive::<Date32Type>(), "{zone}");
            for start in (0..times.len()).step_by(300) {
                let len = 300.min(times.len() - start);
                let found = civil_days(tz, &times.slice(start, len)).expect("days");
                assert_eq!(&found, expected.slice(start, len).as_primitive::<Date32Type>(), "{zone} from {start}");
            }
        }
    }
}
