//! A cell of a column of times as a message writes it.

use super::bare::Count;
use super::{Dates, moment, zone};
use crate::import::source::{Cell, Kind, SerialEpoch};

/// How a column writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) struct TimeForm {
    /// None where every date is clear by itself.
    pub(in crate::import) dates: Option<Dates>,
    /// What plain numbers count, where the whole column has them.
    pub(in crate::import) count: Option<Count>,
    pub(in crate::import) epoch: SerialEpoch,
    /// Whether the column proves that its hours are counted from 1 to 12: 19:16 PM among them is a
    /// slip, and not a time.
    pub(in crate::import) is_twelve: bool,
    /// What times without an offset have, in minutes east of UTC, where the heading says so.
    pub(in crate::import) offset_minutes: Option<i32>,
}

/// What is wrong with such a time.
pub(in crate::import) const NOT_TWELVE: &str = "is not on a 12-hour clock, as others in the column are";

/// A time of day, for a date in another column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Clock(moment::Clock);

impl Clock {
    /// Whether it may stand among times of a 12-hour clock.
    pub(in crate::import) fn fits_twelve(&self) -> bool {
        self.0.dial != moment::Dial::TwentyFour
    }

    /// None if the cell does not hold one.
    pub(in crate::import) fn read(cell: &Cell) -> Option<Self> {
        match cell.kind {
            // A spreadsheet's part of a day, where the cell has lost its format.
            Kind::Float => {
                let days: f64 = cell.text.parse().ok()?;
                let millis = (0.0..1.0).contains(&days).then(|| (days * 86_400_000.0).round() as u32)?;
                let time =
                    chrono::NaiveTime::from_num_seconds_from_midnight_opt(millis / 1_000, millis % 1_000 * 1_000_000)?;
                let text = time.format("%H:%M:%S%.f").to_string();
                moment::clock(&text).map(Self)
            }
            // A time on an arbitrary day means only its time.
            Kind::Time => moment::read(&cell.text)?.clock.map(Self),
            _ => moment::clock(&cell.text).map(Self),
        }
    }
}

/// Whether a time of RFC 3339 has an offset.
pub(in crate::import) fn has_offset(time: &str) -> bool {
    time.split_once('T').is_some_and(|(_, clock)| clock.contains(['Z', '+', '-']))
}

/// The time in RFC 3339, local without an offset; a date alone is its first moment. Else why it
/// cannot be read.
pub(in crate::import) fn read(cell: &Cell, form: TimeForm, clock: Option<&Clock>) -> Result<String, String> {
    let time = local(cell, form, clock)?;
    Ok(match form.offset_minutes {
        Some(minutes) if !has_offset(&time) => time + &zone::shown(minutes),
        _ => time,
    })
}

fn local(cell: &Cell, form: TimeForm, clock: Option<&Clock>) -> Result<String, String> {
    if let (Kind::Time, None) = (cell.kind, clock) {
        return Ok(if cell.text.contains('T') { cell.text.clone() } else { format!("{}T00:00:00", cell.text) });
    }
    let Some(read) = moment::read(&cell.text) else {
        return match (form.count, Count::of(&cell.text)) {
            (Some(count), Some(found)) if count == found => {
                let moment = count.moment(&cell.text, form.epoch).ok_or("is not a possible time")?;
                match clock {
                    None => Ok(moment),
                    Some(Clock(clock)) if moment.ends_with("T00:00:00") => {
                        Ok(with_clock(&moment[..10], Some(clock), ""))
                    }
                    Some(_) => Err("has a time of day, and another column has one too".to_owned()),
                }
            }
            (_, Some(found)) => Err(format!("looks like {}", found.shown())),
            _ => Err("is not a time that can be read".to_owned()),
        };
    };
    if form.is_twelve && read.clock.as_ref().is_some_and(|clock| clock.dial == moment::Dial::TwentyFour) {
        return Err(NOT_TWELVE.to_owned());
    }
    let date = match form.dates {
        Some(dates) => {
            read.date.on(dates).ok_or_else(|| format!("is not a day, month and year in the order {}", dates.name()))?
        }
        None => read.date.on(Dates::Dmy).ok_or("is not a possible date")?,
    };
    let date = date.format("%Y-%m-%d").to_string();
    let offset = read.offset.unwrap_or_default();
    match (read.clock, clock) {
        (Some(own), Some(Clock(other))) if !own.is_midnight() && own.text() != other.text() => {
            Err(format!("says {}, and another column {}", own.text(), other.text()))
        }
        (own, clock) => Ok(with_clock(&date, clock.map(|Clock(clock)| clock).or(own.as_ref()), &offset)),
    }
}

fn with_clock(date: &str, clock: Option<&moment::Clock>, offset: &str) -> String {
    let clock = clock.map_or_else(|| "00:00:00".to_owned(), moment::Clock::text);
    format!("{date}T{clock}{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Cell {
        Cell::new(text.to_owned(), Kind::Written)
    }

    #[test]
    fn a_time_of_day_in_a_column_of_its_own() {
        let form = TimeForm {
            dates: Some(Dates::Dmy),
            count: None,
            epoch: SerialEpoch::From1900,
            is_twelve: false,
            offset_minutes: None,
        };
        let both = |date: &Cell, clock: &Cell| read(date, form, Some(&Clock::read(clock).expect("a time of day")));
        let date = written("14/05/2025");
        assert_eq!(both(&date, &written("7:16 PM")), Ok("2025-05-14T19:16:00".to_owned()));
        assert_eq!(both(&written("14/05/2025 00:00"), &written("19:16")), Ok("2025-05-14T19:16:00".to_owned()));
        let typed = Cell::new("2025-05-14T00:00:00".to_owned(), Kind::Time);
        assert_eq!(both(&typed, &Cell::new("19:16:00".to_owned(), Kind::Clock)), Ok("2025-05-14T19:16:00".to_owned()));
        assert_eq!(
            both(&date, &Cell::new("0.8027777778".to_owned(), Kind::Float)),
            Ok("2025-05-14T19:16:00".to_owned())
        );
        assert!(both(&written("14/05/2025 10:00"), &written("19:16")).is_err(), "which of the two?");
        let same = both(&written("14/05/2025 19:16"), &written("7:16 PM"));
        assert_eq!(same, Ok("2025-05-14T19:16:00".to_owned()));
        assert_eq!(Clock::read(&written("tarde")), None);
    }

    #[test]
    fn hours_of_a_day_among_those_of_a_12_hour_clock_are_slips() {
        let form = |is_twelve| TimeForm {
            dates: None,
            count: None,
            epoch: SerialEpoch::From1900,
            is_twelve,
            offset_minutes: None,
        };
        for (cell, hour) in [("2025-05-14 13:00 PM", 13), ("2025-05-14 00:30 AM", 0)] {
            let time = read(&written(cell), form(false), None).expect("a time");
            assert!(time.starts_with(&format!("2025-05-14T{hour:02}")), "{time}");
            assert_eq!(read(&written(cell), form(true), None), Err(NOT_TWELVE.to_owned()));
        }
        assert_eq!(Clock::read(&written("13:00 PM")).map(|clock| clock.fits_twelve()), Some(false));
        assert_eq!(Clock::read(&written("1:00 PM")).map(|clock| clock.fits_twelve()), Some(true));
    }

    #[test]
    fn numbers_are_times_only_where_the_column_has_no_others() {
        let form = |count| TimeForm {
            dates: None,
            count,
            epoch: SerialEpoch::From1900,
            is_twelve: false,
            offset_minutes: None,
        };
        let serial = written("45791.8027777778");
        assert_eq!(read(&serial, form(Some(Count::Days)), None), Ok("2025-05-14T19:16:00".to_owned()));
        let error = read(&serial, form(None), None).expect_err("refused");
        assert!(error.contains("without its format"), "{error}");
        assert!(read(&written("1747260960"), form(Some(Count::Days)), None).is_err());
    }
}
