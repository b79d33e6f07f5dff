//! Spans of event time, few of them however many times they hold: what lies close together becomes one.

use serde::{Deserialize, Serialize};

/// Times that lie closer than this belong to one span. Less than the shortest day that clocks can make, so that a day within which no time
/// lies is never inside a span.
const GAP_MICROS: i64 = 20 * 3_600_000_000;

/// First and last time of each span, in microseconds; in order, and further apart than the gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Everything up to this time.
    pub(super) fn through(last: i64) -> Self {
        Self(vec![(i64::MIN, last)])
    }

    /// With these spans too, which are in no order.
    pub(super) fn and(self, more: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut all: Vec<(i64, i64)> = self.0.into_iter().chain(more).collect();
        all.sort_unstable();
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for (first, last) in all {
            match spans.last_mut() {
                Some(before) if first.saturating_sub(before.1) < GAP_MICROS => before.1 = before.1.max(last),
                _ => spans.push((first, last)),
            }
        }
        Self(spans)
    }

    /// The part of the spans that lies at or after `from` and before `to`: its first and last time; none if nothing does.
    pub fn within(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let touched = || self.0.iter().filter(|(first, last)| *first < to && *last >= from);
        let (first, _) = touched().next()?;
        let (_, last) = touched().next_back()?;
        Some((*first.max(&from), (*last).min(to - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn close_times_become_one_span_and_days_between_stay_free() {
        let spans = Spans::default().and([(50 * HOUR, 50 * HOUR), (2 * HOUR, 3 * HOUR), (10 * HOUR, 11 * HOUR)]);
        assert_eq!(spans, Spans(vec![(2 * HOUR, 11 * HOUR), (50 * HOUR, 50 * HOUR)]));
        assert_eq!(spans.within(24 * HOUR, 48 * HOUR), None);
        assert_eq!(spans.within(0, 24 * HOUR), Some((2 * HOUR, 11 * HOUR)));
        assert_eq!(spans.within(5 * HOUR, 6 * HOUR), Some((5 * HOUR, 6 * HOUR - 1)));
        assert_eq!(spans.within(0, 100 * HOUR), Some((2 * HOUR, 50 * HOUR)));
        assert_eq!(spans.within(0, 2 * HOUR), None, "the end is not part of it");
        let joined = spans.and([(30 * HOUR, 31 * HOUR)]);
        assert_eq!(joined, Spans(vec![(2 * HOUR, 50 * HOUR)]));
        assert_eq!(Spans::through(5).and([(7, 9)]).within(i64::MIN, 6), Some((i64::MIN, 5)));
    }
}
