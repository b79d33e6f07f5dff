//! Days as jobs compute them: whole periods, those that touch together, long ones in parts.

use chrono::NaiveDate;
use vitral_catalog::Period;
use vitral_store::warehouse::Days;

/// Days that are computed together: each part searches the files for its rows again, and holds its
/// groups in memory. A year, in whole months too, wherever it begins.
const DAYS_AT_ONCE: i64 = 400;

pub(super) fn next_day(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(NaiveDate::MAX)
}

/// Widened to whole periods.
pub(super) fn whole(per: Period, days: Days) -> Days {
    let last = days.to.pred_opt().unwrap_or(days.to);
    Days { from: per.first(days.from), to: per.next(last) }
}

/// The periods of these days, those that touch together.
pub(super) fn together(per: Period, days: Vec<NaiveDate>) -> Vec<Days> {
    let mut spans: Vec<Days> = Vec::new();
    for day in days {
        let (from, to) = (per.first(day), per.next(day));
        match spans.last_mut() {
            Some(last) if from <= last.to => last.to = last.to.max(to),
            _ => spans.push(Days { from, to }),
        }
    }
    spans
}

/// Cut into parts of whole periods that are computed together.
pub(super) fn at_once(per: Period, days: Days) -> Vec<Days> {
    let mut parts = Vec::new();
    let mut from = days.from;
    while from < days.to {
        let mut to = per.next(from);
        while to < days.to && (per.next(to) - from).num_days() <= DAYS_AT_ONCE {
            to = per.next(to);
        }
        parts.push(Days { from, to: to.min(days.to) });
        from = to;
    }
    parts
}

/// Whether days are so many that it pays to look which of them have rows.
pub(super) fn are_many(days: Days) -> bool {
    (days.to - days.from).num_days() > DAYS_AT_ONCE
}

/// The same for many days of which only these have rows, in order: what lies far from any of them
/// is one part, however long it is.
pub(super) fn around(per: Period, days: Days, with_rows: &[NaiveDate]) -> Parts {
    let mut parts = Parts::default();
    let mut end = days.from;
    for day in with_rows {
        let (from, to) = (per.first(*day), per.next(*day));
        match parts.filled.last_mut() {
            Some(last) if (to - last.from).num_days() <= DAYS_AT_ONCE => last.to = last.to.max(to),
            _ => {
                parts.empty.extend((end < from).then_some(Days { from: end, to: from }));
                parts.filled.push(Days { from, to });
            }
        }
        end = parts.filled.last().map_or(end, |last| last.to);
    }
    parts.empty.extend((end < days.to).then_some(Days { from: end, to: days.to }));
    parts
}

/// Parts of days that are computed one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub filled: Vec<Days>,
    /// Of these days no row is stored.
    pub empty: Vec<Days>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn days(from: &str, to: &str) -> Days {
        Days { from: day(from), to: day(to) }
    }

    #[test]
    fn days_become_periods() {
        assert_eq!(whole(Period::Day, days("2025-05-14", "2025-05-15")), days("2025-05-14", "2025-05-15"));
        assert_eq!(whole(Period::Month, days("2025-05-14", "2025-06-01")), days("2025-05-01", "2025-06-01"));
        assert_eq!(whole(Period::Month, days("2025-12-31", "2026-01-02")), days("2025-12-01", "2026-02-01"));
        let touched = vec![day("2025-05-14"), day("2025-05-15"), day("2025-05-31"), day("2025-07-01")];
        assert_eq!(
            together(Period::Day, touched.clone()),
            [days("2025-05-14", "2025-05-16"), days("2025-05-31", "2025-06-01"), days("2025-07-01", "2025-07-02")]
        );
        assert_eq!(
            together(Period::Month, touched),
            [days("2025-05-01", "2025-06-01"), days("2025-07-01", "2025-08-01")]
        );
    }

    #[test]
    fn long_spans_are_cut_between_periods() {
        let parts = at_once(Period::Day, days("2024-01-01", "2025-03-01"));
        assert_eq!(parts, [days("2024-01-01", "2025-02-04"), days("2025-02-04", "2025-03-01")]);
        let parts = at_once(Period::Month, days("2023-06-01", "2025-01-01"));
        assert_eq!(parts, [days("2023-06-01", "2024-07-01"), days("2024-07-01", "2025-01-01")]);
        assert_eq!(at_once(Period::Day, days("2025-01-01", "2025-01-01")), []);
    }

    #[test]
    fn days_without_rows_are_not_gone_through() {
        let all = days("0001-01-01", "+10000-01-01");
        assert!(are_many(all) && !are_many(days("2025-01-01", "2026-01-01")));
        let nothing = around(Period::Day, all, &[]);
        assert_eq!((nothing.filled, nothing.empty), (vec![], vec![all]));
        let with_rows = ["1999-12-31", "2025-05-14", "2025-05-20", "2026-06-19"].map(day);
        let found = around(Period::Day, all, &with_rows);
        let filled = [("1999-12-31", "2000-01-01"), ("2025-05-14", "2025-05-21"), ("2026-06-19", "2026-06-20")]
            .map(|(a, b)| days(a, b));
        assert_eq!(found.filled, filled);
        let empty = [
            ("0001-01-01", "1999-12-31"),
            ("2000-01-01", "2025-05-14"),
            ("2025-05-21", "2026-06-19"),
            ("2026-06-20", "+10000-01-01"),
        ];
        assert_eq!(found.empty, empty.map(|(a, b)| days(a, b)));
        let months = around(Period::Month, days("2024-01-01", "2026-01-01"), &with_rows[1..3]);
        assert_eq!(months.filled, [days("2025-05-01", "2025-06-01")]);
        assert_eq!(months.empty, [days("2024-01-01", "2025-05-01"), days("2025-06-01", "2026-01-01")]);
    }
}
