//! Which of a file's columns fills which of the topic's.

use std::collections::{BTreeMap, HashMap, HashSet};

use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

use super::names::{is_scaled, key, without_unit, words};
use super::{CLOCK, CLOCKS, Filled, Role};
use crate::import::source::{Fit, Headings, distinct};

/// The names that a file's columns may have.
pub(in crate::import) struct Names<'a> {
    pub(in crate::import) topic: &'a Topic,
    pub(in crate::import) target: &'a ImportTarget,
    /// The file's column to the topic's, as the user says; to nothing: it is left out. From
    /// nothing: no column of the file fills it.
    pub(in crate::import) named: &'a BTreeMap<String, String>,
    /// By what names have in common: files may have thousands of columns.
    meanings: HashMap<String, Meaning>,
}

/// Unused columns that are hinted at.
const HINTS: usize = 5;

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Column {
        index: usize,
        is_exact: bool,
    },
    Clock,
    /// Every row of the table has the same.
    Constant,
}

/// What the user says of a file's columns.
struct Named {
    columns: Vec<Option<Filled>>,
    /// Whether the user names the column, if only to leave it out.
    is_named: Vec<bool>,
}

/// What headings say.
#[derive(Default)]
struct Found {
    /// By the column's name: the places that have it, and those that have another of its names.
    places: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// What the column at a place would fill.
    fills: HashMap<usize, Filled>,
}

impl<'a> Names<'a> {
    pub(in crate::import) fn new(
        topic: &'a Topic,
        target: &'a ImportTarget,
        named: &'a BTreeMap<String, String>,
    ) -> Self {
        let mut meanings = HashMap::new();
        // What is looked up is not the file's to say.
        let columns = || topic.columns.iter().enumerate().filter(|(_, column)| column.lookup.is_none());
        for (index, column) in columns() {
            meanings.entry(key(&column.name)).or_insert(Meaning::Column { index, is_exact: true });
        }
        for (alias, ours) in &target.aliases {
            if let Some((index, _)) = columns().find(|(_, column)| key(&column.name) == key(ours)) {
                meanings.entry(key(alias)).or_insert(Meaning::Column { index, is_exact: false });
            }
        }
        for clock in CLOCKS {
            meanings.entry(key(clock)).or_insert(Meaning::Clock);
        }
        let names = Self { topic, target, named, meanings: HashMap::new() };
        for meaning in meanings.values_mut() {
            if let Meaning::Column { index, .. } = meaning
                && names.is_constant(&topic.columns[*index].name)
            {
                *meaning = Meaning::Constant;
            }
        }
        Self { meanings, ..names }
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        self.meanings.get(&key(name)).copied()
    }

    /// What a heading stands for, with what is in parentheses at its end or without. `Desconto %`
    /// and `Preço (mil)` are numbers of another kind: only the user can say what they are.
    fn meaning_of(&self, heading: &str, base: &str) -> Option<Meaning> {
        let meaning = self.meaning(base).or_else(|| self.meaning(without_unit(heading)?))?;
        match meaning {
            Meaning::Column { index, .. } if self.is_number(index) && is_scaled(heading) => None,
            meaning => Some(meaning),
        }
    }

    fn is_number(&self, index: usize) -> bool {
        matches!(self.topic.columns[index].kind, ColumnKind::Decimal { .. } | ColumnKind::Integer)
    }

    /// The places of the columns that the user leaves out.
    pub(super) fn left_out(&self, header: &[String]) -> Vec<usize> {
        let left_out = self.named.iter().filter(|(_, ours)| ours.is_empty());
        left_out.filter_map(|(theirs, _)| self.place(header, theirs)).collect()
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

    /// The place of the column that the user means: by its name, by its number as in `#5`, or by a
    /// name that is alike.
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

    /// What each column fills: as the user says; then a column's own name goes before its other
    /// names.
    pub(super) fn assign(&self, header: &[String]) -> Result<Vec<Option<Filled>>, String> {
        let Named { mut columns, is_named } = self.assign_named(header)?;
        let by_user: HashSet<String> = columns.iter().flatten().map(|filled| filled.name.clone()).collect();
        let Found { places, mut fills } = self.find(header, &is_named);
        for (name, (exact, others)) in places {
            if by_user.contains(&name) || self.is_unfilled(&name) {
                continue;
            }
            let places = if exact.is_empty() { others } else { exact };
            match places.as_slice() {
                [place] => columns[*place] = fills.remove(place),
                // Nobody needs the time of day twice, and a date may have it.
                _ if name == CLOCK => {}
                [first, second, ..] => {
                    let (first, second) = (&header[*first], &header[*second]);
                    let ways = format!("--map \"{first}={name}\", or leave one out with --map \"{second}=\"");
                    return Err(format!("both {first} and {second} would fill {name}: name one by {ways}"));
                }
                [] => {}
            }
        }
        Ok(columns)
    }

    /// What the user says of columns, if it makes sense.
    fn assign_named(&self, header: &[String]) -> Result<Named, String> {
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
        let named: Vec<(usize, &Filled)> =
            columns.iter().enumerate().filter_map(|(place, filled)| Some((place, filled.as_ref()?))).collect();
        for (at, (place, filled)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..at].iter().find(|(_, other)| other.name == filled.name) {
                return Err(format!("both {} and {} would fill {}", header[*other], header[*place], filled.name));
            }
        }
        Ok(Named { columns, is_named })
    }

    /// What the other columns could fill by their headings.
    fn find(&self, header: &[String], is_named: &[bool]) -> Found {
        let mut found = Found::default();
        let mut before = HashSet::new();
        for (place, name) in header.iter().enumerate() {
            let base = base(name, &before);
            before.insert(name.as_str());
            if is_named[place] || name.is_empty() {
                continue;
            }
            let meaning = self.meaning_of(name, base);
            let Some((meaning, filled)) = meaning.and_then(|it| self.fill(&it, false).map(|filled| (it, filled)))
            else {
                continue;
            };
            let (exact, others) = found.places.entry(filled.name.clone()).or_default();
            match meaning {
                Meaning::Column { is_exact: true, .. } => exact.push(place),
                _ => others.push(place),
            }
            found.fills.insert(place, filled);
        }
        found
    }

    /// Whether the user says that no column of the file fills this one.
    pub(super) fn is_unfilled(&self, name: &str) -> bool {
        let said = self.named.get("").and_then(|ours| self.meaning(ours));
        matches!(said, Some(Meaning::Column { index, .. }) if self.topic.columns[index].name == name)
    }

    /// Unused columns whose names are somewhat like that of an amount which nothing fills: an
    /// order's total is not a line's.
    pub(super) fn hints(&self, header: &[String], columns: &[Option<Filled>]) -> Vec<String> {
        let is_filled = |name: &String| columns.iter().flatten().any(|filled| filled.name == *name);
        let amounts = self.topic.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Decimal { .. }));
        let open: Vec<_> =
            amounts.map(|column| &column.name).filter(|name| !is_filled(name) && !self.is_constant(name)).collect();
        let open: Vec<_> = open.into_iter().map(|column| (column, words(column))).collect();
        // Where there is no amount at all a word in common is enough.
        let lacks_amounts = self.lacks_amounts(columns);
        let is_like = |heading: &[String], column: &[String]| {
            let mut common = heading.iter().map(|word| column.contains(word));
            !heading.is_empty() && if lacks_amounts { common.any(|is| is) } else { common.all(|is| is) }
        };
        let left_out: HashSet<usize> = self.named.keys().filter_map(|theirs| self.place(header, theirs)).collect();
        let mut hints = Vec::new();
        let is_unused = |place: &usize| columns[*place].is_none() && !left_out.contains(place);
        for (_, name) in header.iter().enumerate().filter(|(place, _)| !open.is_empty() && is_unused(place)) {
            let heading = words(name);
            if let Some((column, _)) = open.iter().find(|(_, column)| is_like(&heading, column)) {
                let condition = "if each row has its own, and not its order's";
                hints.push(format!("{name} may be {column}: use --map \"{name}={column}\" {condition}"));
            }
            if hints.len() == HINTS {
                break;
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

    /// The amounts that say what a row of the table is worth, if there must be one and nothing
    /// fills any, and the user does not say so.
    pub(super) fn worthless(&self, columns: &[Option<Filled>]) -> Option<Vec<String>> {
        let own: Vec<String> = self.worth().into_iter().cloned().collect();
        (!own.is_empty() && !self.says_worthless() && self.lacks_amounts(columns)).then_some(own)
    }

    /// Whether the user leaves an amount out, or says that nothing fills one, or each row of the
    /// table has it.
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

    /// The columns that the user names are there, and the event time and something else are filled,
    /// by whatever column.
    fn fit(&self, row: &[String]) -> Fit {
        let row = distinct(row);
        let named = self.named.iter().filter(|(theirs, _)| !theirs.is_empty());
        let named: Option<Vec<_>> = named.map(|(theirs, ours)| Some((self.place(&row, theirs)?, ours))).collect();
        let Some(named) = named else { return Fit::No };
        let event_time = &self.topic.columns[self.topic.event_time].name;
        let (mut has_time, mut others) = (false, 0);
        for (place, name) in row.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let ours = named.iter().find(|(named, _)| *named == place).map(|(_, ours)| ours.as_str());
            match self.meaning_of(name, ours.unwrap_or(name)) {
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

/// A heading without the number that tells it from an equal one before.
fn base<'a>(name: &'a str, before: &HashSet<&str>) -> &'a str {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let base = name.rsplit_once('_').filter(|(base, number)| is_number(number) && before.contains(base));
    base.map_or(name, |(base, _)| base)
}

/// Whether two names have a word in common.
fn is_like(heading: &str, column: &str) -> bool {
    let (heading, column) = (words(heading), words(column));
    heading.iter().any(|word| column.contains(word))
}
