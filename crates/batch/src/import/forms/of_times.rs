//! What a column's cells tell of how its times are written: the order of day, month and year, the
//! hours, what plain numbers count.

use std::collections::BTreeMap;

use super::bare::Count;
use super::here::Example;
use super::moment::{self, Date, Dial};
use super::{Dates, time};
use crate::import::source::{Cell, Kind, Row};

#[derive(Default)]
pub(super) struct OfTimes {
    /// For each order the first date that cannot be in it.
    excluded: [Option<Example>; 3],
    /// The first dates that are different days in two orders: day or month first, then day or year,
    /// month or year.
    differs: [Vec<Example>; 3],
    /// Whether there are dates that the column must tell the order of.
    has_open: bool,
    /// Whether dates are separated by hyphens, as those with a short year in front are.
    has_hyphens: bool,
    /// Cells that are not plain numbers.
    dates: bool,
    counts: BTreeMap<Count, Example>,
    /// Whether a date comes with a time of day.
    pub(super) has_clock: bool,
    /// Whether a time of day proves a clock of 12 hours.
    pub(super) is_twelve: bool,
    /// Whether a time stands without an offset.
    pub(super) has_local: bool,
    /// The first date that a spreadsheet holds as one, and whether one of them has a day that
    /// cannot be a month.
    typed: Option<Example>,
    has_typed_day: bool,
}

/// The pairs of orders that a date can be in.
const PAIRS: [(Dates, Dates); 3] = [(Dates::Dmy, Dates::Mdy), (Dates::Dmy, Dates::Ymd), (Dates::Mdy, Dates::Ymd)];

impl OfTimes {
    /// What columns show together.
    pub(super) fn of_all<'a>(columns: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for column in columns {
            for (all, excluded) in all.excluded.iter_mut().zip(&column.excluded) {
                *all = all.take().or_else(|| excluded.clone());
            }
            for (all, differs) in all.differs.iter_mut().zip(&column.differs) {
                all.extend(differs.iter().cloned());
            }
            all.has_open |= column.has_open;
            all.has_hyphens |= column.has_hyphens;
        }
        all
    }

    pub(super) fn see(&mut self, cell: &Cell, row: &Row) {
        if cell.kind == Kind::Time {
            self.dates = true;
            self.has_clock |= cell.text.find('T').is_some_and(|at| !cell.text[at + 1..].starts_with("00:00:00"));
            self.has_local |= !time::has_offset(&cell.text);
            self.typed.get_or_insert_with(|| (cell.text.clone(), row.place()));
            let day = cell.text.get(8..10).and_then(|day| day.parse::<u8>().ok());
            self.has_typed_day |= day.is_none_or(|day| day > 12);
            return;
        }
        let example = || (cell.text.clone(), row.place());
        if cell.kind != Kind::Written {
            if let Some(count) = Count::of(&cell.text) {
                self.counts.entry(count).or_insert_with(example);
            }
            return;
        }
        let Some(moment) = moment::read(&cell.text) else {
            if let Some(count) = Count::of(&cell.text) {
                self.counts.entry(count).or_insert_with(example);
            }
            return;
        };
        self.dates = true;
        self.has_local |= moment.offset.is_none();
        self.has_clock |= moment.clock.as_ref().is_some_and(|clock| !clock.is_midnight());
        self.is_twelve |= moment.clock.is_some_and(|clock| clock.dial == Dial::Twelve);
        let Date::Open { has_hyphens, .. } = moment.date else { return };
        self.has_hyphens |= has_hyphens;
        let days = Dates::ALL.map(|dates| moment.date.on(dates));
        if days.iter().all(Option::is_none) {
            return;
        }
        self.has_open = true;
        for (day, excluded) in days.iter().zip(&mut self.excluded) {
            if day.is_none() {
                excluded.get_or_insert_with(example);
            }
        }
        for ((one, other), differs) in PAIRS.iter().zip(&mut self.differs) {
            let (one, other) = (days[*one as usize], days[*other as usize]);
            if differs.len() < 2 && one.is_some() && other.is_some() && one != other {
                differs.push(example());
            }
        }
    }

    /// The order of the numbers. `is_comma`: the file's decimals have commas, which nobody writes
    /// next to a short year that is followed by a slash. Whether the day or the month is first,
    /// they do not show: programs of one country write files of another.
    pub(super) fn decide(&self, is_comma: bool) -> Result<Option<Dates>, (String, String)> {
        if !self.has_open {
            return Ok(None);
        }
        let fits = |dates: &Dates| self.excluded[*dates as usize].is_none();
        let mut left: Vec<Dates> = Dates::ALL.into_iter().filter(fits).collect();
        if left.is_empty() {
            let shown = [(Dates::Dmy, "day"), (Dates::Mdy, "month")].into_iter().filter_map(|(dates, first)| {
                let (cell, place) = self.excluded[dates as usize].as_ref()?;
                Some(format!("{cell} ({place}), where the {first} is not first"))
            });
            let shown = shown.collect::<Vec<_>>().join(", and ");
            let remedy =
                "use --dates dmy or --dates mdy: the rows that are written differently are then refused".to_owned();
            return Err((format!("holds {shown}"), remedy));
        }
        if is_comma && !self.has_hyphens && left.contains(&Dates::Dmy) {
            left.retain(|dates| *dates != Dates::Ymd);
        }
        for ((one, other), differs) in PAIRS.iter().zip(&self.differs) {
            if left.contains(one) && left.contains(other) && !differs.is_empty() {
                let cells: Vec<_> = differs.iter().map(|(cell, place)| format!("{cell} ({place})")).collect();
                let orders: Vec<_> = left.iter().map(|dates| format!("--dates {}", dates.name())).collect();
                let reason = format!("holds {}, and nothing shows which number is the day", cells.join(" and "));
                return Err((reason, format!("use {}", orders.join(" or "))));
            }
        }
        Ok(left.first().copied())
    }

    /// What plain numbers count, if there is nothing else and they are all alike.
    pub(super) fn count(&self) -> Option<Count> {
        match (self.counts.first_key_value(), self.counts.len(), self.dates) {
            (Some((count, _)), 1, false) => Some(*count),
            _ => None,
        }
    }

    /// What is to be asked where every text has a day above 12, and no real date has one: a program
    /// that put the month first has made dates of the others, with their days for months.
    pub(super) fn is_split(&self) -> Option<String> {
        let (typed, at_typed) = self.typed.as_ref().filter(|_| self.has_open && !self.has_typed_day)?;
        let [dmy, mdy] = [Dates::Dmy, Dates::Mdy].map(|dates| self.excluded[dates as usize].as_ref());
        let (cell, place) = dmy.xor(mdy).filter(|_| self.differs[0].is_empty())?;
        Some(format!(
            "holds texts such as {cell} ({place}), all of them with a day above 12, and dates such as {typed} ({at_typed}), all of them with a \
             day up to 12, as if a program took their days for months"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cells: &[(&str, Kind)]) -> OfTimes {
        let mut times = OfTimes::default();
        for (line, (text, kind)) in (2..).zip(cells) {
            let row = Row { sheet: None, line, cells: Vec::new(), broken: None, is_unended: false };
            times.see(&Cell::new((*text).to_owned(), *kind), &row);
        }
        times
    }

    #[test]
    fn dates_that_a_program_has_made_of_some_texts_are_asked_about() {
        let (typed, text) = (Kind::Time, Kind::Written);
        let split = seen(&[("2025-02-01T00:00:00", typed), ("13/02/2025", text), ("28/02/2025", text)]);
        let reason = split.is_split().expect("a question");
        assert!(reason.contains("13/02/2025 (line 3)") && reason.contains("2025-02-01T00:00:00 (line 2)"), "{reason}");
        for cells in [
            [("2025-02-14T00:00:00", typed), ("13/02/2025", text), ("28/02/2025", text)],
            [("2025-02-01T00:00:00", typed), ("13/02/2025", text), ("01/02/2025", text)],
            [("2025-02-01T00:00:00", typed), ("2025-02-13", text), ("2025-02-28", text)],
            [("2025-02-01T00:00:00", typed), ("2025-03-01T00:00:00", typed), ("2025-04-01T00:00:00", typed)],
            [("13/02/2025", text), ("14/02/2025", text), ("15/02/2025", text)],
        ] {
            assert_eq!(seen(&cells).is_split(), None, "{cells:?}");
        }
    }
}
