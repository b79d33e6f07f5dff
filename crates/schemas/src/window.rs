//! Event-time windows and the panes they are made of.
//!
//! Time is cut into panes, each belonging to a whole number of windows: fixed windows into panes of
//! gcd(size, slide) since the Unix epoch in UTC, civil windows into days of the domain's zone. An
//! aggregate is kept per pane and merged per window, so a sliding window costs no more to fold than
//! a tumbling one.

use chrono::{Datelike, Days, Months, NaiveDate};
use chrono_tz::Tz;

use crate::time::{MICROS_PER_MS, civil_day, day_start_ms};

/// How a metric's windows lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Windows of `size_ms` that start every `slide_ms`, aligned to the Unix epoch.
    Fixed {
        /// How long a window is.
        size_ms: i64,
        /// From one start to the next.
        slide_ms: i64,
    },
    /// Windows of `size` days that start every civil day of the domain's zone.
    Days {
        /// How many days a window has.
        size: u32,
    },
    /// Calendar months of the domain's zone.
    Month,
    /// Sessions of a key: events nearer to each other than the gap, cut at the civil days of the
    /// domain's zone. Where they begin and end is in the rows; what is known without them is of the
    /// days that they are cut at.
    Session {
        /// An event this much after the last one begins a new session.
        gap_ms: i64,
    },
}

impl Window {
    /// The gap of sessions, in microseconds; none of windows that lie in time by themselves.
    pub fn session_gap_micros(self) -> Option<i64> {
        match self {
            Self::Session { gap_ms } => Some(gap_ms * MICROS_PER_MS),
            Self::Fixed { .. } | Self::Days { .. } | Self::Month => None,
        }
    }
}

/// A window's bounds in milliseconds since the epoch: `start <= event time < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bounds {
    /// Where it begins.
    pub start_ms: i64,
    /// Where it ends; this moment is not in it.
    pub end_ms: i64,
}

/// A [`Window`] in a zone: everything that depends on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Which windows.
    pub window: Window,
    /// Whose days and months.
    pub zone: Tz,
}

impl Windows {
    /// The windows of `window` in `zone`.
    pub fn new(window: Window, zone: Tz) -> Self {
        Self { window, zone }
    }

    /// The pane that an event time falls into: its start in milliseconds.
    pub fn pane_start_ms(&self, event_micros: i64) -> i64 {
        match self.window {
            Window::Fixed { size_ms, slide_ms } => {
                let pane = gcd(size_ms, slide_ms);
                event_micros.div_euclid(pane * MICROS_PER_MS) * pane
            }
            Window::Days { .. } | Window::Month | Window::Session { .. } => {
                day_start_ms(self.zone, self.day(event_micros))
            }
        }
    }

    /// The pane after the one that starts at `pane_ms`.
    pub fn pane_end_ms(&self, pane_ms: i64) -> i64 {
        match self.window {
            Window::Fixed { size_ms, slide_ms } => pane_ms + gcd(size_ms, slide_ms),
            Window::Days { .. } | Window::Month | Window::Session { .. } => {
                day_start_ms(self.zone, self.day(pane_ms * MICROS_PER_MS) + Days::new(1))
            }
        }
    }

    /// The most windows that share a pane.
    pub fn windows_per_pane(&self) -> usize {
        match self.window {
            Window::Fixed { size_ms, slide_ms } => usize::try_from((size_ms + slide_ms - 1) / slide_ms).unwrap_or(1),
            Window::Days { size } => size as usize,
            Window::Month | Window::Session { .. } => 1,
        }
    }

    /// The `nth` window (0 = the latest start) that contains the pane, if there is one.
    pub fn nth_window(&self, pane_ms: i64, nth: usize) -> Option<Bounds> {
        match self.window {
            Window::Fixed { size_ms, slide_ms } => {
                let start_ms = (pane_ms.div_euclid(slide_ms) - i64::try_from(nth).ok()?) * slide_ms;
                (start_ms + size_ms > pane_ms).then_some(Bounds { start_ms, end_ms: start_ms + size_ms })
            }
            Window::Days { size } => {
                let first = self.day(pane_ms * MICROS_PER_MS) - Days::new(nth as u64);
                let start_ms = day_start_ms(self.zone, first);
                // A zone that crosses the date line skips a day; no window starts on a day that
                // never was.
                (nth < size as usize && self.day(start_ms * MICROS_PER_MS) == first)
                    .then(|| Bounds { start_ms, end_ms: day_start_ms(self.zone, first + Days::new(size.into())) })
            }
            Window::Month => (nth == 0).then(|| {
                let day = self.day(pane_ms * MICROS_PER_MS);
                let first = day.with_day(1).unwrap_or(day);
                Bounds {
                    start_ms: day_start_ms(self.zone, first),
                    end_ms: day_start_ms(self.zone, first + Months::new(1)),
                }
            }),
            Window::Session { .. } => {
                (nth == 0).then(|| Bounds { start_ms: pane_ms, end_ms: self.pane_end_ms(pane_ms) })
            }
        }
    }

    /// Every window that contains the pane, latest start first.
    pub fn windows_of(&self, pane_ms: i64) -> impl Iterator<Item = Bounds> + '_ {
        (0..self.windows_per_pane()).filter_map(move |nth| self.nth_window(pane_ms, nth))
    }

    /// The end of the last window that contains the pane: until then the pane is needed.
    pub fn last_end_ms(&self, pane_ms: i64) -> i64 {
        self.nth_window(pane_ms, 0).map_or(pane_ms, |bounds| bounds.end_ms)
    }

    /// The start of the first window that ends after this instant: all that start earlier have
    /// ended by then.
    pub fn first_open_ms(&self, at_ms: i64) -> i64 {
        let pane_ms = self.pane_start_ms(at_ms * MICROS_PER_MS);
        self.windows_of(pane_ms).map(|bounds| bounds.start_ms).min().unwrap_or(pane_ms)
    }

    /// The bounds of the window that starts at `start_ms`.
    pub fn bounds(&self, start_ms: i64) -> Bounds {
        let end_ms = match self.window {
            Window::Fixed { size_ms, .. } => start_ms + size_ms,
            Window::Days { size } => {
                day_start_ms(self.zone, self.day(start_ms * MICROS_PER_MS) + Days::new(size.into()))
            }
            Window::Month => day_start_ms(self.zone, self.day(start_ms * MICROS_PER_MS) + Months::new(1)),
            Window::Session { .. } => self.pane_end_ms(start_ms),
        };
        Bounds { start_ms, end_ms }
    }

    /// An upper bound of how long a window lasts. A civil day has at most 25 hours, but for rare
    /// changes of a zone.
    pub fn longest_ms(&self) -> i64 {
        const DAY_MS: i64 = 26 * 3_600_000;
        match self.window {
            Window::Fixed { size_ms, .. } => size_ms,
            Window::Days { size } => i64::from(size) * DAY_MS,
            Window::Month => 31 * DAY_MS,
            Window::Session { .. } => DAY_MS,
        }
    }

    /// How much event time is open behind the newest event, for partitions that are ahead of
    /// others: that of the longest window. A session goes on as long as its key does, but what is
    /// kept of it does not grow with it.
    pub fn spread_ms(&self) -> i64 {
        match self.window {
            Window::Session { gap_ms } => gap_ms,
            Window::Fixed { .. } | Window::Days { .. } | Window::Month => self.longest_ms(),
        }
    }

    fn day(&self, micros: i64) -> NaiveDate {
        // Out of chrono's range only for years beyond 262,000; the decoder refuses such times.
        civil_day(self.zone, micros).unwrap_or_default()
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Fixed { size_ms, slide_ms } if size_ms == slide_ms => f.write_str(&duration_text(size_ms)),
            Self::Fixed { size_ms, slide_ms } => {
                write!(f, "{} sliding by {}", duration_text(size_ms), duration_text(slide_ms))
            }
            Self::Days { size: 1 } => f.write_str("1 day"),
            Self::Days { size } => write!(f, "{size} days sliding by 1 day"),
            Self::Month => f.write_str("1 month"),
            Self::Session { gap_ms } => write!(f, "sessions with a gap of {}", duration_text(gap_ms)),
        }
    }
}

fn duration_text(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let (unit_ms, unit) = UNITS.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / unit_ms)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAO_PAULO: Tz = chrono_tz::America::Sao_Paulo;

    fn ms(text: &str) -> i64 {
        text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis()
    }

    #[test]
    fn sliding_windows_share_panes() {
        let windows = Windows::new(Window::Fixed { size_ms: 300_000, slide_ms: 60_000 }, SAO_PAULO);
        let pane = windows.pane_start_ms(ms("2025-05-14T12:07:59.999Z") * 1000);
        assert_eq!(pane, ms("2025-05-14T12:07:00Z"));
        let starts: Vec<_> = windows.windows_of(pane).map(|bounds| bounds.start_ms).collect();
        assert_eq!(starts, (0..5).map(|k| pane - k * 60_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_slide_that_does_not_divide_the_size() {
        let windows = Windows::new(Window::Fixed { size_ms: 5_000, slide_ms: 2_000 }, SAO_PAULO);
        // Panes of 1 s; second 3 lies in the windows that start at 2, 0 and -1 is none: 2, 0, and
        // -2 has ended at 3.
        let starts: Vec<_> = windows.windows_of(3_000).map(|bounds| bounds.start_ms).collect();
        assert_eq!(starts, vec![2_000, 0]);
        let starts: Vec<_> = windows.windows_of(4_000).map(|bounds| bounds.start_ms).collect();
        assert_eq!(starts, vec![4_000, 2_000, 0]);
    }

    #[test]
    fn civil_days_follow_the_zone_and_its_clock_changes() {
        let windows = Windows::new(Window::Days { size: 1 }, chrono_tz::America::New_York);
        let pane = windows.pane_start_ms(ms("2025-03-09T18:00:00Z") * 1000);
        assert_eq!(pane, ms("2025-03-09T05:00:00Z"));
        assert_eq!(windows.bounds(pane).end_ms - pane, 23 * 3_600_000);
        let windows = Windows::new(Window::Month, SAO_PAULO);
        let pane = windows.pane_start_ms(ms("2025-03-01T02:59:59Z") * 1000);
        assert_eq!(
            windows.windows_of(pane).next(),
            Some(Bounds { start_ms: ms("2025-02-01T03:00:00Z"), end_ms: ms("2025-03-01T03:00:00Z") })
        );
    }

    /// Clocks that go back over midnight, from 00:01 to 23:01, cut no day in two.
    #[test]
    fn days_that_begin_twice_are_whole() {
        let windows = Windows::new(Window::Days { size: 1 }, chrono_tz::America::St_Johns);
        let (before, after) = (ms("2006-10-28T02:30:00Z"), ms("2006-10-29T03:30:00Z"));
        for minute in 0..180 {
            let at_ms = ms("2006-10-29T01:30:00Z") + minute * 60_000;
            let pane_ms = windows.pane_start_ms(at_ms * 1000);
            assert_eq!(pane_ms, if at_ms < after { before } else { after }, "minute {minute}");
            assert!(at_ms < windows.pane_end_ms(pane_ms), "minute {minute}");
        }
        assert_eq!(windows.bounds(before), Bounds { start_ms: before, end_ms: after });
    }

    fn any_window() -> impl Strategy<Value = Window> {
        prop_oneof![
            (1i64..500, 1i64..500).prop_map(|(a, b)| Window::Fixed { size_ms: a.max(b) * 7, slide_ms: a.min(b) * 7 }),
            (1u32..40).prop_map(|size| Window::Days { size }),
            Just(Window::Month),
            (1i64..500).prop_map(|seconds| Window::Session { gap_ms: seconds * 1_000 }),
        ]
    }

    proptest! {
        #[test]
        fn an_event_lies_in_its_pane_and_in_each_of_its_windows(
            window in any_window(),
            zone in prop_oneof![Just(SAO_PAULO), Just(chrono_tz::America::New_York), Just(chrono_tz::Pacific::Apia), Just(chrono_tz::America::St_Johns), Just(chrono_tz::UTC)],
            micros in 0i64..2_000_000_000_000_000,
        ) {
            let windows = Windows::new(window, zone);
            let pane = windows.pane_start_ms(micros);
            prop_assert!(pane * 1000 <= micros && micros < windows.pane_end_ms(pane) * 1000);
            prop_assert_eq!(windows.pane_start_ms(pane * 1000), pane);
            let all: Vec<_> = windows.windows_of(pane).collect();
            prop_assert!(!all.is_empty());
            for bounds in &all {
                prop_assert!(bounds.start_ms <= pane && windows.pane_end_ms(pane) <= bounds.end_ms);
                prop_assert_eq!(windows.bounds(bounds.start_ms), *bounds);
                prop_assert!(bounds.end_ms - bounds.start_ms <= windows.longest_ms());
            }
            prop_assert_eq!(all.iter().map(|bounds| bounds.end_ms).max(), Some(windows.last_end_ms(pane)));
            let open = windows.first_open_ms(micros / 1000);
            prop_assert!(windows.bounds(open).end_ms > micros / 1000);
            // The window before it, which an instant just before it may lie in, has ended.
            let before = windows.windows_of(windows.pane_start_ms((open - 1) * 1000)).filter(|bounds| bounds.start_ms < open);
            prop_assert!(before.into_iter().all(|bounds| bounds.end_ms <= micros / 1000));
        }
    }
}
