//! What the cells of a file tell of its forms, gathered over all of its rows.
//!
//! One cell that can be read in one way only proves the form of its column. Columns of numbers without such a cell are like the others.
//! Two proofs against each other in one column, or cells that mean different things in each form and no proof, are asked about.

use std::collections::HashSet;

use super::here::{Example, Here};
use super::moment::{self, Dial};
use super::number::{self, Evidence as NumberEvidence};
use super::of_times::OfTimes;
use super::time::TimeForm;
use super::unused::OfUnused;
use super::zone::{self, Named};
use super::{Asked, Dates, Form, Forms, Numbers, currency};
use crate::import::ImportError;
use crate::import::mapping::{Mapping, Role};
use crate::import::source::{Cell, Kind, Row, SerialEpoch};

pub(in crate::import) struct Evidence {
    columns: Vec<Column>,
    here: Here,
    headings: HashSet<String>,
    /// Where the headings are in another order: another table begins there.
    other_table: Option<String>,
}

enum Column {
    Numbers(OfNumbers),
    Time(Box<OfTimes>),
    Clock { is_twelve: bool },
    Text(OfTexts),
    Unused(OfUnused),
    Other,
}

#[derive(Default)]
struct OfNumbers {
    plain: Option<Example>,
    brazilian: Option<Example>,
    either: Option<Example>,
    /// Whether there are others, that are the same in each form.
    has_others: bool,
    /// Whether it is of whole numbers.
    is_whole: bool,
    /// The first amount with a dollar sign alone.
    dollars: Option<Example>,
    /// The first number that a spreadsheet shows with one.
    shown_in_dollars: Option<Example>,
}

#[derive(Default)]
struct OfTexts {
    whole_floats: bool,
    others: bool,
}

impl Evidence {
    pub(in crate::import) fn new(mapping: &Mapping, here: Here) -> Self {
        let column = |(index, role): (usize, Option<Role>)| match role {
            Some(role @ (Role::Decimal | Role::Integer)) => {
                Column::Numbers(OfNumbers { is_whole: role == Role::Integer, ..OfNumbers::default() })
            }
            Some(Role::Time) => Column::Time(Box::default()),
            Some(Role::Clock) => Column::Clock { is_twelve: false },
            Some(Role::Text) => Column::Text(OfTexts::default()),
            None => OfUnused::new(mapping, index, &here).map_or(Column::Other, Column::Unused),
            _ => Column::Other,
        };
        let columns = mapping.roles().enumerate().map(column).collect();
        Self { columns, here, headings: mapping.headings().map(str::to_owned).collect(), other_table: None }
    }

    pub(in crate::import) fn see(&mut self, row: &Row) {
        if row.broken.is_some() {
            return;
        }
        if self.other_table.is_none() && self.is_header(row) {
            self.other_table = Some(row.place());
        }
        for (cell, column) in row.cells.iter().zip(&mut self.columns) {
            match (cell, column) {
                (Some(cell), Column::Numbers(seen)) if cell.kind == Kind::Written => seen.see(cell, row),
                (Some(cell), Column::Numbers(seen)) => seen.see_sign(cell, row),
                (Some(cell), Column::Time(seen)) => seen.see(cell, row),
                (Some(cell), Column::Clock { is_twelve }) if !*is_twelve && cell.kind == Kind::Written => {
                    *is_twelve = moment::clock(&cell.text).is_some_and(|clock| clock.dial == Dial::Twelve);
                }
                (Some(cell), Column::Text(seen)) if !seen.others => seen.see(cell),
                (Some(cell), Column::Unused(seen)) => seen.see(cell, row, &self.here),
                _ => {}
            }
        }
    }

    /// Whether most of a row's cells are headings, in another order than the header: that one is known to the source.
    fn is_header(&self, row: &Row) -> bool {
        let is_heading = |cell: &Cell| cell.kind == Kind::Written && self.headings.contains(cell.text.trim());
        let mut cells = row.cells.iter().flatten();
        if !cells.next().is_some_and(is_heading) {
            return false;
        }
        let (is, all) = cells.fold((1, 1), |(is, all), cell| (is + usize::from(is_heading(cell)), all + 1));
        all >= 3 && 3 * is >= 2 * all
    }

    /// The form of each column; `others` is what the same file shows where it fills other tables.
    pub(in crate::import) fn decide(
        &self,
        file: &str,
        mapping: &Mapping,
        asked: Asked,
        epoch: SerialEpoch,
        others: &[&Self],
    ) -> Result<Forms, ImportError> {
        let all = || self.columns.iter().chain(others.iter().flat_map(|other| &other.columns));
        let numbers = || {
            all().filter_map(|column| match column {
                Column::Numbers(seen) => Some(seen),
                _ => None,
            })
        };
        if let Some(place) = &self.other_table {
            return Err(ImportError::Form {
                file: file.to_owned(),
                reason: format!("{place} holds headings in another order, so another table begins there"),
                remedy: "put each table in a file of its own".to_owned(),
            });
        }
        let proves_plain = numbers().any(|seen| seen.plain.is_some());
        let proves_brazilian = numbers().any(|seen| seen.brazilian.is_some());
        let mut columns = Vec::new();
        let mut has_clock = mapping.has_clock();
        let has_local = self.columns.iter().any(|column| matches!(column, Column::Time(seen) if seen.has_local));
        for (index, column) in self.columns.iter().enumerate() {
            let failed = |reason: String, flag: &str| ImportError::Form {
                file: file.to_owned(),
                reason: format!("column {} {reason}", mapping.heading(index)),
                remedy: flag.to_owned(),
            };
            columns.push(match column {
                Column::Text(OfTexts { whole_floats: true, others: false }) => Form::WholeFloats,
                Column::Unused(seen) => match seen.question(mapping.heading(index), &self.here, has_local) {
                    Some((reason, remedy)) => return Err(failed(reason, &remedy)),
                    None => Form::Any,
                },
                Column::Text(_) | Column::Other => Form::Any,
                Column::Clock { is_twelve } => Form::Clock { is_twelve: *is_twelve },
                Column::Numbers(seen) => {
                    let numbers = asked.numbers.map_or_else(|| seen.decide(proves_plain, proves_brazilian), Ok);
                    let mut remedy = "use --numbers plain (1,234.56) or --numbers brazilian (1.234,56)".to_owned();
                    if seen.is_whole {
                        let heading = mapping.heading(index);
                        remedy = format!(
                            "{remedy} for all columns, or write whole numbers without zeros after them, or leave the column out with \
                             --map \"{heading}=\""
                        );
                    }
                    Form::Numbers(numbers.map_err(|reason| failed(reason, &remedy))?)
                }
                Column::Time(seen) => {
                    let is_comma = asked.numbers == Some(Numbers::Brazilian) || (proves_brazilian && !proves_plain);
                    let decided = || {
                        seen.decide(is_comma).or_else(|error| {
                            let times = all().filter_map(|column| match column {
                                Column::Time(seen) => Some(&**seen),
                                _ => None,
                            });
                            OfTimes::of_all(times).decide(is_comma).map_err(|_| error)
                        })
                    };
                    let dates = asked.dates.map_or_else(decided, |dates| Ok(Some(dates)));
                    let dates = dates.map_err(|(reason, remedy)| failed(reason, &remedy))?;
                    if let (false, Some(reason)) = (asked.is_by_user, seen.is_split()) {
                        return Err(failed(
                            reason,
                            "correct those dates in the file, or use --dates dmy or --dates mdy, whichever the texts follow, if they are right",
                        ));
                    }
                    // A time of day that the user did not name is not needed where the dates have one.
                    has_clock &= !seen.has_clock || mapping.is_clock_named() || index != mapping.time();
                    let offset =
                        self.offset(mapping.heading(index)).map_err(|(reason, remedy)| failed(reason, remedy))?;
                    // A day alone is a day of the domain's zone.
                    let offset_minutes = offset.filter(|_| seen.has_clock || mapping.has_clock());
                    let (count, is_twelve) = (seen.count(), seen.is_twelve);
                    Form::Time(TimeForm { dates, count, epoch, is_twelve, offset_minutes })
                }
            });
        }
        self.ask_dollars(mapping, &columns).map_err(|(reason, remedy)| ImportError::Form {
            file: file.to_owned(),
            reason,
            remedy,
        })?;
        let mut notes: Vec<String> = Vec::new();
        for (index, (column, form)) in self.columns.iter().zip(&columns).enumerate() {
            let heading = mapping.heading(index);
            match (column, form) {
                (Column::Unused(seen), _) => notes.extend(seen.note(heading)),
                (_, Form::Time(TimeForm { offset_minutes: Some(minutes), .. })) => notes.push(format!(
                    "the times of {heading} are read as UTC{}, as it says; --time-zone overrides that",
                    zone::shown(*minutes)
                )),
                _ => {}
            }
        }
        Ok(Forms { columns, has_clock, notes })
    }

    /// Where dates have the month first, as in one country, a dollar sign may be that country's. So may one that only the format of a number
    /// shows, where the domain's currency has another sign: its spreadsheet programs would show that.
    fn ask_dollars(&self, mapping: &Mapping, forms: &[Form]) -> Result<(), (String, String)> {
        let is_month_first =
            |form: &Form| matches!(form, Form::Time(TimeForm { dates: Some(Dates::Mdy), count: None, .. }));
        if self.here.currency == "USD" || !mapping.lacks_currency() {
            return Ok(());
        }
        let is_month_first = forms.iter().any(is_month_first);
        let has_own_sign = currency::has_own_sign(&self.here.currency);
        for (index, column) in self.columns.iter().enumerate() {
            let Column::Numbers(seen) = column else { continue };
            let written = seen.dollars.as_ref().filter(|_| is_month_first);
            let shown = seen.shown_in_dollars.as_ref().filter(|_| is_month_first || has_own_sign);
            let why = match (written, shown) {
                (Some((cell, place)), _) => format!("{cell} ({place}), the dates have the month first"),
                (None, Some((cell, place))) => format!("{cell}, which its format shows with $ ({place})"),
                (None, None) => continue,
            };
            let (heading, here) = (mapping.heading(index), &self.here.currency);
            return Err((
                format!("column {heading} holds {why}, and amounts would be counted in {here}"),
                format!(
                    "name the currency in the heading, as in \"{heading} (US$)\", or in a column of its own; or use --map ={} if \
                     amounts are in {here}",
                    currency::COLUMN
                ),
            ));
        }
        Ok(())
    }

    /// The offset of times without one, as their heading names it and the user does not.
    fn offset(&self, heading: &str) -> Result<Option<i32>, (String, &'static str)> {
        let remedy = "use --time-zone and the zone's full name, such as America/New_York";
        match zone::of_heading(heading) {
            _ if self.here.is_zone_named => Ok(None),
            Some(Named::Offset(minutes)) => Ok(Some(minutes)),
            Some(Named::Zone(zone)) if zone != self.here.zone => {
                Err((format!("names the zone {zone}, and times would be read in {}", self.here.zone), remedy))
            }
            Some(Named::Unclear(name)) => {
                Err((format!("names the zone {name}, and times would be read in {}", self.here.zone), remedy))
            }
            _ => Ok(None),
        }
    }
}

impl OfTexts {
    fn see(&mut self, cell: &Cell) {
        let whole = cell.text.trim().strip_suffix(".0");
        let is_whole_float =
            whole.is_some_and(|whole| !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()));
        if is_whole_float { self.whole_floats = true } else { self.others = true }
    }
}

impl OfNumbers {
    /// Of a number that the file holds as one.
    fn see_sign(&mut self, cell: &Cell, row: &Row) {
        if self.shown_in_dollars.is_none() && cell.sign.as_deref() == Some("$") {
            self.shown_in_dollars = Some((cell.text.clone(), row.place()));
        }
    }

    fn see(&mut self, cell: &Cell, row: &Row) {
        if self.dollars.is_none() && cell.text.contains('$') && number::is_in_dollars(&cell.text) {
            self.dollars = Some((cell.text.clone(), row.place()));
        }
        let place = match number::evidence(&cell.text) {
            NumberEvidence::Only(Numbers::Plain) => &mut self.plain,
            NumberEvidence::Only(Numbers::Brazilian) => &mut self.brazilian,
            NumberEvidence::Either => &mut self.either,
            NumberEvidence::Nothing => {
                self.has_others = true;
                return;
            }
        };
        place.get_or_insert_with(|| (cell.text.clone(), row.place()));
    }

    fn decide(&self, proves_plain: bool, proves_brazilian: bool) -> Result<Numbers, String> {
        match (&self.plain, &self.brazilian, &self.either) {
            (Some((plain, at_plain)), Some((brazilian, at_brazilian)), _) => {
                Err(format!("holds both {plain} ({at_plain}) and {brazilian} ({at_brazilian})"))
            }
            (Some(_), None, _) => Ok(Numbers::Plain),
            (None, Some(_), _) => Ok(Numbers::Brazilian),
            (None, None, None) => {
                Ok(if proves_brazilian && !proves_plain { Numbers::Brazilian } else { Numbers::Plain })
            }
            // How prices are written says nothing of weights or counts that have three places each, as some programs write them.
            (None, None, Some(_)) if proves_plain != proves_brazilian && (self.has_others || !self.is_whole) => {
                Ok(if proves_plain { Numbers::Plain } else { Numbers::Brazilian })
            }
            (None, None, Some((either, place))) => Err(format!(
                "holds {either} ({place}), which may be a thousand times as much, and nothing shows which is meant"
            )),
        }
    }
}
