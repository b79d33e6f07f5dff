//! Which form each column has, by what all rows of the file show, and what is asked where they do
//! not tell.

use super::{Column, Evidence, OfNumbers, OfTexts};
use crate::import::ImportError;
use crate::import::forms::of_times::OfTimes;
use crate::import::forms::time::TimeForm;
use crate::import::forms::zone::{self, Named};
use crate::import::forms::{Asked, Dates, Form, Forms, Numbers, currency};
use crate::import::mapping::Mapping;
use crate::import::source::SerialEpoch;

/// Why there is no form, and what to say or change.
type Question = (String, String);

/// What is known of a whole file when its columns are decided, one after the other.
struct Decision<'a> {
    mapping: &'a Mapping,
    asked: Asked,
    epoch: SerialEpoch,
    own: &'a Evidence,
    /// What the file's columns show, also where it fills other tables.
    all: Vec<&'a Column>,
    proves_plain: bool,
    proves_brazilian: bool,
    /// Whether a time stands without an offset.
    has_local: bool,
}

impl Evidence {
    /// The form of each column; `others` is what the same file shows where it fills other tables.
    pub(in crate::import) fn decide(
        &self,
        file: &str,
        mapping: &Mapping,
        asked: Asked,
        epoch: SerialEpoch,
        others: &[&Self],
    ) -> Result<Forms, ImportError> {
        let failed = |(reason, remedy)| ImportError::Form { file: file.to_owned(), reason, remedy };
        if let Some(place) = &self.other_table {
            return Err(failed((
                format!("{place} holds headings in another order, so another table begins there"),
                "put each table in a file of its own".to_owned(),
            )));
        }
        let decision = Decision::new(self, mapping, (asked, epoch), others);
        let of_column = |(index, column): (usize, &Column)| {
            let heading = mapping.heading(index);
            let form = decision.form(heading, column);
            form.map_err(|(reason, remedy)| failed((format!("column {heading} {reason}"), remedy)))
        };
        let columns = self.columns.iter().enumerate().map(of_column).collect::<Result<Vec<_>, _>>()?;
        self.ask_dollars(mapping, &columns).map_err(failed)?;
        let notes = self.notes(mapping, &columns);
        Ok(Forms { columns, has_clock: self.needs_clock(mapping), notes })
    }

    /// Whether there is a time of day in a column of its own. One that the user did not name is not
    /// needed where the dates have one.
    fn needs_clock(&self, mapping: &Mapping) -> bool {
        let has_own = |(index, column): (usize, &Column)| {
            matches!(column, Column::Time(seen) if seen.has_clock) && index == mapping.time()
        };
        mapping.has_clock() && (mapping.is_clock_named() || !self.columns.iter().enumerate().any(has_own))
    }

    /// What people should know of how columns are read.
    fn notes(&self, mapping: &Mapping, forms: &[Form]) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for (index, (column, form)) in self.columns.iter().zip(forms).enumerate() {
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
        notes
    }

    /// Where dates have the month first, as in one country, a dollar sign may be that country's. So
    /// may one that only the format of a number shows, where the domain's currency has another
    /// sign: its spreadsheet programs would show that.
    fn ask_dollars(&self, mapping: &Mapping, forms: &[Form]) -> Result<(), Question> {
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

impl<'a> Decision<'a> {
    fn new(
        own: &'a Evidence,
        mapping: &'a Mapping,
        (asked, epoch): (Asked, SerialEpoch),
        others: &[&'a Evidence],
    ) -> Self {
        let all: Vec<&Column> = own.columns.iter().chain(others.iter().flat_map(|other| &other.columns)).collect();
        // A count such as 1.0 shows how a program writes floats, not how prices are written.
        let proves = |form: fn(&OfNumbers) -> bool| {
            all.iter().any(|column| matches!(column, Column::Numbers(seen) if !seen.is_whole && form(seen)))
        };
        let proves_plain = proves(|seen| seen.plain.is_some());
        let proves_brazilian = proves(|seen| seen.brazilian.is_some());
        let has_local = own.columns.iter().any(|column| matches!(column, Column::Time(seen) if seen.has_local));
        Self { mapping, asked, epoch, own, all, proves_plain, proves_brazilian, has_local }
    }

    fn form(&self, heading: &str, column: &Column) -> Result<Form, Question> {
        match column {
            Column::Text(OfTexts { whole_floats: true, others: false }) => Ok(Form::WholeFloats),
            Column::Unused(seen) => seen.question(heading, &self.own.here, self.has_local).map_or(Ok(Form::Any), Err),
            Column::Text(_) | Column::Other => Ok(Form::Any),
            Column::Clock { is_twelve } => Ok(Form::Clock { is_twelve: *is_twelve }),
            Column::Numbers(seen) => self.numbers(heading, seen),
            Column::Time(seen) => self.time(heading, seen),
        }
    }

    fn numbers(&self, heading: &str, seen: &OfNumbers) -> Result<Form, Question> {
        let numbers = self.asked.numbers.map_or_else(|| seen.decide(self.proves_plain, self.proves_brazilian), Ok);
        let mut remedy = "use --numbers plain (1,234.56) or --numbers brazilian (1.234,56)".to_owned();
        if seen.is_whole {
            remedy = format!(
                "{remedy} for all columns, or write whole numbers without zeros after them, or leave the column out with \
                 --map \"{heading}=\""
            );
        }
        Ok(Form::Numbers(numbers.map_err(|reason| (reason, remedy))?))
    }

    fn time(&self, heading: &str, seen: &OfTimes) -> Result<Form, Question> {
        let dates = match self.asked.dates {
            Some(dates) => Some(dates),
            None => self.dates(seen)?,
        };
        if let (false, Some(reason)) = (self.asked.is_by_user, seen.is_split()) {
            let remedy = "correct those dates in the file, or use --dates dmy or --dates mdy, whichever the texts follow, if they are right";
            return Err((reason, remedy.to_owned()));
        }
        let offset = self.own.offset(heading).map_err(|(reason, remedy)| (reason, remedy.to_owned()))?;
        // A day alone is a day of the domain's zone.
        let offset_minutes = offset.filter(|_| seen.has_clock || self.mapping.has_clock());
        let (count, is_twelve) = (seen.count(), seen.is_twelve);
        Ok(Form::Time(TimeForm { dates, count, epoch: self.epoch, is_twelve, offset_minutes }))
    }

    /// The order of a column's dates: as it shows itself, or else together with the file's other
    /// columns.
    fn dates(&self, seen: &OfTimes) -> Result<Option<Dates>, Question> {
        let is_comma = self.asked.numbers == Some(Numbers::Brazilian) || (self.proves_brazilian && !self.proves_plain);
        seen.decide(is_comma).or_else(|error| {
            let times = self.all.iter().filter_map(|column| match column {
                Column::Time(seen) => Some(&**seen),
                _ => None,
            });
            OfTimes::of_all(times).decide(is_comma).map_err(|_| error)
        })
    }
}

impl OfNumbers {
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
            // How prices are written says nothing of weights or counts that have three places each,
            // as some programs write them.
            (None, None, Some(_)) if proves_plain != proves_brazilian && (self.has_others || !self.is_whole) => {
                Ok(if proves_plain { Numbers::Plain } else { Numbers::Brazilian })
            }
            (None, None, Some((either, place))) => Err(format!(
                "holds {either} ({place}), which may be a thousand times as much, and nothing shows which is meant"
            )),
        }
    }
}
