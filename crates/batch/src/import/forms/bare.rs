//! Times that stand as plain numbers: days that a spreadsheet counts, or seconds since 1970.

use chrono::{DateTime, NaiveDate, TimeDelta};

use crate::import::source::SerialEpoch;

/// What a number counts if it is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::import) enum Count {
    /// Days of a spreadsheet.
    Days,
    /// Since 1970 in UTC.
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Count {
    /// By its size: days of the years 1927 to 2201, seconds from 1973 on, the others from September
    /// 2001 on, so that they have a digit more than 202505141916. None if it is not such a number.
    pub(super) fn of(cell: &str) -> Option<Self> {
        let (whole, fraction) = parts(cell)?;
        let whole: u64 = whole.parse().ok()?;
        match whole {
            10_000..110_000 => Some(Self::Days),
            100_000_000..10_000_000_000 => Some(Self::Seconds),
            _ if !fraction.bytes().all(|byte| byte == b'0') => None,
            1_000_000_000_000..10_000_000_000_000 => Some(Self::Millis),
            1_000_000_000_000_000..10_000_000_000_000_000 => Some(Self::Micros),
            1_000_000_000_000_000_000..10_000_000_000_000_000_000 => Some(Self::Nanos),
            _ => None,
        }
    }

    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Days => "a date without its format (days as a spreadsheet counts them): format the column as a date",
            _ => "a time as programs count it (since 1970)",
        }
    }

    /// The moment, as RFC 3339 writes it; days are local.
    pub(super) fn moment(self, cell: &str, epoch: SerialEpoch) -> Option<String> {
        let (whole, fraction) = parts(cell)?;
        if self == Self::Days {
            let days: f64 = format!("{whole}.{fraction}0").parse().ok()?;
            let first = match epoch {
                // The leap day that 1900 did not have comes before all days that are looked at.
                SerialEpoch::From1900 => NaiveDate::from_ymd_opt(1899, 12, 30)?,
                SerialEpoch::From1904 => NaiveDate::from_ymd_opt(1904, 1, 1)?,
            };
            // A spreadsheet keeps some 15 digits: ten of a day, which is less than a millisecond.
            let millis = (days * 86_400_000.0).round() as i64;
            let moment = first.and_hms_opt(0, 0, 0)?.checked_add_signed(TimeDelta::milliseconds(millis))?;
            return Some(moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string());
        }
        let whole: i64 = whole.parse().ok()?;
        let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        let (seconds, nanos) = match self {
            Self::Days | Self::Seconds => (whole, nanos),
            Self::Millis => (whole / 1_000, whole % 1_000 * 1_000_000),
            Self::Micros => (whole / 1_000_000, whole % 1_000_000 * 1_000),
            Self::Nanos => (whole / 1_000_000_000, whole % 1_000_000_000),
        };
        let moment = DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
        Some(moment.naive_utc().format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
    }
}

/// The digits before and behind the point or comma.
fn parts(cell: &str) -> Option<(&str, &str)> {
    let cell = cell.trim();
    let (whole, fraction) = cell.split_once(['.', ',']).unwrap_or((cell, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() && is_digits(whole) && is_digits(fraction)).then_some((whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_times() {
        let cases = [
            ("45791.8027777778", "2025-05-14T19:16:00"),
            ("45791,5", "2025-05-14T12:00:00"),
            ("45791", "2025-05-14T00:00:00"),
            ("1747260960", "2025-05-14T22:16:00Z"),
            ("1747260960.25", "2025-05-14T22:16:00.250Z"),
            ("1747260960001", "2025-05-14T22:16:00.001Z"),
            ("1747260960000001", "2025-05-14T22:16:00.000001Z"),
            ("1747260960000000001", "2025-05-14T22:16:00.000000001Z"),
        ];
        for (cell, expected) in cases {
            let count = Count::of(cell).expect(cell);
            assert_eq!(count.moment(cell, SerialEpoch::From1900).as_deref(), Some(expected), "{cell}");
        }
        assert_eq!(Count::Days.moment("44329.5", SerialEpoch::From1904).as_deref(), Some("2025-05-14T12:00:00"));
        for cell in ["7", "2025", "1.2.3", "", "-45791", "45791 h", "99999999", "202505141916", "140520251916"] {
            assert_eq!(Count::of(cell), None, "{cell}");
        }
    }
}
