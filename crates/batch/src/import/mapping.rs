//! Which of a file's columns fills which of the topic's: as the user says, else by their names.

mod names;

use std::collections::BTreeMap;

use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

pub(super) use self::names::key;
use self::names::{without_unit, words};
use super::ImportError;
use super::source::{Fit, Headings, distinct};

/// What stands for the time of day in `--map`, if the topic has no such column: `--map "Hora da venda=hora"`.
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
            found: header.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(", "),
            columns: topic.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let names = Names { topic, target, named };
        let columns = names.assign(header).map_err(&wrong)?;
        let event_time = &topic.columns[topic.event_time].name;
        let time = columns.iter().position(|column| column.as_ref().is_some_and(|filled| filled.name == *event_time));
        let Some(time) = time else { return Err(wrong(format!("none of its columns fills {event_time}"))) };
        let unused = header.iter().zip(&columns).filter(|(name, column)| column.is_none() && !name.is_empty());
        let unused: Vec<String> = unused.map(|(name, _)| name.clone()).collect();
        let hints = names.hints(header, &columns);
        let mapping =
            Self { header: header.to_vec(), columns, constants: target.constants.clone(), unused, hints, time };
        match mapping.hints.first() {
            Some(hint) if names.lacks_amounts(&mapping.columns) => {
                Err(wrong(format!("none of its columns fills an amount, but {hint}")))
            }
            _ => Ok(mapping),
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

    pub(super) fn width(&self) -> usize {
        self.header.len()
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

/// The names that a file's columns may have.
pub(super) struct Names<'a> {
    pub(super) topic: &'a Topic,
    pub(super) target: &'a ImportTarget,
    /// The file's column to the topic's, as the user says; to nothing: it is left out.
    pub(super) named: &'a BTreeMap<String, String>,
}

/// What a name stands for.
enum Meaning {
    Column {
        index: usize,
        is_exact: bool,
    },
    Clock,
    /// Every row of the table has the same.
    Constant,
}

impl Names<'_> {
    fn meaning(&self, name: &str) -> Option<Meaning> {
        let wanted = key(name);
        let column = |name: &str| self.topic.columns.iter().position(|column| key(&column.name) == key(name));
        let meaning = match column(name) {
            Some(index) => Meaning::Column { index, is_exact: true },
            None => match self.target.aliases.iter().find(|(alias, _)| key(alias) == wanted) {
                Some((_, ours)) => Meaning::Column { index: column(ours)?, is_exact: false },
                None if CLOCKS.iter().any(|clock| key(clock) == wanted) => Meaning::Clock,
                None => return None,
            },
        };
        match meaning {
            Meaning::Column { index, .. } if self.is_constant(&self.topic.columns[index].name) => {
                Some(Meaning::Constant)
            }
            meaning => Some(meaning),
        }
    }

    fn is_constant(&self, column: &str) -> bool {
        self.target.constants.iter().any(|(constant, _)| constant == column)
    }

    fn fill(&self, meaning: &Meaning, is_named: bool) -> Option<Filled> {
        match meaning {
            Meaning::Constant => None,
            Meaning::Clock => Some(Filled { name: CLOCK.to_owned(), role: Role::Clock, is_named }),
            Meaning::Column { index, .. } => {
                let column = &self.topic.columns[*index];
                let role = match column.kind {
                    ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency => Role::Text,
                    ColumnKind::Integer => Role::Integer,
                    ColumnKind::Decimal { .. } => Role::Decimal,
                    ColumnKind::Boolean => Role::Boolean,
                    ColumnKind::Timestamp => Role::Time,
                };
                Some(Filled { name: column.name.clone(), role, is_named })
            }
        }
    }

    /// The place of the column that the user means: by its name, by its number as in `#5`, or by a name that is alike.
    fn place(&self, header: &[String], theirs: &str) -> Option<usize> {
        let by_number =
            || theirs.strip_prefix('#')?.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < header.len());
        let alike = || {
            let mut found = (0..header.len()).filter(|index| key(&header[*index]) == key(theirs));
            let first = found.next()?;
            found.next().is_none().then_some(first)
        };
        header.iter().position(|name| name == theirs).or_else(by_number).or_else(alike)
    }

    /// What each column fills: as the user says; then a column's own name goes before its other names.
    fn assign(&self, header: &[String]) -> Result<Vec<Option<Filled>>, String> {
        let mut columns: Vec<Option<Filled>> = vec![None; header.len()];
        let mut is_named = vec![false; header.len()];
        for (theirs, ours) in self.named {
            let Some(place) = self.place(header, theirs) else { return Err(format!("it has no column {theirs}")) };
            if std::mem::replace(&mut is_named[place], true) {
                return Err(format!("--map names the column {} twice", header[place]));
            }
            if ours.is_empty() {
                continue;
            }
            let Some(meaning) = self.meaning(ours) else {
                return Err(format!("there is no column {ours} for {theirs}"));
            };
            columns[place] = self.fill(&meaning, true);
        }
        let named: Vec<(usize, Filled)> =
            columns.iter().enumerate().filter_map(|(place, filled)| Some((place, filled.clone()?))).collect();
        for (at, (place, filled)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..at].iter().find(|(_, other)| other.name == filled.name) {
                return Err(format!("both {} and {} would fill {}", header[*other], header[*place], filled.name));
            }
        }
        // By the column's name: the places that have it, and those that have another of its names.
        let mut found = BTreeMap::<String, (Vec<usize>, Vec<usize>)>::new();
        for (place, name) in header.iter().enumerate().filter(|(place, name)| !is_named[*place] && !name.is_empty()) {
            let base = self.base(header, place);
            let meaning = self.meaning(base).or_else(|| self.meaning(without_unit(name)?));
            let Some((meaning, filled)) = meaning.and_then(|it| self.fill(&it, false).map(|filled| (it, filled)))
            else {
                continue;
            };
            let places = found.entry(filled.name).or_default();
            match meaning {
                Meaning::Column { is_exact: true, .. } => places.0.push(place),
                _ => places.1.push(place),
            }
        }
        for (name, (exact, others)) in found {
            if named.iter().any(|(_, filled)| filled.name == name) {
                continue;
            }
            let places = if exact.is_empty() { others } else { exact };
            match places.as_slice() {
                [place] => {
                    let base = self.base(header, *place);
                    let meaning = self.meaning(base).or_else(|| self.meaning(without_unit(&header[*place])?));
                    columns[*place] = meaning.and_then(|meaning| self.fill(&meaning, false));
                }
                // Nobody needs the time of day twice, and a date may have it.
                _ if name == CLOCK => {}
                [first, second, ..] => {
                    let (first, second) = (&header[*first], &header[*second]);
                    let ways = format!("--map \"{first}={name}\", or leave one out by --map \"{second}=\"");
                    return Err(format!("both {first} and {second} would fill {name}: name one by {ways}"));
                }
                [] => {}
            }
        }
        Ok(columns)
    }

    /// A heading without the number that tells it from an equal one before.
    fn base<'a>(&self, header: &'a [String], place: usize) -> &'a str {
        let name = &header[place];
        let base = name.rsplit_once('_').filter(|(base, number)| {
            number.bytes().all(|byte| byte.is_ascii_digit()) && header[..place].iter().any(|other| other == base)
        });
        base.map_or(name.as_str(), |(base, _)| base)
    }

    /// Unused columns whose names are somewhat like that of an amount which nothing fills: an order's total is not a line's.
    fn hints(&self, header: &[String], columns: &[Option<Filled>]) -> Vec<String> {
        let is_filled = |name: &String| columns.iter().flatten().any(|filled| filled.name == *name);
        let amounts = self.topic.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Decimal { .. }));
        let open: Vec<_> =
            amounts.map(|column| &column.name).filter(|name| !is_filled(name) && !self.is_constant(name)).collect();
        // Where there is no amount at all a word in common is enough.
        let lacks_amounts = self.lacks_amounts(columns);
        let is_like = |heading: &String, column: &String| {
            let (heading, column) = (words(heading), words(column));
            let mut common = heading.iter().map(|word| column.contains(word));
            !heading.is_empty() && if lacks_amounts { common.any(|is| is) } else { common.all(|is| is) }
        };
        let mut hints = Vec::new();
        for (place, name) in header.iter().enumerate().filter(|(place, _)| columns[*place].is_none()) {
            let is_left_out = self.named.keys().any(|theirs| self.place(header, theirs) == Some(place));
            if let Some(column) = open.iter().find(|column| !is_left_out && is_like(name, column)) {
                let condition = "if each row has its own, and not its order's";
                hints.push(format!("{name} may be {column}: say --map \"{name}={column}\" {condition}"));
            }
        }
        hints
    }

    /// Whether nothing says what a row is worth.
    fn lacks_amounts(&self, columns: &[Option<Filled>]) -> bool {
        // A discount is an amount, and not what a row is worth: that is in the key.
        let is_amount = |name: &String| {
            let column = self.topic.columns.iter().find(|column| column.name == *name);
            column.is_some_and(|column| matches!(column.kind, ColumnKind::Decimal { .. }))
        };
        let has_own = self.target.key.iter().any(is_amount);
        let is_worth =
            |filled: &Filled| filled.role == Role::Decimal && (!has_own || self.target.key.contains(&filled.name));
        !columns.iter().flatten().any(is_worth)
    }
}

impl Headings for Names<'_> {
    fn fills(&self, row: &[String]) -> Vec<Option<String>> {
        let row = distinct(row);
        match self.assign(&row) {
            Ok(columns) => columns.into_iter().map(|filled| Some(filled?.name)).collect(),
            Err(_) => vec![None; row.len()],
        }
    }

    /// The columns that the user names are there, and the event time and something else are filled, by whatever column.
    fn fit(&self, row: &[String]) -> Fit {
        let row = distinct(row);
        let named: Option<Vec<_>> =
            self.named.iter().map(|(theirs, ours)| Some((self.place(&row, theirs)?, ours))).collect();
        let Some(named) = named else { return Fit::No };
        let event_time = &self.topic.columns[self.topic.event_time].name;
        let (mut has_time, mut others) = (false, 0);
        for (place, name) in row.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let ours = named.iter().find(|(named, _)| *named == place).map(|(_, ours)| ours.as_str());
            let meaning = self.meaning(ours.unwrap_or(name)).or_else(|| self.meaning(without_unit(name)?));
            match meaning {
                Some(Meaning::Column { index, .. }) if self.topic.columns[index].name == *event_time => has_time = true,
                Some(Meaning::Column { .. }) => others += 1,
                _ => {}
            }
        }
        match (has_time, others) {
            (false, _) => Fit::No,
            (true, 0) => Fit::Barely,
            (true, _) => Fit::Well,
        }
    }
}

#[cfg(test)]
mod tests;
