//! Simulated time: when the next message is sent, with the shop's daily rhythm.

use chrono::{DateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use crate::random::Random;

/// How busy each full hour of the shop's zone is; between hours the line is straight. Only the
/// proportions matter.
const HOURS: [f64; 24] = [
    0.75, 0.45, 0.28, 0.20, 0.16, 0.20, 0.35, 0.55, 0.80, 1.00, 1.15, 1.30, // up to 11 h
    1.55, 1.45, 1.20, 1.15, 1.15, 1.15, 1.25, 1.50, 1.85, 1.95, 1.70, 1.20,
];
const MINUTE_MS: i64 = 60_000;
const MS_PER_SECOND: f64 = 1_000.0;
const NANOS_PER_SECOND: f64 = 1e9;

/// Slower, a day would pass between two events; faster, they would not differ by a nanosecond.
const RATE_MIN: f64 = 1e-4;
const RATE_MAX: f64 = 1e8;

#[derive(Debug)]
pub(super) struct Clock {
    start_ms: i64,
    elapsed_ns: u64,
    rate: f64,
    rhythm: bool,
    zone: Tz,
    /// The minute for which `factor` and `offset_ms` were worked out.
    minute: i64,
    factor: f64,
    offset_ms: i64,
}

impl Clock {
    pub(super) fn new(start_ms: i64, rate: f64, rhythm: bool, zone: Tz) -> Self {
        let rate = if rate.is_nan() { RATE_MIN } else { rate.clamp(RATE_MIN, RATE_MAX) };
        let mut clock =
            Self { start_ms, elapsed_ns: 0, rate, rhythm, zone, minute: i64::MIN, factor: 1.0, offset_ms: 0 };
        clock.turn_minute();
        clock
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.start_ms.saturating_add((self.elapsed_ns / 1_000_000) as i64)
    }

    /// The zone's offset from UTC.
    pub(super) fn offset_ms(&self) -> i64 {
        self.offset_ms
    }

    /// Mean messages per second at this time of the day.
    pub(super) fn rate_now(&self) -> f64 {
        self.rate * self.factor
    }

    /// Moves on to the next message; says whether a new minute began.
    pub(super) fn advance(&mut self, random: &mut Random) -> bool {
        // The product of two uniform numbers spreads nearly as an exponential does (variance 0.78
        // of 1) and needs no logarithm.
        let gap_seconds = 4.0 * random.unit() * random.unit() / self.rate_now();
        self.elapsed_ns = self.elapsed_ns.saturating_add((gap_seconds * NANOS_PER_SECOND) as u64);
        self.turn_minute()
    }

    fn turn_minute(&mut self) -> bool {
        let minute = self.now_ms().div_euclid(MINUTE_MS);
        if minute == self.minute {
            return false;
        }
        self.minute = minute;
        // Only a year beyond 262,000 is out of range.
        let utc = DateTime::from_timestamp_millis(self.now_ms()).unwrap_or_default();
        let offset = self.zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
        self.offset_ms = i64::from(offset.local_minus_utc()) * MS_PER_SECOND as i64;
        if self.rhythm {
            let local = utc.with_timezone(&offset);
            let (hour, share) = (local.hour() as usize, f64::from(local.minute()) / 60.0);
            let busy = HOURS[hour] * (1.0 - share) + HOURS[(hour + 1) % 24] * share;
            self.factor = busy * 24.0 / HOURS.iter().sum::<f64>();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    /// Midnight in São Paulo.
    const START_MS: i64 = 1_747_191_600_000;

    fn per_hour(rhythm: bool) -> [u32; 24] {
        let mut clock = Clock::new(START_MS, 2.0, rhythm, chrono_tz::America::Sao_Paulo);
        let mut random = Random::new(1);
        let mut hours = [0; 24];
        loop {
            clock.advance(&mut random);
            let elapsed_ms = clock.now_ms() - START_MS;
            if elapsed_ms >= DAY_MS {
                return hours;
            }
            hours[(elapsed_ms / 3_600_000) as usize] += 1;
        }
    }

    #[test]
    fn a_day_has_the_mean_rate_with_and_without_rhythm() {
        for rhythm in [false, true] {
            let sum: u32 = per_hour(rhythm).iter().sum();
            assert!((170_000..176_000).contains(&sum), "{sum}");
        }
    }

    #[test]
    fn nights_are_quiet_and_evenings_busy() {
        let hours = per_hour(true);
        assert!(hours[4] * 10 < hours[21]);
        assert!(hours[12] > hours[10] && hours[12] > hours[15]);
        assert_eq!(hours.iter().max(), Some(&hours[20].max(hours[21])));
        let level = per_hour(false);
        assert!(level.iter().all(|count| (6_900..7_500).contains(count)), "{level:?}");
    }

    #[test]
    fn a_senseless_rate_still_moves_on() {
        for rate in [f64::NAN, 0.0, -1.0] {
            let mut clock = Clock::new(START_MS, rate, false, chrono_tz::UTC);
            clock.advance(&mut Random::new(1));
            assert!(clock.now_ms() > START_MS);
        }
    }
}
