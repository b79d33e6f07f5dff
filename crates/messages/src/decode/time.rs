//! RFC 3339 times, in microseconds since the epoch.

use chrono::DateTime;
use chrono_tz::Tz;
use vitral_schemas::time::local_to_utc;

const MICROS: i64 = 1_000_000;
const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what every reader of the archive can show.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;

const FORM: &str = "is not an RFC 3339 time such as 2025-05-14T19:16:00-03:00";
const IMPOSSIBLE: &str = "is not a possible time";
const YEARS: &str = "is not within the years 0001 to 9999";

/// Slots of the cache: ten days of hours, so that the newest hours never push each other out.
const HOURS: usize = 256;

/// A time zone that remembers its offset per local hour, as looking it up is slower than all the
/// rest of the parsing, and the last date, which most events of a batch share.
pub(super) struct Zone {
    zone: Tz,
    date: [u8; 10],
    /// From the epoch to the start of that date.
    date_seconds: i64,
    /// By the local hour since the epoch, modulo the number of slots.
    hours: Vec<Hour>,
}

#[derive(Clone, Copy)]
struct Hour {
    local_hour: i64,
    /// Local less UTC in seconds; none where it changes within the hour.
    offset: Option<i64>,
}

impl Zone {
    pub fn new(zone: Tz) -> Self {
        Self {
            zone,
            date: *b"1970-01-01",
            date_seconds: 0,
            hours: vec![Hour { local_hour: i64::MIN, offset: None }; HOURS],
        }
    }

    #[inline(always)]
    fn day_seconds(&mut self, date: &[u8; 10]) -> Result<i64, &'static str> {
        if self.date != *date {
            self.date_seconds = days_before(date)? * DAY_SECONDS;
            self.date = *date;
        }
        Ok(self.date_seconds)
    }

    #[inline(always)]
    fn utc(&mut self, local: i64) -> Option<i64> {
        let local_hour = local.div_euclid(HOUR_SECONDS);
        let slot = local_hour.rem_euclid(HOURS as i64) as usize;
        if self.hours[slot].local_hour != local_hour {
            self.hours[slot] = Hour { local_hour, offset: self.offset_of(local_hour) };
        }
        match self.hours[slot].offset {
            Some(offset) => Some(local - offset),
            None => self.exact(local),
        }
    }

    /// The one offset of a local hour, if it is the same at its start, its end, and each quarter
    /// between: clock changes are hours apart, so no two of them can hide from that.
    #[cold]
    fn offset_of(&self, local_hour: i64) -> Option<i64> {
        let start = local_hour * HOUR_SECONDS;
        let offset = start - self.exact(start)?;
        let same = |seconds| self.exact(start + seconds) == Some(start + seconds - offset);
        [900, 1_800, 2_700, HOUR_SECONDS - 1].into_iter().all(same).then_some(offset)
    }

    fn exact(&self, local: i64) -> Option<i64> {
        Some(local_to_utc(self.zone, DateTime::from_timestamp(local, 0)?.naive_utc()).timestamp())
    }
}

/// The time that `text` names; without offset it is local in `zone`. Digits beyond the microsecond
/// are cut off. A leap second, `:60` where the day ends in UTC, is the first second of the next
/// day, as in every clock without leap seconds.
#[inline(always)]
pub(super) fn micros(text: &[u8], zone: &mut Zone) -> Result<i64, &'static str> {
    let (civil, rest) = text.split_first_chunk::<19>().ok_or(FORM)?;
    let [date @ .., b'T' | b't' | b' ', h, i, b':', m, n, b':', s, c] = civil else { return Err(FORM) };
    let (hour, minute, second) = (pair(*h, *i)?, pair(*m, *n)?, pair(*s, *c)?);
    let (fraction, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    if hour > 23 || minute > 59 || second > 60 {
        return Err(IMPOSSIBLE);
    }
    let leap = i64::from(second == 60);
    let local = zone.day_seconds(date)? + hour * HOUR_SECONDS + minute * 60 + second - leap;
    let seconds = match offset {
        Some(offset) => local - offset,
        None => zone.utc(local).ok_or(YEARS)?,
    } + leap;
    if leap == 1 && seconds.rem_euclid(DAY_SECONDS) != 0 {
        return Err(IMPOSSIBLE);
    }
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(YEARS);
    }
    Ok(seconds * MICROS + fraction)
}

/// Where a date alone, `2025-05-14` or `2025-05-14Z`, begins in UTC; none of another text.
pub(super) fn midnight_micros(text: &[u8]) -> Option<i64> {
    let date: &[u8; 10] = text.strip_suffix(b"Z").unwrap_or(text).try_into().ok()?;
    Some(days_before(date).ok()? * DAY_SECONDS * MICROS)
}

/// Whether every reader of the archive can show the time.
pub(super) fn is_shown(micros: i64) -> bool {
    (SECONDS_MIN..=SECONDS_MAX).contains(&micros.div_euclid(MICROS))
}

/// The fraction's microseconds, and what follows it.
#[inline(always)]
fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    let [b'.', rest @ ..] = rest else { return Ok((0, rest)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(FORM);
    }
    let micros = (0..6).fold(0, |micros, place| {
        let digit = if place < count { rest[place] - b'0' } else { 0 };
        micros * 10 + i64::from(digit)
    });
    Ok((micros, &rest[count..]))
}

/// The offset in seconds that is all of `rest`; none where there is none.
#[inline(always)]
fn offset(rest: &[u8]) -> Result<Option<i64>, &'static str> {
    match rest {
        [] => Ok(None),
        [b'Z' | b'z'] => Ok(Some(0)),
        [sign @ (b'+' | b'-'), h, i, b':', m, n] => {
            let (hours, minutes) = (pair(*h, *i)?, pair(*m, *n)?);
            if hours > 23 || minutes > 59 {
                return Err(IMPOSSIBLE);
            }
            let seconds = hours * HOUR_SECONDS + minutes * 60;
            Ok(Some(if *sign == b'-' { -seconds } else { seconds }))
        }
        _ => Err(FORM),
    }
}

/// The number that two digits stand for.
#[inline(always)]
fn pair(tens: u8, ones: u8) -> Result<i64, &'static str> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { Err(FORM) } else { Ok(i64::from(tens) * 10 + i64::from(ones)) }
}

/// Days from the epoch to a date such as 2025-05-14, by Howard Hinnant's `days_from_civil`: years
/// start in March, so that the leap day is the last one.
fn days_before(date: &[u8; 10]) -> Result<i64, &'static str> {
    let [y, e, a, r, b'-', m, n, b'-', d, t] = *date else { return Err(FORM) };
    let (year, month, day) = (pair(y, e)? * 100 + pair(a, r)?, pair(m, n)?, pair(d, t)?);
    if year == 0 {
        return Err(YEARS);
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return Err(IMPOSSIBLE);
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Ok(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};
    use chrono_tz::{America, Asia, Australia, Europe, Pacific, Tz, UTC};
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<i64, &'static str> {
        micros(text.as_bytes(), &mut Zone::new(America::Sao_Paulo))
    }

    fn utc(text: &str) -> i64 {
        text.parse::<DateTime<chrono::Utc>>().expect("a time").timestamp_micros()
    }

    #[test]
    fn times_are_read_in_these_forms() {
        for (text, expected) in [
            ("2025-05-14T19:16:00", "2025-05-14T22:16:00Z"),
            ("2025-05-14 19:16:00", "2025-05-14T22:16:00Z"),
            ("2025-05-14t19:16:00z", "2025-05-14T19:16:00Z"),
            ("2025-05-14T19:16:00-03:00", "2025-05-14T22:16:00Z"),
            ("2025-05-14T19:16:00+05:30", "2025-05-14T13:46:00Z"),
            ("2025-05-14T19:16:00-00:00", "2025-05-14T19:16:00Z"),
            ("2025-05-14T19:16:00+23:59", "2025-05-13T19:17:00Z"),
            ("2025-05-14T19:16:00.5Z", "2025-05-14T19:16:00.5Z"),
            ("2025-05-14T19:16:00.123456999Z", "2025-05-14T19:16:00.123456Z"),
            ("1969-12-31T23:59:59.9999999999999999999999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2000-02-29T23:59:59Z", "2000-02-29T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(parsed(text), Ok(utc(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2025",
            "2025-05-14",
            "2025-05-14T19:16",
            "2025-05-14T19:16Z",
            "20250514T191600Z",
            "2025-5-14T19:16:00Z",
            "2025/05/14T19:16:00Z",
            "2025-05-14_19:16:00Z",
            "2025-05-14T19:16:00.Z",
            "2025-05-14T19:16:00,5Z",
            "2025-05-14T19:16:00 Z",
            "2025-05-14T19:16:00Zx",
            "2025-05-14T19:16:00+0300",
            "2025-05-14T19:16:00+03",
            "2025-05-14T19:16:00+3:00",
            "2025-05-14T19:16:00[America/Sao_Paulo]",
            " 2025-05-14T19:16:00Z",
            "+2025-05-14T19:16:00Z",
            "-025-05-14T19:16:00Z",
            "12025-05-14T19:16:00Z",
            "2025-05-14T19:16:0\u{663}Z",
            "2025-05-14T1a:16:00Z",
            "20a5-05-14T19:16:00Z",
            "2025-05-14T19:16:00+0a:00",
        ] {
            assert_eq!(parsed(text), Err(FORM), "{text}");
        }
        for text in [
            "2025-02-30T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-01-32T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:61Z",
            "2025-01-01T00:00:00+24:00",
            "2025-01-01T00:00:00+00:60",
        ] {
            assert_eq!(parsed(text), Err(IMPOSSIBLE), "{text}");
        }
        for text in
            ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:00:00"]
        {
            assert_eq!(parsed(text), Err(YEARS), "{text}");
        }
    }

    #[test]
    fn leap_seconds() {
        assert_eq!(parsed("2016-12-31T23:59:60Z"), Ok(utc("2017-01-01T00:00:00Z")));
        assert_eq!(parsed("2016-12-31T23:59:60.25Z"), Ok(utc("2017-01-01T00:00:00.25Z")));
        assert_eq!(parsed("2017-01-01T05:29:60+05:30"), Ok(utc("2017-01-01T00:00:00Z")));
        // Local: the summer time of São Paulo, two hours behind UTC.
        assert_eq!(parsed("2016-12-31T21:59:60"), Ok(utc("2017-01-01T00:00:00Z")));
        for text in ["2016-12-31T12:30:60Z", "2016-12-31T23:59:60-03:00", "2016-12-31T23:59:60"] {
            assert_eq!(parsed(text), Err(IMPOSSIBLE), "{text}");
        }
        assert_eq!(parsed("9999-12-31T23:59:60Z"), Err(YEARS));
    }

    #[test]
    fn clock_changes() {
        let parsed = |zone: Tz, text: &str| micros(text.as_bytes(), &mut Zone::new(zone));
        // Skipped, forward by an hour; doubled, the earlier.
        assert_eq!(parsed(America::New_York, "2025-03-09T02:30:00"), Ok(utc("2025-03-09T07:30:00Z")));
        assert_eq!(parsed(America::New_York, "2025-11-02T01:30:00"), Ok(utc("2025-11-02T05:30:00Z")));
        assert_eq!(parsed(America::Sao_Paulo, "2018-11-04T00:30:00"), Ok(utc("2018-11-04T03:30:00Z")));
        assert_eq!(parsed(America::Sao_Paulo, "2019-02-16T23:30:00"), Ok(utc("2019-02-17T01:30:00Z")));
        // Within the hour: Lord Howe's clocks change by half an hour.
        assert_eq!(parsed(Australia::Lord_Howe, "2024-10-06T02:10:00"), Ok(utc("2024-10-05T15:40:00Z")));
        assert_eq!(parsed(Australia::Lord_Howe, "2024-10-06T02:40:00"), Ok(utc("2024-10-05T15:40:00Z")));
    }

    /// With clock changes at midnight, by half an hour, by a whole day, off the full hour, and with
    /// none.
    const ZONES: [Tz; 9] = [
        America::Sao_Paulo,
        America::New_York,
        America::St_Johns,
        Europe::London,
        Australia::Lord_Howe,
        Pacific::Apia,
        Asia::Kathmandu,
        Asia::Tehran,
        UTC,
    ];

    fn local_times() -> impl Strategy<Value = Vec<NaiveDateTime>> {
        let epoch = DateTime::UNIX_EPOCH.naive_utc();
        // Sundays around the hours of clock changes, and any time at all.
        let first = NaiveDate::from_ymd_opt(1970, 1, 4).and_then(|day| day.and_hms_opt(0, 0, 0)).unwrap_or(epoch);
        let sunday = (0..3_600_i64, -7_200..14_400_i64)
            .prop_map(move |(week, second)| first + TimeDelta::weeks(week) + TimeDelta::seconds(second));
        let any = (-62_135_000_000..253_402_000_000_i64).prop_map(move |second| epoch + TimeDelta::seconds(second));
        let old = (-3_000_000_000..2_200_000_000_i64).prop_map(move |second| epoch + TimeDelta::seconds(second));
        proptest::collection::vec(prop_oneof![3 => sunday, 1 => any, 2 => old], 1..40)
    }

    proptest! {
        #[test]
        fn the_cache_changes_nothing(zone in prop::sample::select(ZONES.to_vec()), times in local_times()) {
            let mut cached = Zone::new(zone);
            for time in times {
                // A second time from the cache, and its neighbours within the hour.
                for shift in [0, 0, -1, 1, 900, -900, 1_799, 3_600] {
                    let time = time + TimeDelta::seconds(shift);
                    let text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
                    let expected = local_to_utc(zone, time).timestamp_micros();
                    prop_assert_eq!(micros(text.as_bytes(), &mut cached), Ok(expected), "{} {}", zone, text);
                }
            }
        }

        #[test]
        fn same_as_chrono(
            text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?([Zz]|[-+][0-2][0-9]:[0-6][0-9])",
        ) {
            let expected = DateTime::parse_from_rfc3339(&text).ok().filter(|_| &text[17..19] != "60");
            let found = parsed(&text).ok().filter(|_| &text[17..19] != "60");
            prop_assert_eq!(found, expected.map(|time| time.timestamp_micros()), "{}", text);
        }

        #[test]
        fn any_bytes_are_no_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = micros(&text, &mut Zone::new(America::Sao_Paulo));
        }
    }
}
