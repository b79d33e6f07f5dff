//! A file through SQL: its rows as the table `arquivo`, and what a profile, or the condition of
//! `--where`, makes of them.
//!
//! The file is read as the query asks for rows, on a thread of its own, and the query's rows are
//! taken as they come: memory is bounded by the query's own pool, which spills what it must sort.

mod difference;
mod file_table;
mod profiles;
mod question;
mod statuses;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use vitral_catalog::{FILE_TABLE, Profile};

pub(crate) use self::profiles::check;
pub use self::profiles::recognise;
use self::profiles::{ProfileHeadings, SameHeader};
use self::question::{Question, Shared, columns};
use super::ImportError;
use super::forms::{Dates, Numbers};
use super::mapping::key;
use super::source::{Headings, Opening, Row, SerialEpoch, Source, open};

/// Batches that wait between the file, the query and its reader.
const WAITING: usize = 2;

/// What is asked of a file before its rows are understood.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// How a program's export is read.
    pub profile: Option<Profile>,
    /// A condition on the file's own columns, as `--where` has it.
    pub condition: Option<Query>,
}

impl Ask {
    /// A condition as the user writes it.
    pub fn parse_condition(text: &str) -> Result<Query, String> {
        let sql = format!("SELECT * FROM {FILE_TABLE} WHERE {text}");
        let mut statements = Parser::parse_sql(&GenericDialect {}, &sql).map_err(|error| error.to_string())?;
        match (statements.pop(), statements.pop()) {
            (Some(Statement::Query(query)), None) => Ok(*query),
            _ => Err("it is not one condition".to_owned()),
        }
    }

    /// How the profile's program writes numbers and dates, if it says so.
    pub(super) fn forms(&self) -> (Option<Numbers>, Option<Dates>) {
        let profile = self.profile.as_ref();
        let numbers = profile.and_then(|profile| profile.numbers.as_deref()).and_then(Numbers::named);
        let dates = profile.and_then(|profile| profile.dates.as_deref()).and_then(Dates::named);
        (numbers, dates)
    }

    /// Whether a line of an order is the same whatever its amounts.
    pub(super) fn is_by_item(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.is_by_item)
    }

    /// Whether rows are taken as the file has them.
    pub fn is_empty(&self) -> bool {
        self.profile.is_none() && self.condition.is_none()
    }
}

/// Opens a file from its beginning.
type Opener = Arc<dyn Fn() -> Result<Box<dyn Source>, ImportError> + Send + Sync>;

/// A file's rows as a query gives them.
pub(super) struct Queried {
    question: Question,
    header: Vec<String>,
    /// Columns at the header's end that no cell can hold.
    nested: usize,
    notes: Vec<String>,
    own_notes: usize,
    doubt: Option<String>,
    epoch: SerialEpoch,
    rows: Option<Receiver<Result<Vec<Row>, ImportError>>>,
    given: u64,
}

/// Where and how the file lies, owned, so that it can be opened again.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) header_row: Option<u32>,
    pub(super) sheets: Vec<String>,
}

impl Queried {
    /// `headings` finds the header where no profile does.
    pub(super) fn open(place: Place, ask: Ask, headings: &dyn Headings) -> Result<Self, ImportError> {
        // What finds the header need not outlive this: where it is is known from then on.
        let first = match &ask.profile {
            Some(profile) => Self::open_by(&place, &ProfileHeadings::new(&[profile]))?,
            None => Self::open_by(&place, headings)?,
        };
        let opener: Opener = {
            let (place, header) = (place.clone(), first.header().to_vec());
            Arc::new(move || Self::open_by(&place, &SameHeader(&header)))
        };
        let used = match &ask.profile {
            Some(_) => HashSet::new(),
            None => {
                let fills = headings.fills(first.header());
                let used = first.header().iter().zip(fills).filter(|(_, fills)| fills.is_some());
                used.map(|(name, _)| name.clone()).collect()
            }
        };
        let shared = Arc::default();
        let question = Question { name: place.name, opener, ask, used: Arc::new(used), all_with: None, shared };
        let mut nested: Vec<String> = first.nested().into_iter().map(|index| first.header()[index].clone()).collect();
        if let Some(profile) = &question.ask.profile {
            let is_used =
                |name: &String| profile.headings.iter().chain(&profile.optional).any(|it| key(it) == key(name));
            if let Some(name) = nested.iter().find(|name| is_used(name)) {
                return Err(question.wrong(format!("column {name} holds lists or structures, which no cell can hold")));
            }
            nested.clear();
        }
        let mut header: Vec<String> = question.planned(|_, plan| columns(&plan).map(|(_, name)| name).collect())?;
        header.extend(nested.iter().cloned());
        Ok(Self {
            question,
            header,
            nested: nested.len(),
            notes: first.notes().to_vec(),
            own_notes: first.notes().len(),
            doubt: first.doubt().map(str::to_owned),
            epoch: first.serial_epoch(),
            rows: None,
            given: 0,
        })
    }

    fn open_by(place: &Place, headings: &dyn Headings) -> Result<Box<dyn Source>, ImportError> {
        let opening = Opening { header_row: place.header_row, sheets: &place.sheets, headings };
        open(&place.path, &place.name, &opening)
    }

    /// Begins to compute the rows, from the first on.
    fn start(&mut self) -> Result<(), ImportError> {
        self.question.shared = Arc::default();
        self.given = 0;
        self.rows = Some(self.question.start()?);
        Ok(())
    }

    /// Said once all is read: how many rows the query has left out.
    fn note_left_out(&mut self) {
        let left = self.question.shared.read.load(Ordering::Relaxed).saturating_sub(self.given);
        self.notes.truncate(self.own_notes);
        let (what, profile) = (self.question.what(), self.question.ask.profile.as_ref());
        let Ok(statuses) = self.question.shared.statuses.lock() else { return };
        if left > 0 {
            let which = profile.and_then(|profile| statuses.left_out(profile));
            let which = which.map(|which| format!(" ({which})")).unwrap_or_default();
            let are = if left == 1 { "is" } else { "are" };
            self.notes.push(format!("{what}: {left} of the file's rows {are} left out{which}"));
        }
        let noted = profile.and_then(|profile| statuses.noted(profile));
        self.notes.extend(noted.map(|noted| format!("{what}: {noted}")));
    }
}

impl Source for Queried {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn nested(&self) -> Vec<usize> {
        (self.header.len() - self.nested..self.header.len()).collect()
    }

    fn all(&self, columns: &[usize]) -> Option<Box<dyn Source>> {
        let columns = columns.iter().map(|index| self.header[*index].clone()).collect();
        let Question { name, opener, ask, used, .. } = &self.question;
        let (name, opener, ask, used) = (name.clone(), Arc::clone(opener), ask.clone(), Arc::clone(used));
        Some(Box::new(Self {
            question: Question { name, opener, ask, used, all_with: Some(columns), shared: Arc::default() },
            header: self.header.clone(),
            nested: self.nested,
            notes: Vec::new(),
            own_notes: 0,
            doubt: None,
            epoch: self.epoch,
            rows: None,
            given: 0,
        }))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    fn serial_epoch(&self) -> SerialEpoch {
        self.epoch
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        if self.rows.is_none() {
            self.start()?;
        }
        let Some(rows) = &self.rows else { return Ok(Vec::new()) };
        match rows.recv() {
            Ok(rows) => {
                let rows = rows?;
                self.given += rows.len() as u64;
                if let Ok(mut statuses) = self.question.shared.statuses.lock() {
                    statuses.came(&rows);
                }
                Ok(rows)
            }
            // The query has ended; what it never saw comes last.
            Err(_) => {
                let broken = match self.question.shared.broken.lock() {
                    Ok(mut broken) => std::mem::take(&mut *broken),
                    Err(_) => Vec::new(),
                };
                if broken.is_empty() {
                    self.note_left_out();
                }
                Ok(broken)
            }
        }
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        // The thread ends at its next row.
        self.rows = None;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.question.shared.done.load(Ordering::Relaxed), self.question.shared.of.load(Ordering::Relaxed))
    }
}
