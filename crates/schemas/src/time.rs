//! Time at the edges: UTC inside, the domain's zone where people write or read times.

mod civil_days;

use std::sync::OnceLock;
use std::time::Instant;

use chrono::{
    DateTime, Duration, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

pub use civil_days::civil_days;

/// Event times are in microseconds, windows and watermarks in milliseconds.
pub const MICROS_PER_MS: i64 = 1_000;

/// Where "now" comes from; tests inject their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment, for lengths of time: it never steps back.
    fn steady_ms(&self) -> i64;
}

/// The machine's wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        Utc::now().timestamp_millis()
    }

    fn steady_ms(&self) -> i64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        i64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// A clock that stays where it is set.
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicI64);

impl ManualClock {
    /// Stays at `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        Self(now_ms.into())
    }

    /// Sets it; lengths of time follow.
    pub fn set_ms(&self, now_ms: i64) {
        self.0.store(now_ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.now_ms()
    }
}

/// A local time of `zone` in UTC. A time that a clock change skips moves forward by the gap; one
/// that exists twice is the earlier.
pub fn local_to_utc(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    if let Some(found) = zone.from_local_datetime(&local).earliest() {
        return found.with_timezone(&Utc);
    }
    // In a gap: the offset that held before the gap, applied to the skipped time, lands as far
    // behind the gap as the time lay in it. Gaps are at most a day long (a zone that crossed the
    // date line).
    let before = (1..=24 * 4)
        .find_map(|quarters| zone.from_local_datetime(&(local - Duration::minutes(15 * quarters))).latest())
        .map_or_else(TimeDelta::zero, |found| found.naive_local() - found.naive_utc());
    Utc.from_utc_datetime(&(local - before))
}

/// The first instant of a civil day of `zone`, in milliseconds since the epoch. Days follow one
/// another without overlap: where a day begins twice, as in St. John's until 2011, when its clocks
/// went back from 00:01 to 23:01, it begins the second time.
pub fn day_start_ms(zone: Tz, day: NaiveDate) -> i64 {
    let midnight = day.and_time(NaiveTime::MIN);
    if let MappedLocalTime::Ambiguous(_, second) = zone.from_local_datetime(&midnight)
        && (second - TimeDelta::microseconds(1)).date_naive() < day
    {
        return second.timestamp_millis();
    }
    local_to_utc(zone, midnight).timestamp_millis()
}

/// The civil day of `zone` that an instant falls into, as [`day_start_ms`] delimits it.
pub fn civil_day(zone: Tz, micros: i64) -> Option<NaiveDate> {
    let local = DateTime::from_timestamp_micros(micros)?.with_timezone(&zone);
    let day = local.date_naive();
    // Only a day that begins twice has instants before its start, and they are close behind its
    // first midnight.
    let is_early = local.hour() == 0 && micros < day_start_ms(zone, day).saturating_mul(MICROS_PER_MS);
    if is_early { day.pred_opt() } else { Some(day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn local(text: &str) -> NaiveDateTime {
        text.parse().expect("a local time")
    }

    #[test]
    fn plain_local_time() {
        let zone = chrono_tz::America::Sao_Paulo;
        assert_eq!(local_to_utc(zone, local("2025-05-14T19:16:00")), utc("2025-05-14T22:16:00Z"));
    }

    #[test]
    fn skipped_time_moves_forward() {
        let zone = chrono_tz::America::New_York;
        assert_eq!(local_to_utc(zone, local("2025-03-09T02:30:00")), utc("2025-03-09T07:30:00Z"));
        // Brazil's clocks used to change at midnight: the day began at 01:00.
        let zone = chrono_tz::America::Sao_Paulo;
        assert_eq!(
            day_start_ms(zone, NaiveDate::from_ymd_opt(2018, 11, 4).unwrap()),
            utc("2018-11-04T03:00:00Z").timestamp_millis()
        );
        // Samoa skipped a whole day.
        let zone = chrono_tz::Pacific::Apia;
        assert_eq!(local_to_utc(zone, local("2011-12-30T12:00:00")), utc("2011-12-30T22:00:00Z"));
    }

    #[test]
    fn a_day_that_begins_twice_begins_the_second_time() {
        let zone = chrono_tz::America::St_Johns;
        let date = |day| NaiveDate::from_ymd_opt(2006, 10, day).expect("a date");
        // Clocks went back from 00:01 on the 29th to 23:01 on the 28th.
        let second = utc("2006-10-29T03:30:00Z");
        assert_eq!(day_start_ms(zone, date(29)), second.timestamp_millis());
        let day = |time: DateTime<Utc>| civil_day(zone, time.timestamp_micros()).expect("a day");
        let minutes = |minutes| TimeDelta::minutes(minutes);
        let days: Vec<_> = [-61, -60, -59, -30, -1, 0, 1].map(|before| day(second + minutes(before))).to_vec();
        assert_eq!(days, [28, 28, 28, 28, 28, 29, 29].map(date));
        // Havana's clocks go back from 01:00 to 00:00 of the same day: it begins the first time.
        let zone = chrono_tz::America::Havana;
        let first = utc("2024-11-03T04:00:00Z");
        assert_eq!(day_start_ms(zone, NaiveDate::from_ymd_opt(2024, 11, 3).expect("a date")), first.timestamp_millis());
        assert_eq!(civil_day(zone, first.timestamp_micros()), NaiveDate::from_ymd_opt(2024, 11, 3));
    }

    #[test]
    fn doubled_time_is_the_earlier() {
        let zone = chrono_tz::America::New_York;
        assert_eq!(local_to_utc(zone, local("2025-11-02T01:30:00")), utc("2025-11-02T05:30:00Z"));
    }
}
