//! Points of event time, with their units: when an event happened, and how far a stream has come.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::MICROS_PER_MS;

/// When an event happened: microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(i64);

/// How far event time has come, be it of a partition or of a topic: milliseconds since the Unix
/// epoch, UTC. Events that are older by more than the topic's lateness come too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watermark(i64);

impl EventTime {
    /// Before every event.
    pub const MIN: Self = Self(i64::MIN);

    /// Of microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Of milliseconds since the Unix epoch. One that microseconds cannot express is the nearest
    /// that they can.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(MICROS_PER_MS))
    }

    /// So many milliseconds later, or the last that there can be.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(MICROS_PER_MS)))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The millisecond that it lies in, since the Unix epoch.
    pub const fn ms(self) -> i64 {
        self.0.div_euclid(MICROS_PER_MS)
    }
}

impl Watermark {
    /// Of milliseconds since the Unix epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Where a partition stands whose newest event is this one: `delay_ms` behind it, and behind
    /// the wall clock.
    pub fn behind(newest: EventTime, now_ms: i64, delay_ms: i64) -> Self {
        Self(newest.ms().min(now_ms).saturating_sub(delay_ms))
    }

    /// The first event time that is not too late: events before it no longer count.
    pub const fn late_before(self, lateness_ms: i64) -> EventTime {
        EventTime::from_ms(self.0.saturating_sub(lateness_ms))
    }

    /// Whether a window that ends at `end_ms` takes no more rows.
    pub const fn closes(self, end_ms: i64, lateness_ms: i64) -> bool {
        end_ms.saturating_add(lateness_ms) <= self.0
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_before_the_epoch_lies_in_the_millisecond_before_it() {
        assert_eq!(EventTime::from_micros(-1).ms(), -1);
        assert_eq!(EventTime::from_micros(1_999).ms(), 1);
    }

    #[test]
    fn a_partition_trails_its_newest_event_and_never_passes_the_clock() {
        let newest = EventTime::from_ms(50_000);
        assert_eq!(Watermark::behind(newest, 60_000, 10_000), Watermark::from_ms(40_000));
        assert_eq!(Watermark::behind(newest, 45_000, 10_000), Watermark::from_ms(35_000));
        assert_eq!(Watermark::behind(EventTime::MIN, 0, i64::MAX), Watermark::from_ms(i64::MIN), "no overflow");
    }

    #[test]
    fn a_row_at_the_bound_is_not_late_and_a_window_that_reaches_it_is_closed() {
        let watermark = Watermark::from_ms(10_000);
        assert_eq!(watermark.late_before(4_000), EventTime::from_ms(6_000));
        assert!(watermark.closes(6_000, 4_000) && !watermark.closes(6_001, 4_000));
        assert_eq!(watermark.late_before(i64::MAX), EventTime::MIN);
    }
}
