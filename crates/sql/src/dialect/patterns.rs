//! The patterns by which PostgreSQL writes and reads times: `YYYY-MM-DD HH24:MI:SS`.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// Names of months and days are as long as the longest of them.
const NAME_WIDTH: usize = 9;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Longer ones stand before those that they begin with.
const FIELDS: [(&str, Field); 28] = [
    ("HH24", Field::Hour),
    ("HH12", Field::Hour12),
    ("MONTH", Field::Month),
    ("YYYY", Field::Year),
    ("IYYY", Field::IsoYear),
    ("SSSS", Field::SecondOfDay),
    ("A.M.", Field::HalfWithPoints),
    ("P.M.", Field::HalfWithPoints),
    ("DDD", Field::DayOfYear),
    ("DAY", Field::WeekdayName),
    ("MON", Field::ShortMonth),
    ("HH", Field::Hour12),
    ("MI", Field::Minute),
    ("MM", Field::MonthNumber),
    ("MS", Field::Millisecond),
    ("SS", Field::Second),
    ("US", Field::Microsecond),
    ("YY", Field::ShortYear),
    ("DD", Field::Day),
    ("DY", Field::ShortWeekday),
    ("ID", Field::IsoWeekday),
    ("IW", Field::IsoWeek),
    ("WW", Field::WeekOfYear),
    ("AM", Field::Half),
    ("PM", Field::Half),
    ("D", Field::Weekday),
    ("Q", Field::Quarter),
    ("W", Field::WeekOfMonth),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    ShortYear,
    IsoYear,
    Quarter,
    Month,
    ShortMonth,
    MonthNumber,
    IsoWeek,
    WeekOfYear,
    WeekOfMonth,
    DayOfYear,
    Day,
    Weekday,
    IsoWeekday,
    WeekdayName,
    ShortWeekday,
    Hour,
    Hour12,
    Half,
    HalfWithPoints,
    Minute,
    Second,
    SecondOfDay,
    Millisecond,
    Microsecond,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A field as it is written in the pattern, and whether it is filled up to its width.
    Field {
        field: Field,
        written: String,
        is_filled: bool,
    },
}

/// A pattern, understood.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let (mut parts, mut rest, mut is_filled) = (Vec::new(), pattern, true);
        while let Some(first) = rest.chars().next() {
            let known = FIELDS
                .iter()
                .find(|(name, _)| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
            if let Some((name, field)) = known {
                let (written, after) = rest.split_at(name.len());
                parts.push(Part::Field { field: *field, written: written.to_owned(), is_filled });
                (rest, is_filled) = (after, true);
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let (text, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                parts.push(Part::Text(text.to_owned()));
                rest = after;
            } else if rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("FM")) {
                (rest, is_filled) = (&rest[2..], false);
            } else if first.is_alphabetic() {
                let word: String = rest.chars().take_while(|sign| sign.is_alphanumeric()).collect();
                return Err(format!(
                    "the pattern {pattern:?} has {word:?}, which is not supported: write text in double quotes, and \
                     times with YYYY, MM, DD, HH24, MI, SS, MS, US and their like"
                ));
            } else {
                parts.push(Part::Text(first.to_string()));
                rest = &rest[first.len_utf8()..];
            }
        }
        Ok(Self { parts })
    }

    /// A time by this pattern.
    pub(super) fn write(&self, time: NaiveDateTime) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field { field, written, is_filled } => {
                    out.push_str(&written_field(*field, written, *is_filled, time));
                }
            }
        }
        out
    }

    /// The time that a text says by this pattern. What is left of the text does not matter.
    pub(super) fn read(&self, text: &str) -> Result<NaiveDateTime, String> {
        let (mut said, mut rest) = (Said::default(), text);
        for part in &self.parts {
            match part {
                Part::Text(literal) => rest = without(rest, literal),
                Part::Field { field, written, .. } => rest = said.take(*field, written, rest.trim_start())?,
            }
        }
        said.time().ok_or_else(|| format!("date/time field value out of range: {text:?}"))
    }
}

fn written_field(field: Field, written: &str, is_filled: bool, time: NaiveDateTime) -> String {
    let filled = |number: u32, width: usize| {
        if is_filled { format!("{number:0width$}") } else { number.to_string() }
    };
    let year = |year: i32, width: usize| filled(u32::try_from(year).unwrap_or(0), width);
    let name = |names: &[&str], index: u32| (*names.get(index as usize).unwrap_or(&"")).to_owned();
    let long = |text: String| if is_filled { format!("{text:NAME_WIDTH$}") } else { text };
    let weekday = time.weekday();
    match field {
        Field::Year => year(time.year(), 4),
        Field::ShortYear => year(time.year() % 100, 2),
        Field::IsoYear => year(time.iso_week().year(), 4),
        Field::Quarter => (time.month0() / 3 + 1).to_string(),
        Field::Month => in_case(&long(name(&MONTHS, time.month0())), written),
        Field::ShortMonth => in_case(&name(&MONTHS, time.month0())[..3], written),
        Field::MonthNumber => filled(time.month(), 2),
        Field::IsoWeek => filled(time.iso_week().week(), 2),
        Field::WeekOfYear => filled(time.ordinal0() / 7 + 1, 2),
        Field::WeekOfMonth => (time.day0() / 7 + 1).to_string(),
        Field::DayOfYear => filled(time.ordinal(), 3),
        Field::Day => filled(time.day(), 2),
        Field::Weekday => weekday.number_from_sunday().to_string(),
        Field::IsoWeekday => weekday.number_from_monday().to_string(),
        Field::WeekdayName => in_case(&long(name(&DAYS, weekday.num_days_from_monday())), written),
        Field::ShortWeekday => in_case(&name(&DAYS, weekday.num_days_from_monday())[..3], written),
        Field::Hour => filled(time.hour(), 2),
        Field::Hour12 => filled(time.hour12().1, 2),
        Field::Half => in_case(if time.hour12().0 { "PM" } else { "AM" }, written),
        Field::HalfWithPoints => in_case(if time.hour12().0 { "P.M." } else { "A.M." }, written),
        Field::Minute => filled(time.minute(), 2),
        Field::Second => filled(time.second(), 2),
        Field::SecondOfDay => time.num_seconds_from_midnight().to_string(),
        Field::Millisecond => format!("{:03}", time.nanosecond() / 1_000_000),
        Field::Microsecond => format!("{:06}", time.nanosecond() / 1_000),
    }
}

/// In the letters of the pattern: `Month`, `MONTH`, `month`.
fn in_case(text: &str, written: &str) -> String {
    let is_large = |sign: Option<char>| sign.is_some_and(char::is_uppercase);
    let mut letters = written.chars().filter(|sign| sign.is_alphabetic());
    match (is_large(letters.next()), is_large(letters.next())) {
        (true, true) => text.to_uppercase(),
        (true, false) => text.to_owned(),
        (false, _) => text.to_lowercase(),
    }
}

/// The text after a literal: a separator stands for any other, and for none.
fn without<'a>(text: &'a str, literal: &str) -> &'a str {
    let mut rest = text;
    for sign in literal.chars() {
        let is_taken = rest.starts_with(
            |found: char| {
                if sign.is_alphanumeric() { found == sign } else { !found.is_alphanumeric() }
            },
        );
        if is_taken {
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
        }
    }
    rest
}

/// What a text says of a time.
#[derive(Debug, Default)]
struct Said {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    is_afternoon: Option<bool>,
    minute: u32,
    second: u32,
    micros: u32,
    second_of_day: Option<u32>,
}

impl Said {
    /// Takes a field from the beginning of a text, of which the rest is returned.
    fn take<'a>(&mut self, field: Field, written: &str, text: &'a str) -> Result<&'a str, String> {
        match field {
            Field::Month
            | Field::ShortMonth
            | Field::WeekdayName
            | Field::ShortWeekday
            | Field::Half
            | Field::HalfWithPoints => self.take_name(field, text).ok_or_else(|| wrong(written, text)),
            Field::IsoYear
            | Field::Quarter
            | Field::IsoWeek
            | Field::WeekOfYear
            | Field::WeekOfMonth
            | Field::Weekday
            | Field::IsoWeekday => Err(format!("{written:?} can be written, but not be read")),
            _ => self.take_number(field, text).ok_or_else(|| wrong(written, text)),
        }
    }

    fn take_name<'a>(&mut self, field: Field, text: &'a str) -> Option<&'a str> {
        let (names, length): (&[&str], usize) = match field {
            Field::Month => (&MONTHS, NAME_WIDTH),
            Field::ShortMonth => (&MONTHS, 3),
            Field::WeekdayName => (&DAYS, NAME_WIDTH),
            Field::ShortWeekday => (&DAYS, 3),
            Field::Half => (&["AM", "PM"], 2),
            _ => (&["A.M.", "P.M."], 4),
        };
        let (number, rest) = (1_u32..).zip(names).find_map(|(number, name)| {
            let name = name.get(..length).unwrap_or(name);
            let start = text.get(..name.len())?;
            start.eq_ignore_ascii_case(name).then(|| (number, &text[name.len()..]))
        })?;
        match field {
            Field::Month | Field::ShortMonth => self.month = Some(number),
            Field::Half | Field::HalfWithPoints => self.is_afternoon = Some(number == 2),
            _ => {}
        }
        Some(rest)
    }

    fn take_number<'a>(&mut self, field: Field, text: &'a str) -> Option<&'a str> {
        let width = match field {
            Field::Year => 4,
            Field::DayOfYear | Field::Millisecond => 3,
            Field::SecondOfDay => 5,
            Field::Microsecond => 6,
            _ => 2,
        };
        let length = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = text.split_at(length);
        let number: u32 = digits.parse().ok()?;
        match field {
            Field::Year => self.year = Some(number),
            Field::ShortYear => self.year = Some(number + if number < 70 { 2000 } else { 1900 }),
            Field::MonthNumber => self.month = Some(number),
            Field::DayOfYear => self.day_of_year = Some(number),
            Field::Day => self.day = Some(number),
            Field::Hour => self.hour = Some(number),
            Field::Hour12 => self.hour12 = Some(number),
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
            Field::SecondOfDay => self.second_of_day = Some(number),
            // Digits after a point: 5 is half a second.
            _ => self.micros = (length..6).fold(number, |number, _| number * 10),
        }
        Some(rest)
    }

    fn time(&self) -> Option<NaiveDateTime> {
        let year = i32::try_from(self.year.unwrap_or(1)).ok()?;
        let date = match self.day_of_year {
            Some(day) => {
                let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
                let date = first.checked_add_days(Days::new(u64::from(day.checked_sub(1)?)))?;
                (date.year() == year).then_some(date)?
            }
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let nanos = self.micros * 1_000;
        let time = match (self.second_of_day, self.hour12) {
            (Some(second), _) => NaiveTime::from_num_seconds_from_midnight_opt(second, nanos)?,
            (None, Some(hour)) => {
                (1..=12).contains(&hour).then_some(())?;
                let hour = hour % 12 + if self.is_afternoon == Some(true) { 12 } else { 0 };
                NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, nanos)?
            }
            (None, None) => NaiveTime::from_hms_nano_opt(self.hour.unwrap_or(0), self.minute, self.second, nanos)?,
        };
        Some(date.and_time(time))
    }
}

fn wrong(written: &str, text: &str) -> String {
    format!("invalid value {text:?} for {written:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        text.parse().expect(text)
    }

    #[test]
    fn times_are_written_as_postgresql_does() {
        let at = time("2026-03-07T15:04:05.060708");
        for (pattern, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "2026-03-07 15:04:05.060708"),
            ("YYYY-MM-DD HH24:MI", "2026-03-07 15:04"),
            ("YY/FMMM/FMDD HH12:MI AM", "26/3/7 03:04 PM"),
            ("Dy, DD Mon YYYY", "Sat, 07 Mar 2026"),
            ("FMDay FMMonth|Month|MONTH|month|", "Saturday March|March    |MARCH    |march    |"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"", "2026-03-07T15:04:05.060Z"),
            ("IYYY-IW Q DDD D ID", "2026-10 1 066 7 6"),
            ("hh24 SSSS p.m.", "15 54245 p.m."),
        ] {
            assert_eq!(Pattern::new(pattern).expect(pattern).write(at), wanted, "{pattern}");
        }
    }

    #[test]
    fn times_are_read_as_postgresql_does() {
        for (text, pattern, wanted) in [
            ("2026-11-23 00:00:00.000000", "YYYY-MM-DD HH24:MI:SS.US", "2026-11-23T00:00:00"),
            ("2026-11-23 01:02:03.5", "YYYY-MM-DD HH24:MI:SS.US", "2026-11-23T01:02:03.500"),
            ("20261123", "YYYYMMDD", "2026-11-23T00:00:00"),
            ("7 mar 2026 12:30 AM", "DD Mon YYYY HH:MI AM", "2026-03-07T00:30:00"),
            ("2026-11-23T10:20:30Z", "YYYY-MM-DD\"T\"HH24:MI:SS", "2026-11-23T10:20:30"),
            ("2026/11/23", "YYYY-MM-DD", "2026-11-23T00:00:00"),
            ("2026-032", "YYYY-DDD", "2026-02-01T00:00:00"),
            ("01/02/69", "DD/MM/YY", "2069-02-01T00:00:00"),
        ] {
            let pattern = Pattern::new(pattern).expect(pattern);
            assert_eq!(pattern.read(text).expect(text), time(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        let refused = Pattern::new("YYYY TZ").expect_err("a zone");
        assert!(refused.contains("\"TZ\""), "{refused}");
        assert!(Pattern::new("%Y-%m").is_err());
        let pattern = Pattern::new("YYYY-MM-DD").expect("a pattern");
        assert!(pattern.read("2026-13-01").is_err() && pattern.read("hoje").is_err());
    }
}
