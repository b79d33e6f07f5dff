//! When a report is due: once a day, at its time in the domain's zone.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use vitral_schemas::time::local_to_utc;

/// The newest day whose report is due at `now_ms` and was not made by `last_ms`, and the time that
/// the report is of, however late it is made. What was missed while no process ran is made once,
/// for the newest of those days.
pub(crate) fn due(at: NaiveTime, zone: Tz, now_ms: i64, last_ms: i64) -> Option<(NaiveDate, i64)> {
    let now = DateTime::<Utc>::from_timestamp_millis(now_ms)?.with_timezone(&zone);
    let today = now.date_naive();
    let days = [Some(today), today.checked_sub_days(Days::new(1))];
    let mut due = days.into_iter().flatten().map(|day| (day, instant(day, at, zone)));
    let (newest, due_ms) = due.find(|(_, due_ms)| *due_ms <= now_ms)?;
    (due_ms > last_ms).then_some((newest, due_ms))
}

fn instant(day: NaiveDate, at: NaiveTime, zone: Tz) -> i64 {
    local_to_utc(zone, day.and_time(at)).timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: Tz = chrono_tz::America::Sao_Paulo;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
    }

    fn at_eight(now: &str, last: &str) -> Option<(NaiveDate, i64)> {
        due(NaiveTime::from_hms_opt(8, 0, 0).expect("a time"), ZONE, ms(now), ms(last))
    }

    fn day_due(now: &str, last: &str) -> Option<String> {
        at_eight(now, last).map(|(day, _)| day.to_string())
    }

    #[test]
    fn a_report_is_due_once_a_day_at_its_time_in_the_zone() {
        assert_eq!(day_due("2026-11-28T10:59:59Z", "2026-11-27T11:00:00Z"), None);
        assert_eq!(day_due("2026-11-28T11:00:00Z", "2026-11-27T11:00:00Z").as_deref(), Some("2026-11-28"));
        assert_eq!(day_due("2026-11-28T20:00:00Z", "2026-11-28T11:00:00Z"), None);
    }

    #[test]
    fn of_days_that_were_missed_the_newest_is_made() {
        assert_eq!(day_due("2026-11-28T09:00:00Z", "2026-11-20T11:00:00Z").as_deref(), Some("2026-11-27"));
        assert_eq!(day_due("2026-11-28T09:00:00Z", "2026-11-27T12:00:00Z"), None);
        let late = at_eight("2026-11-28T09:00:00Z", "2026-11-20T11:00:00Z").expect("a day");
        assert_eq!(late.1, ms("2026-11-27T11:00:00Z"), "it is of its own time");
    }

    #[test]
    fn a_time_that_a_day_does_not_have_moves_forward() {
        let at = NaiveTime::from_hms_opt(0, 30, 0).expect("a time");
        // Clocks went from 00:00 to 01:00.
        let day = NaiveDate::from_ymd_opt(2018, 11, 4).expect("a day");
        assert_eq!(instant(day, at, ZONE), ms("2018-11-04T01:30:00-02:00"));
    }
}
