//! Which of a file's columns fills which of the topic's.

use std::collections::BTreeMap;

use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

use super::names::{key, without_unit, words};
use super::{CLOCK, CLOCKS, Filled, Role};
use crate::import::source::{Fit, Headings, distinct};

/// The names that a file's columns may have.
pub(in crate::import) struct Names<'a> {
    pub(in crate::import) topic: &'a Topic,
    pub(in crate::import) target: &'a ImportTarget,
    /// The file's column to the topic's, as the user says; to nothing: it is left out. From nothing: no column of the file fills it.
    pub(in crate::import) named: &'a BTreeMap<String, String>,
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
        if theirs.is_empty() {
            return None;
        }
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
    pub(super) fn assign(&self, header: &[String]) -> Result<Vec<Option<Filled>>, String> {
        let mut columns: Vec<Option<Filled>> = vec![None; header.len()];
        let mut is_named = vec![false; header.len()];
        for (theirs, ours) in self.named {
            if theirs.is_empty() {
                match self.meaning(ours) {
                    Some(_) => continue,
                    None => return Err(format!("there is no column {ours} that nothing could fill")),
                }
            }
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
            if named.iter().any(|(_, filled)| filled.name == name) || self.is_unfilled(&name) {
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

    /// Whether the user says that no column of the file fills this one.
    fn is_unfilled(&self, name: &str) -> bool {
        let said = self.named.get("").and_then(|ours| self.meaning(ours));
        matches!(said, Some(Meaning::Column { index, .. }) if self.topic.columns[index].name == name)
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
    pub(super) fn hints(&self, header: &[String], columns: &[Option<Filled>]) -> Vec<String> {
        let is_filled = |name: &String| columns.iter().flatten().any(|filled| filled.name == *name);
        let amounts = self.topic.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Decimal { .. }));
        let open: Vec<_> =
            amounts.map(|column| &column.name).filter(|name| !is_filled(name) && !self.is_constant(name)).collect();
        // Where there is no amount at all a word in common is enough.
        let lacks_amounts = self.lacks_amounts(columns);
        let is_like = |heading: &String, column: &String| {
            if lacks_amounts {
                return is_like(heading, column);
            }
            let (heading, column) = (words(heading), words(column));
            !heading.is_empty() && heading.iter().all(|word| column.contains(word))
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
    pub(super) fn lacks_amounts(&self, columns: &[Option<Filled>]) -> bool {
        // A discount is an amount, and not what a row is worth: that is in the key.
        let own = self.worth();
        let is_worth =
            |filled: &Filled| filled.role == Role::Decimal && (own.is_empty() || own.contains(&&filled.name));
        !columns.iter().flatten().any(is_worth)
    }

    /// The amounts that say what a row of the table is worth, if there must be one and nothing fills any, and the user does not say so.
    pub(super) fn worthless(&self, columns: &[Option<Filled>]) -> Option<Vec<String>> {
        let own: Vec<String> = self.worth().into_iter().cloned().collect();
        (!own.is_empty() && !self.says_worthless() && self.lacks_amounts(columns)).then_some(own)
    }

    /// Whether the user leaves an amount out, or says that nothing fills one, or each row of the table has it.
    fn says_worthless(&self) -> bool {
        let own = self.worth();
        let is_own = |theirs: &String| {
            let meaning = self.meaning(theirs);
            matches!(meaning, Some(Meaning::Column { index, .. }) if own.contains(&&self.topic.columns[index].name))
        };
        let is_left_out = |theirs: &String| is_own(theirs) || own.iter().any(|own| is_like(theirs, own));
        self.says_none()
            || own.iter().any(|name| self.is_constant(name))
            || self.named.iter().any(|(theirs, ours)| ours.is_empty() && is_left_out(theirs))
    }

    /// Whether the user says that nothing fills an amount.
    pub(super) fn says_none(&self) -> bool {
        self.worth().into_iter().any(|name| self.is_unfilled(name))
    }

    fn worth(&self) -> Vec<&String> {
        let is_amount = |name: &&String| {
            let column = self.topic.columns.iter().find(|column| column.name == **name);
            column.is_some_and(|column| matches!(column.kind, ColumnKind::Decimal { .. }))
        };
        self.target.key.iter().filter(is_amount).collect()
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
        let named = self.named.iter().filter(|(theirs, _)| !theirs.is_empty());
        let named: Option<Vec<_>> = named.map(|(theirs, ours)| Some((self.place(&row, theirs)?, ours))).collect();
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

/// Whether two names have a word in common.
fn is_like(heading: &str, column: &str) -> bool {
    let (heading, column) = (words(heading), words(column));
    heading.iter().any(|word| column.contains(word))
}
