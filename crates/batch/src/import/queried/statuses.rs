//! What a profile's columns of states say of the rows that it leaves out, so that people see what
//! is not counted and why; and of rows that count though something is to be known of them.

use std::collections::HashMap;
use std::sync::Arc;

use vitral_catalog::Profile;

use crate::import::mapping::key;
use crate::import::source::Row;
use crate::import::wording::{counted, listed};

/// Between the cells of several columns.
const BETWEEN: &str = " / ";
/// What stands for rows whose cells are blank.
const BLANK: &str = "(blank)";

/// Where a file has the columns of states.
#[derive(Debug)]
pub(super) struct StatusColumns {
    places: Vec<usize>,
    /// What rows that belong together have in common, of which only the first may have a state.
    group: Option<usize>,
    /// The states, in plain letters, of which something is to be known.
    noted: Vec<String>,
}

/// The state of each row of a file.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    /// Each once.
    known: Vec<Status>,
    numbers: HashMap<String, usize>,
    /// Rows that the query has not given, by their sheet and line.
    rows: HashMap<(Option<Arc<str>>, i64), usize>,
    /// The group of the row before, and its state.
    last: Option<(String, usize)>,
}

#[derive(Debug)]
struct Status {
    text: String,
    is_noted: bool,
    /// Rows that the query has given.
    came: u64,
}

impl StatusColumns {
    /// None for a profile that names no states, or where the file has none of its columns.
    pub(super) fn new(profile: &Profile, header: &[String]) -> Option<Self> {
        let place = |name: &String| header.iter().position(|heading| key(heading) == key(name));
        let places: Vec<usize> = profile.status.iter().filter_map(place).collect();
        let noted = profile.status_noted.iter().map(|name| key(name)).collect();
        let group = profile.headings.first().and_then(place);
        (!places.is_empty()).then_some(Self { places, group, noted })
    }

    /// The cells of a row, with blanks between them left out.
    fn text(&self, row: &Row) -> Option<(String, bool)> {
        let cell = |place: &usize| Some(row.cells.get(*place)?.as_ref()?.text.trim());
        let cells: Vec<&str> = self.places.iter().filter_map(cell).collect();
        let is_noted = cells.iter().any(|cell| self.noted.contains(&key(cell)));
        (!cells.is_empty()).then(|| (cells.join(BETWEEN), is_noted))
    }

    fn group(&self, row: &Row) -> String {
        let cell = self.group.and_then(|place| row.cells.get(place)?.as_ref());
        cell.map(|cell| cell.text.trim().to_owned()).unwrap_or_default()
    }
}

impl Statuses {
    /// Takes a row of the file into account.
    pub(super) fn read(&mut self, row: &Row, columns: &StatusColumns) {
        let group = columns.group(row);
        let above = self.last.as_ref().filter(|(last, _)| *last == group && !group.is_empty());
        let number = match (columns.text(row), above.map(|(_, number)| *number)) {
            (Some((text, is_noted)), _) => self.number(text, is_noted),
            (None, Some(number)) => number,
            (None, None) => self.number(BLANK.to_owned(), false),
        };
        self.last = Some((group, number));
        self.rows.insert((row.sheet.clone(), row.line), number);
    }

    /// Takes rows out that the query has given.
    pub(super) fn came(&mut self, rows: &[Row]) {
        if self.known.is_empty() {
            return;
        }
        for row in rows {
            if let Some(number) = self.rows.remove(&(row.sheet.clone(), row.line)) {
                self.known[number].came += 1;
            }
        }
    }

    /// The states of the rows that the query has not given, once all are read.
    pub(super) fn left_out(&self, profile: &Profile) -> Option<String> {
        let mut rows = vec![0_u64; self.known.len()];
        self.rows.values().for_each(|number| rows[*number] += 1);
        let mut of: Vec<(&str, u64)> = self.known.iter().map(|it| it.text.as_str()).zip(rows).collect();
        of.retain(|(_, rows)| *rows > 0);
        of.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        let shown = listed(of.iter().map(|(text, rows)| format!("{text} {rows}")));
        (!of.is_empty()).then(|| format!("{}: {shown}", profile.status.join(BETWEEN)))
    }

    /// What is to be known of rows that the query has given.
    pub(super) fn noted(&self, profile: &Profile) -> Option<String> {
        let note = profile.status_note.as_ref()?;
        let noted: Vec<&Status> = self.known.iter().filter(|status| status.is_noted && status.came > 0).collect();
        let rows: u64 = noted.iter().map(|status| status.came).sum();
        let texts = listed(noted.iter().map(|status| status.text.as_str()));
        (rows > 0).then(|| format!("{} with {texts}: {note}", counted(rows, "row")))
    }

    fn number(&mut self, text: String, is_noted: bool) -> usize {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        self.numbers.insert(text.clone(), self.known.len());
        self.known.push(Status { text, is_noted, came: 0 });
        self.known.len() - 1
    }
}
