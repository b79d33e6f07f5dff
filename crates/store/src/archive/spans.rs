//! Spans of event time, few of them however many times they hold: what lies close together becomes
//! one.

use serde::{Deserialize, Serialize};
use vitral_schemas::event_time::EventTime;

/// Times that lie closer than this belong to one span. Less than the shortest day that clocks can
/// make, so that a day within which no time lies is never inside a span.
const GAP_MICROS: i64 = 20 * 3_600_000_000;

/// First and last time of each span; in order, and further apart than the gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans(Vec<(EventTime, EventTime)>);

impl Spans {
    /// Everything up to this time.
    pub(super) fn through(last: EventTime) -> Self {
        Self(vec![(EventTime::MIN, last)])
    }

    /// With these spans too, which are in no order.
    pub(super) fn and(self, more: impl IntoIterator<Item = (EventTime, EventTime)>) -> Self {
        let mut all: Vec<(EventTime, EventTime)> = self.0.into_iter().chain(more).collect();
        all.sort_unstable();
        let mut spans: Vec<(EventTime, EventTime)> = Vec::new();
        let gap_micros = |before: EventTime, next: EventTime| next.micros().saturating_sub(before.micros());
        for (first, last) in all {
            match spans.last_mut() {
                Some(before) if gap_micros(before.1, first) < GAP_MICROS => before.1 = before.1.max(last),
                _ => spans.push((first, last)),
            }
        }
        Self(spans)
    }

    /// The part of the spans that lies at or after `from` and before `to`: its first and last time;
    /// none if nothing does.
    pub fn within(&self, from: EventTime, to: EventTime) -> Option<(EventTime, EventTime)> {
        let touched = || self.0.iter().filter(|(first, last)| *first < to && *last >= from);
        let (first, _) = touched().next()?;
        let (_, last) = touched().next_back()?;
        Some((*first.max(&from), (*last).min(EventTime::from_micros(to.micros() - 1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn span((first, last): (i64, i64)) -> (EventTime, EventTime) {
        (EventTime::from_micros(first), EventTime::from_micros(last))
    }

    fn within(spans: &Spans, from: i64, to: i64) -> Option<(i64, i64)> {
        let found = spans.within(EventTime::from_micros(from), EventTime::from_micros(to));
        found.map(|(first, last)| (first.micros(), last.micros()))
    }

    #[test]
    fn close_times_become_one_span_and_days_between_stay_free() {
        let all = [(50 * HOUR, 50 * HOUR), (2 * HOUR, 3 * HOUR), (10 * HOUR, 11 * HOUR)];
        let spans = Spans::default().and(all.map(span));
        assert_eq!(spans, Spans([(2 * HOUR, 11 * HOUR), (50 * HOUR, 50 * HOUR)].map(span).to_vec()));
        assert_eq!(within(&spans, 24 * HOUR, 48 * HOUR), None);
        assert_eq!(within(&spans, 0, 24 * HOUR), Some((2 * HOUR, 11 * HOUR)));
        assert_eq!(within(&spans, 5 * HOUR, 6 * HOUR), Some((5 * HOUR, 6 * HOUR - 1)));
        assert_eq!(within(&spans, 0, 100 * HOUR), Some((2 * HOUR, 50 * HOUR)));
        assert_eq!(within(&spans, 0, 2 * HOUR), None, "the end is not part of it");
        let joined = spans.and([span((30 * HOUR, 31 * HOUR))]);
        assert_eq!(joined, Spans(vec![span((2 * HOUR, 50 * HOUR))]));
        let through = Spans::through(EventTime::from_micros(5)).and([span((7, 9))]);
        assert_eq!(within(&through, i64::MIN, 6), Some((i64::MIN, 5)));
    }
}
