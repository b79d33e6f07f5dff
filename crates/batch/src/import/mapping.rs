//! Which of a file's columns fills which of the topic's: as the user says, else by their names.

mod assign;
pub(in crate::import) mod names;

use std::collections::BTreeMap;

use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{Column, ColumnKind, Topic};

pub(super) use self::assign::Names;
pub(super) use self::names::key;
use super::ImportError;
use super::forms::currency;
use super::source::Row;
use super::wording::listed;

/// What stands for the time of day in `--map`, if the topic has no such column:
/// `--map "Hora local=hora"`.
const CLOCK: &str = "hora";
/// Headings of a time of day.
const CLOCKS: [&str; 7] =
    ["hora", "horario", "hora_venda", "hora_da_venda", "hora_pedido", "hora_do_pedido", "hora_da_compra"];

/// How a cell is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Integer,
    Decimal,
    Boolean,
    Time,
    /// The time of day of the event time.
    Clock,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filled {
    /// The topic's column.
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether the user says so.
    is_named: bool,
}

#[derive(Debug)]
pub(super) struct Mapping {
    header: Vec<String>,
    /// For each of the file's columns the topic's that it fills.
    pub(super) columns: Vec<Option<Filled>>,
    /// Fields that every row has.
    pub(super) constants: Vec<(String, String)>,
    /// The file's columns that fill none.
    pub(super) unused: Vec<String>,
    /// What people may want to know of unused columns.
    pub(super) hints: Vec<String>,
    /// The column of the event time.
    time: usize,
    /// What currency the heading of an amount names, for each of the file's columns.
    pub(super) currencies: Vec<Option<String>>,
    /// The columns that the user leaves out.
    left_out: Vec<usize>,
    /// Whether rows have amounts, and nothing says what currency they are in.
    lacks_currency: bool,
    /// The topic's columns that a line must not end before: without them it would be another row,
    /// or worth something else.
    needed: Vec<String>,
    /// The topic's columns that say which row it is by themselves, where words for nothing mean
    /// that it has none.
    ids: Vec<String>,
}

/// The columns that a file can fill.
fn listed_columns(topic: &Topic) -> String {
    let columns = topic.columns.iter().filter(|column| column.lookup.is_none());
    columns.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is required of each row, what tells it from others, and the currency of its amounts.
fn needed_columns(topic: &Topic, target: &ImportTarget) -> Vec<String> {
    let is_needed = |(index, column): &(usize, &Column)| {
        let is_required = column.needed && !target.optional.contains(&column.name);
        is_required
            || target.key.contains(&column.name)
            || topic.event_id == Some(*index)
            || column.kind == ColumnKind::Currency
            || matches!(column.kind, ColumnKind::Decimal { .. })
    };
    topic.columns.iter().enumerate().filter(is_needed).map(|(_, column)| column.name.clone()).collect()
}

/// The event id, and the first column of the key.
pub(super) fn id_columns(topic: &Topic, target: &ImportTarget) -> Vec<String> {
    let event_id = topic.event_id.map(|index| &topic.columns[index]);
    let first = target.key.first().and_then(|name| topic.columns.iter().find(|column| column.name == *name));
    let is_text = |column: &&Column| matches!(column.kind, ColumnKind::Text | ColumnKind::TextOrNumber);
    event_id.into_iter().chain(first).filter(is_text).map(|column| column.name.clone()).collect()
}

impl Mapping {
    pub(super) fn new(
        file: &str,
        header: &[String],
        topic: &Topic,
        target: &ImportTarget,
        named: &BTreeMap<String, String>,
    ) -> Result<Self, ImportError> {
        let wrong = |reason: String| ImportError::Mapping {
            file: file.to_owned(),
            reason,
            found: listed(header.iter().filter(|name| !name.is_empty())),
            columns: listed_columns(topic),
        };
        let names = Names::new(topic, target, named);
        let columns = names.assign(header).map_err(&wrong)?;
        let event_time = &topic.columns[topic.event_time].name;
        let time = columns.iter().position(|column| column.as_ref().is_some_and(|filled| filled.name == *event_time));
        let Some(time) = time else { return Err(wrong(format!("no column gives {event_time}"))) };
        let unused = header.iter().zip(&columns).filter(|(name, column)| column.is_none() && !name.is_empty());
        let unused: Vec<String> = unused.map(|(name, _)| name.clone()).collect();
        let hints = names.hints(header, &columns);
        let currencies: Vec<Option<String>> = header
            .iter()
            .zip(&columns)
            .map(|(name, filled)| {
                let is_amount = filled.as_ref().is_some_and(|filled| filled.role == Role::Decimal);
                is_amount.then(|| currency::of_heading(name)).flatten()
            })
            .collect();
        let says_currency = columns.iter().flatten().any(|filled| filled.name == currency::COLUMN)
            || target.constants.iter().any(|(constant, _)| constant == currency::COLUMN)
            || currencies.iter().any(Option::is_some)
            || names.is_unfilled(currency::COLUMN)
            || !topic.columns.iter().any(|column| column.name == currency::COLUMN);
        let has_amounts = columns.iter().flatten().any(|filled| filled.role == Role::Decimal);
        let mapping = Self {
            header: header.to_vec(),
            columns,
            constants: target.constants.clone(),
            unused,
            hints,
            time,
            currencies,
            left_out: names.left_out(header),
            lacks_currency: has_amounts && !says_currency,
            needed: needed_columns(topic, target),
            ids: id_columns(topic, target),
        };
        let filled = |name: &str| mapping.filled().any(|(_, filled)| filled == name);
        let needed = topic.columns.iter().filter(|column| column.needed && !target.optional.contains(&column.name));
        let is_constant = |name: &str| target.constants.iter().any(|(constant, _)| constant == name);
        if let Some(column) = needed.map(|column| &column.name).find(|name| !filled(name) && !is_constant(name)) {
            return Err(wrong(format!("no column gives {column}, which every row of {} needs", topic.name)));
        }
        match mapping.hints.first() {
            Some(hint) if names.lacks_amounts(&mapping.columns) && !names.says_none() => {
                Err(wrong(format!("no column gives an amount, but {hint}")))
            }
            _ => match names.worthless(&mapping.columns) {
                Some(amounts) => Err(wrong(format!(
                    "no column gives an amount ({}), so each row would be worth 0.00; if there is none, use --map ={}",
                    amounts.join(" or "),
                    amounts[0]
                ))),
                None => Ok(mapping),
            },
        }
    }

    /// The file's columns that are used, by their place, and the topic's that they fill.
    pub(super) fn filled(&self) -> impl Iterator<Item = (usize, &str)> {
        let columns = self.columns.iter().enumerate();
        columns.filter_map(|(index, column)| Some((index, column.as_ref()?.name.as_str())))
    }

    pub(super) fn is_clock(&self, index: usize) -> bool {
        self.columns[index].as_ref().is_some_and(|filled| filled.role == Role::Clock)
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = Option<Role>> {
        self.columns.iter().map(|column| column.as_ref().map(|filled| filled.role))
    }

    /// What the file calls a column.
    pub(super) fn heading(&self, index: usize) -> &str {
        self.header.get(index).map_or("", String::as_str)
    }

    /// How many cells a line must have at least: a column that may be empty may be missing at its
    /// end, too.
    pub(super) fn cells_needed(&self) -> usize {
        let is_needed = |filled: &Filled| filled.role == Role::Clock || self.needed.contains(&filled.name);
        let last = self.columns.iter().rposition(|column| column.as_ref().is_some_and(is_needed));
        last.map_or(0, |last| last + 1)
    }

    /// How many cells a line has up to the last one that is used.
    pub(super) fn cells_used(&self) -> usize {
        self.columns.iter().rposition(Option::is_some).map_or(0, |last| last + 1)
    }

    /// Whether a row has nothing where each row of the table has something.
    pub(super) fn lacks_needed(&self, row: &Row) -> bool {
        let is_empty = |index: usize| row.cells.get(index).is_none_or(Option::is_none);
        let columns = self.columns.iter().enumerate();
        let mut filled = columns.filter_map(|(index, column)| Some((index, column.as_ref()?)));
        filled.any(|(index, filled)| self.needed.contains(&filled.name) && is_empty(index))
    }

    /// Whether a column of the topic says which row it is by itself.
    pub(super) fn is_id(&self, column: &str) -> bool {
        self.ids.iter().any(|id| id == column)
    }

    pub(super) fn width(&self) -> usize {
        self.header.len()
    }

    pub(super) fn headings(&self) -> impl Iterator<Item = &str> {
        self.header.iter().map(String::as_str).filter(|heading| !heading.is_empty())
    }

    pub(super) fn is_left_out(&self, index: usize) -> bool {
        self.left_out.contains(&index)
    }

    pub(super) fn lacks_currency(&self) -> bool {
        self.lacks_currency
    }

    pub(super) fn time(&self) -> usize {
        self.time
    }

    fn clock(&self) -> Option<&Filled> {
        self.columns.iter().flatten().find(|filled| filled.role == Role::Clock)
    }

    pub(super) fn has_clock(&self) -> bool {
        self.clock().is_some()
    }

    pub(super) fn is_clock_named(&self) -> bool {
        self.clock().is_some_and(|filled| filled.is_named)
    }

    /// The dates have times of day of their own: the column of those is not used.
    pub(super) fn drop_clock(&mut self) {
        for (name, column) in self.header.iter().zip(&mut self.columns) {
            if column.as_ref().is_some_and(|filled| filled.role == Role::Clock) {
                *column = None;
                self.unused.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
