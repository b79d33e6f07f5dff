//! How people write dates and times. A cell is read without a guess: where only the column can tell
//! which number is the day, that stays open.

use chrono::{NaiveDate, NaiveTime};

use super::Dates;
use super::words::{is_filler, month};

/// A point of time that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) date: Date,
    pub(super) clock: Option<Clock>,
    /// `Z`, or as in `-03:00`.
    pub(super) offset: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Date {
    /// The year is first, or the month is a word.
    Clear(NaiveDate),
    /// Three numbers.
    Open { numbers: [u32; 3], has_short_year: bool, has_hyphens: bool },
}

impl Date {
    /// The day that is meant if the numbers are in this order.
    pub(super) fn on(self, dates: Dates) -> Option<NaiveDate> {
        let (numbers, has_short_year) = match self {
            Self::Clear(date) => return Some(date),
            Self::Open { numbers, has_short_year, .. } => (numbers, has_short_year),
        };
        let [first, second, third] = numbers;
        let (year, month, day) = match dates {
            Dates::Dmy => (third, second, first),
            Dates::Mdy => (third, first, second),
            Dates::Ymd if has_short_year => (first, second, third),
            Dates::Ymd => return None,
        };
        let year = if has_short_year { long_year(year) } else { year };
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
    }
}

/// Years of two digits are those of POSIX: 69 to 99 are of the last century.
fn long_year(year: u32) -> u32 {
    if year < 69 { 2000 + year } else { 1900 + year }
}

/// A time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) time: NaiveTime,
    /// Digits of a second, as they stand.
    pub(super) fraction: String,
    pub(super) dial: Dial,
}

/// What a time with AM or PM proves of the clock that its program has in mind. Some programs put AM
/// and PM behind hours from 0 to 23.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Dial {
    /// Nothing: 9:05 AM.
    #[default]
    Either,
    /// Hours from 1 to 12: 7:16 PM, 12:05 AM.
    Twelve,
    /// Hours from 0 to 23: 19:16 PM, 00:05 AM.
    TwentyFour,
}

impl Clock {
    fn at(time: NaiveTime, fraction: &str) -> Self {
        Self { time, fraction: fraction.to_owned(), dial: Dial::default() }
    }

    pub(super) fn is_midnight(&self) -> bool {
        self.time == NaiveTime::MIN && self.fraction.bytes().all(|byte| byte == b'0')
    }

    pub(super) fn text(&self) -> String {
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{}{point}{}", self.time.format("%H:%M:%S"), self.fraction)
    }
}

/// A cell that holds a time of day alone.
pub(super) fn clock(cell: &str) -> Option<Clock> {
    let parts = Parts::read(cell)?;
    (parts.numbers.is_empty() && parts.month.is_none() && parts.offset.is_none()).then_some(parts.clock).flatten()
}

pub(super) fn read(cell: &str) -> Option<Moment> {
    let mut parts = Parts::read(cell)?;
    let date = parts.date()?;
    Some(Moment { date, clock: parts.clock, offset: parts.offset })
}

/// What a cell holds.
#[derive(Debug, Default)]
struct Parts {
    /// Numbers of the date, with how many digits each has.
    numbers: Vec<(u32, usize)>,
    month: Option<u32>,
    clock: Option<Clock>,
    offset: Option<String>,
    has_hyphens: bool,
}

impl Parts {
    fn read(cell: &str) -> Option<Self> {
        let mut parts = Self::default();
        let mut afternoon = None;
        let mut rest = cell.trim();
        // The name of the zone behind its offset, in parentheses or brackets.
        if let Some(at) = rest.find(['(', '[']).filter(|at| *at > 0 && rest.ends_with([')', ']'])) {
            rest = rest[..at].trim_end();
        }
        while let Some(character) = rest.chars().next() {
            if character.is_ascii_digit() {
                rest = parts.number(rest)?;
            } else if character.is_alphabetic() || character == 'º' || character == 'ª' {
                let end = rest.find(|c: char| !c.is_alphabetic() && c != 'º' && c != 'ª').unwrap_or(rest.len());
                let word = rest[..end].to_lowercase();
                rest = &rest[end..];
                let dotted = rest.strip_prefix('.').map(str::trim_start).and_then(|rest| rest.strip_prefix(['m', 'M']));
                match (word.as_str(), dotted) {
                    ("am" | "pm", _) => afternoon = Some(word == "pm"),
                    // a.m., p. m.
                    ("a" | "p", Some(behind)) => {
                        afternoon = Some(word == "p");
                        rest = behind.strip_prefix('.').unwrap_or(behind);
                    }
                    ("p", None) => return None,
                    ("t", _) => {}
                    ("z" | "utc" | "gmt", _) if parts.offset.is_none() => parts.offset = Some("Z".to_owned()),
                    _ => match month(&word) {
                        Some(month) if parts.month.is_none() => parts.month = Some(month),
                        // `mar`, `set` and others are days or verbs as well.
                        _ if is_filler(&word) => {}
                        _ => return None,
                    },
                }
            } else if (character == '+' || character == '-') && parts.is_dated() && starts_with_digit(&rest[1..]) {
                rest = parts.offset(rest)?;
            } else if "/-.,'\u{2013} ".contains(character) || character.is_whitespace() {
                parts.has_hyphens |= character == '-' && parts.clock.is_none();
                rest = &rest[character.len_utf8()..];
            } else {
                return None;
            }
        }
        if let Some(is_afternoon) = afternoon {
            parts.clock = Some(twelve_hours(parts.clock?, is_afternoon)?);
        }
        Some(parts)
    }

    /// Whether date and time of day stand there, so that a sign begins an offset and does not join
    /// numbers.
    fn is_dated(&self) -> bool {
        let numbers = if matches!(self.numbers.as_slice(), [(_, 8)]) { 3 } else { self.numbers.len() };
        self.clock.is_some() && numbers + usize::from(self.month.is_some()) >= 3
    }

    /// A number of the date, or the time of day.
    fn number<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (digits, rest) = take_digits(text);
        let next = rest.chars().next().map(|c| c.to_ascii_lowercase());
        let is_clock = match next {
            Some(':') => true,
            // 19h16, 19h
            Some('h') => !rest[1..].starts_with(|c: char| c.is_alphabetic()),
            _ => false,
        };
        if is_clock {
            return self.time_of_day(digits, rest);
        }
        // 20250514T191600, as it is in short.
        let has_date = matches!(self.numbers.as_slice(), [(_, 8)]);
        if has_date && self.clock.is_none() && matches!(digits.len(), 4 | 6) {
            let (hours, minutes, seconds) =
                (&digits[..2], &digits[2..4], digits.get(4..).filter(|text| !text.is_empty()));
            self.clock = Some(Clock::at(time(hours, minutes, seconds.unwrap_or("0"))?, ""));
            return Some(rest);
        }
        if matches!(digits.len(), 12 | 14) && self.numbers.is_empty() && self.clock.is_none() {
            let seconds = if digits.len() == 14 { &digits[12..] } else { "0" };
            self.clock = Some(Clock::at(time(&digits[8..10], &digits[10..12], seconds)?, ""));
            self.numbers.push((digits[..8].parse().ok()?, 8));
            return Some(rest);
        }
        if digits.len() > 8 || self.numbers.len() >= 3 {
            return None;
        }
        self.numbers.push((digits.parse().ok()?, digits.len()));
        Some(rest)
    }

    fn time_of_day<'a>(&mut self, hours: &str, rest: &'a str) -> Option<&'a str> {
        if self.clock.is_some() || hours.len() > 2 {
            return None;
        }
        let (minutes, mut rest) = take_digits(&rest[1..]);
        let minutes = if minutes.is_empty() { "0" } else { minutes };
        let mut seconds = "0";
        let mut fraction = "";
        if let Some(behind) =
            rest.strip_prefix(':').or_else(|| rest.strip_prefix("min")).filter(|text| starts_with_digit(text))
        {
            (seconds, rest) = take_digits(behind);
            if let Some(behind) = rest.strip_prefix(['.', ',']).filter(|text| starts_with_digit(text)) {
                (fraction, rest) = take_digits(behind);
            }
        }
        if minutes.len() > 2 || seconds.len() > 2 {
            return None;
        }
        self.clock = Some(Clock::at(time(hours, minutes, seconds)?, fraction));
        Some(rest)
    }

    /// `-03`, `-0300`, `-03:00`.
    fn offset<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        // `GMT-0300`
        if self.offset.as_deref().is_some_and(|offset| offset != "Z") {
            return None;
        }
        let (digits, rest) = take_digits(&text[1..]);
        let (hours, minutes, rest) = match (digits.len(), rest.strip_prefix(':')) {
            (1 | 2, Some(behind)) => {
                let (minutes, rest) = take_digits(behind);
                (digits, minutes, rest)
            }
            (1 | 2, None) => (digits, "00", rest),
            (4, None) => (&digits[..2], &digits[2..], rest),
            _ => return None,
        };
        self.offset = (minutes.len() == 2).then(|| format!("{}{hours:0>2}:{minutes}", &text[..1]));
        self.offset.is_some().then_some(rest)
    }

    fn date(&mut self) -> Option<Date> {
        let year = |value: u32, digits: usize| match digits {
            4 => Some(value),
            2 => Some(long_year(value)),
            _ => None,
        };
        let clear = |year: u32, month: u32, day: u32| {
            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).map(Date::Clear)
        };
        match (self.month, self.numbers.as_slice()) {
            (Some(month), [(first, 4), (day, 1 | 2)]) => clear(*first, month, *day),
            (Some(month), [(day, 1 | 2), (last, digits)]) => clear(year(*last, *digits)?, month, *day),
            (None, [(first, 4), (month, 1 | 2), (day, 1 | 2)]) => clear(*first, *month, *day),
            (None, [(first, 1 | 2), (second, 1 | 2), (third, digits @ (2 | 4))]) => Some(Date::Open {
                numbers: [*first, *second, *third],
                has_short_year: *digits == 2,
                has_hyphens: self.has_hyphens,
            }),
            (None, [(date, 8)]) if (1900..2200).contains(&(date / 10_000)) => {
                clear(date / 10_000, date / 100 % 100, date % 100)
            }
            _ => None,
        }
    }
}

fn twelve_hours(clock: Clock, is_afternoon: bool) -> Option<Clock> {
    let hour = chrono::Timelike::hour(&clock.time);
    let (hour, dial) = match (hour, is_afternoon) {
        (0, false) | (13..=23, true) => (hour, Dial::TwentyFour),
        (12, false) => (0, Dial::Twelve),
        (1..=11, true) => (hour + 12, Dial::Twelve),
        (1..=11, false) | (12, true) => (hour, Dial::Either),
        // 13:00 AM, 0:15 PM: on neither clock.
        _ => return None,
    };
    Some(Clock { time: chrono::Timelike::with_hour(&clock.time, hour)?, dial, ..clock })
}

fn time(hours: &str, minutes: &str, seconds: &str) -> Option<NaiveTime> {
    NaiveTime::from_hms_opt(hours.parse().ok()?, minutes.parse().ok()?, seconds.parse().ok()?)
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cell: &str, dates: Dates) -> Option<String> {
        let Moment { date, clock, offset } = read(cell)?;
        let clock = clock.map(|clock| format!("T{}", clock.text())).unwrap_or_default();
        Some(format!("{}{clock}{}", date.on(dates)?, offset.unwrap_or_default()))
    }

    #[test]
    fn dates_that_are_clear_by_themselves() {
        let cases = [
            ("2025-12-31", "2025-12-31"),
            ("2025/12/31 9:05", "2025-12-31T09:05:00"),
            ("2025-12-31T10:00:00.5-03:00", "2025-12-31T10:00:00.5-03:00"),
            ("2025-05-14 19:16:00-03", "2025-05-14T19:16:00-03:00"),
            ("2025-05-14 19:16:00.25 -0300", "2025-05-14T19:16:00.25-03:00"),
            ("2025-05-14 22:16:00+00", "2025-05-14T22:16:00+00:00"),
            ("2025-05-14 22:16:00 UTC", "2025-05-14T22:16:00Z"),
            ("2025-05-14T22:16:00 Z", "2025-05-14T22:16:00Z"),
            ("2025-05-14T19:16:00-03:00[America/Sao_Paulo]", "2025-05-14T19:16:00-03:00"),
            ("2025-05-14 07:16:00 PM", "2025-05-14T19:16:00"),
            ("2025-05-14 12:05 AM", "2025-05-14T00:05:00"),
            ("2025-05-14 12:05 p.m.", "2025-05-14T12:05:00"),
            ("2025-05-14 7:16\u{202f}p. m.", "2025-05-14T19:16:00"),
            ("2025-05-14 19:16 PM", "2025-05-14T19:16:00"),
            ("2025-05-14 00:30 AM", "2025-05-14T00:30:00"),
            ("20250514", "2025-05-14"),
            ("202505141916", "2025-05-14T19:16:00"),
            ("20250514T191600Z", "2025-05-14T19:16:00Z"),
            ("20250514191601", "2025-05-14T19:16:01"),
            ("14 de maio de 2025 19:16 hs.", "2025-05-14T19:16:00"),
            ("May 14, 2025", "2025-05-14"),
            ("May 14th, 2025 at 7:16 PM", "2025-05-14T19:16:00"),
            ("14-May-2025", "2025-05-14"),
            ("14/mai./25 19h16", "2025-05-14T19:16:00"),
            ("quarta-feira, 14 de Março de 2025, às 19h16min05s", "2025-03-14T19:16:05"),
            ("14 dic 2025 a las 9:05", "2025-12-14T09:05:00"),
            ("Wed, 14 May 2025 22:16:00 GMT", "2025-05-14T22:16:00Z"),
            ("Wed May 14 2025 19:16:00 GMT-0300 (Brasilia Standard Time)", "2025-05-14T19:16:00-03:00"),
        ];
        for (cell, expected) in cases {
            for dates in [Dates::Dmy, Dates::Mdy, Dates::Ymd] {
                assert_eq!(shown(cell, dates).as_deref(), Some(expected), "{cell}");
            }
        }
    }

    #[test]
    fn dates_that_the_column_must_tell() {
        let cases = [
            ("31/12/2025", Dates::Dmy, Some("2025-12-31")),
            ("31/12/2025", Dates::Mdy, None),
            ("31/12/2025", Dates::Ymd, None),
            ("1.2.2025 9:05", Dates::Dmy, Some("2025-02-01T09:05:00")),
            ("1/2/2025, 9:05:07 PM", Dates::Mdy, Some("2025-01-02T21:05:07")),
            ("14/05/25", Dates::Dmy, Some("2025-05-14")),
            ("14/05/25", Dates::Ymd, Some("2014-05-25")),
            ("05/14/69 10:00", Dates::Mdy, Some("1969-05-14T10:00:00")),
            ("05/14/68", Dates::Mdy, Some("2068-05-14")),
            ("14/05/2025 - 19:16", Dates::Dmy, Some("2025-05-14T19:16:00")),
        ];
        for (cell, dates, expected) in cases {
            assert_eq!(shown(cell, dates).as_deref(), expected, "{cell} as {dates:?}");
        }
    }

    #[test]
    fn what_is_not_a_time() {
        let cells = [
            "",
            "amanhã",
            "2025",
            "05/2025",
            "maio de 2025",
            "32/13",
            "1/2/3",
            "2025-02-30",
            "2025-05-14 25:00",
            "2025-05-14 13:00 AM",
            "2025-05-14 0:15 PM",
            "2025-05-14 24:00 PM",
            "14/05/2025 10:00 11:00",
            "TOTAL",
            "2025-05-14 10:00 -3:0",
            "1.234,56",
            "R$ 10",
            "12345678901",
            "2025-05-14 19:16 BRT",
        ];
        for cell in cells {
            assert_eq!(shown(cell, Dates::Dmy), None, "{cell}");
        }
    }

    #[test]
    fn times_of_day_alone() {
        let text = |cell: &str| clock(cell).map(|clock| clock.text());
        assert_eq!(text("19:16").as_deref(), Some("19:16:00"));
        assert_eq!(text("7:16:05.250 p.m.").as_deref(), Some("19:16:05.250"));
        assert_eq!(text("19h").as_deref(), Some("19:00:00"));
        assert_eq!(text("2025-05-14 19:16"), None);
        assert_eq!(text("25:00"), None);
    }
}
