//! Batch work as SQL: tables of the warehouse, and checks of quality.
//!
//! `CREATE TABLE name WITH (connector = 'warehouse', per = 'day', date = 'data', key = 'data,
//! regiao') AS SELECT ...` is a table that is recomputed for whole days or months of the domain's
//! zone. Its query sees the rows of those days alone. With `per = 'all'` it is recomputed as a
//! whole, of everything.
//!
//! `CREATE VIEW name WITH (check = 'what is wrong with each row', history = '28 days') AS SELECT
//! ...` selects rows that offend. Its query sees the days that are checked and those of the history
//! before; `$de` and `$ate` are the first of them, and the day after the last.

use chrono::{Datelike, Days, Months, NaiveDate};
use datafusion::sql::sqlparser::ast::Query;

use super::options::{Options, Read};
use super::{Diagnostic, Position};

/// What is computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Day by day.
    Day,
    /// Each month as a whole.
    Month,
    /// Everything there is.
    All,
}

impl Period {
    fn read(options: &mut Options) -> Result<Self, Diagnostic> {
        match options.take_text("per")? {
            None => Ok(Self::Day),
            Some((per, _)) if per == "day" => Ok(Self::Day),
            Some((per, _)) if per == "month" => Ok(Self::Month),
            Some((per, _)) if per == "all" => Ok(Self::All),
            Some((per, at)) => {
                Err(at.error(format!("per = '{per}' is not known"), "use 'day', 'month' or 'all'".into()))
            }
        }
    }

    /// The first day of the period of this day.
    pub fn first(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => day,
            Self::Month => day.with_day(1).unwrap_or(day),
            Self::All => NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or(NaiveDate::MIN),
        }
    }

    /// The first day of the period after that of this day.
    pub fn next(self, day: NaiveDate) -> NaiveDate {
        let first = self.first(day);
        let next = match self {
            Self::Day => first.checked_add_days(Days::new(1)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::All => NaiveDate::from_ymd_opt(10_000, 1, 1),
        };
        next.unwrap_or(NaiveDate::MAX)
    }
}

/// One table of a job.
#[derive(Debug, Clone)]
pub struct JobTable {
    /// The job that it belongs to: what `vitral batch run` calls it.
    pub job: String,
    /// Its name in the warehouse.
    pub table: String,
    /// The time that is computed together.
    pub per: Period,
    /// The column with the first day of the row's period, or with its day.
    pub date: String,
    /// Columns that no two rows share; none if rows may be alike.
    pub key: Vec<String>,
    /// What computes the rows.
    pub query: Box<Query>,
    /// Where it is declared.
    pub position: Position,
}

/// Rows that should not be.
#[derive(Debug, Clone)]
pub struct Check {
    /// What results and errors call it.
    pub name: String,
    /// What is wrong with a row that it selects.
    pub words: String,
    /// Days before those that are checked which its query sees too.
    pub history_days: u64,
    /// What computes the rows.
    pub query: Box<Query>,
    /// Where it is declared.
    pub position: Position,
}

impl JobTable {
    pub(super) fn read(name: String, query: Box<Query>, mut options: Options, position: &Position) -> Read<Self> {
        let per = options.gather_or(Period::Day, Period::read);
        let mut text = |key: &str| options.gather(|options| options.take_text(key)).map(|(text, _)| text);
        let (key, job, table) = (text("key").unwrap_or_default(), text("job"), text("table"));
        let key = key.split(',').map(|column| column.trim().to_owned()).filter(|column| !column.is_empty()).collect();
        let date = options.take_text("date").and_then(|date| {
            date.ok_or_else(|| {
                position.error(
                    format!("table {name} has no date"),
                    "add date = '...' with the name of the column that holds the row's day, or its month's first"
                        .into(),
                )
            })
        });
        let job = job.unwrap_or_else(|| name.clone());
        let table = table.unwrap_or(name);
        let position = position.clone();
        options.finish(date.map(|(date, _)| Self { job, table, per, date, key, query, position }))
    }
}

impl Check {
    pub(super) fn read(name: String, query: Box<Query>, mut options: Options, position: &Position) -> Read<Self> {
        let words = options.gather(|options| options.take_text("check"));
        let words = words.map(|(words, _)| words).unwrap_or_default();
        let history_days = options.gather(|options| match options.take_text("history")? {
            None => Ok(0),
            Some((text, at)) => days(&text).ok_or_else(|| {
                at.error(format!("history = '{text}' is not a number of days"), "write for example '28 days'".into())
            }),
        });
        options.finish(Ok(Self { name, words, history_days, query, position: position.clone() }))
    }
}

fn days(text: &str) -> Option<u64> {
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    ["day", "days"].contains(&unit.trim()).then(|| count.parse().ok()).flatten()
}
