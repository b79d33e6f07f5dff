//! Days as commands take them.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

/// A day in the domain's zone; the user need not know which that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    Date(NaiveDate),
    Today,
    Yesterday,
    /// The day that this time is in.
    Of(DateTime<Utc>),
}

impl Day {
    pub fn in_zone(self, zone: Tz, now: DateTime<Utc>) -> NaiveDate {
        let today = now.with_timezone(&zone).date_naive();
        match self {
            Self::Date(date) => date,
            Self::Today => today,
            Self::Yesterday => today.pred_opt().unwrap_or(today),
            Self::Of(time) => time.with_timezone(&zone).date_naive(),
        }
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "today" => return Ok(Self::Today),
            "yesterday" => return Ok(Self::Yesterday),
            _ => {}
        }
        let date = text.parse::<NaiveDate>().ok().filter(|date| (1..=9999).contains(&date.year())).map(Self::Date);
        let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| Self::Of(time.to_utc()));
        date.or_else(time).ok_or_else(|| {
            "write a day (2025-12-31), today, yesterday, or a time with its offset (2025-12-31T02:30:00-03:00)"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_shop() {
        let now = "2025-06-01T02:30:00Z".parse().expect("a time");
        let days = |text: &str| {
            let day: Day = text.parse().expect(text);
            let zones = [chrono_tz::America::Sao_Paulo, chrono_tz::Asia::Tokyo];
            zones.map(|zone| day.in_zone(zone, now).to_string())
        };
        assert_eq!(days("2025-12-31"), ["2025-12-31", "2025-12-31"]);
        assert_eq!(days("today"), ["2025-05-31", "2025-06-01"]);
        assert_eq!(days("yesterday"), ["2025-05-30", "2025-05-31"]);
        assert_eq!(days("2025-05-14T23:30:00-03:00"), ["2025-05-14", "2025-05-15"]);
        assert_eq!(days("2025-05-14T02:30:00+00:00"), ["2025-05-13", "2025-05-14"]);
        for wrong in ["31/12/2025", "tomorrow", "2025-05-14T02:30:00", "", "0000-12-31", "+10000-01-01"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }
}
