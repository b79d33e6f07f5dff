//! What names stand for: the one resolver of everything that SQL may read.
//!
//! Topics, reference tables, metrics, views and the engine's own tables share one namespace, in
//! which each domain has a schema of its own. Callers that plan a statement ask here what it reads,
//! views seen through, and provide that and nothing else.

mod circles;
mod engine_table;
mod meaning;
mod place;
mod schemas;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Query};
use vitral_schemas::lookup::LookupTable;

pub use self::engine_table::EngineTable;
pub use self::meaning::warehouse_name;
use self::meaning::{is_warehouse_name, kind, refusal};
use self::place::place_of;
use self::walk::Sees;
use crate::domains::Domains;
pub use crate::domains::{INFORMATION_SCHEMA, NOW_SCHEMA, SCHEMA, SUMS_SCHEMA, WAREHOUSE_SCHEMA, plain};
use crate::{Catalog, Diagnostic, Position};
use crate::{derived, ordinals};

/// Where a row of a topic came from; a column for jobs and checks alone.
pub const ORIGIN_COLUMN: &str = "_origem";

/// Which of the names a statement may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the API serves.
    Served,
    /// What jobs and checks are computed from: what is committed, and of metrics their final
    /// windows.
    History,
    /// Everything that is stored.
    Stored,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Meaning {
    /// A table of counted events.
    Topic,
    /// A table that is read from a file.
    Reference,
    /// A table of another system, in which rows are found by key.
    Lookup {
        /// Whether all of its rows can be read, too.
        is_whole: bool,
    },
    /// A metric.
    Metric {
        /// The one that it reads.
        topic: String,
    },
    /// A table that is kept up to date, one row for each key.
    Keyed {
        /// The one that it reads.
        topic: String,
    },
    /// A statement that gives the rows when it is read.
    View(ViewQuery),
    /// A table that the engine keeps.
    Engine(EngineTable),
    /// A table of the warehouse.
    Warehouse {
        /// What `vitral batch run` calls the job that writes it.
        job: String,
    },
}

/// The statement of a view.
#[derive(Debug)]
pub struct ViewQuery {
    /// What gives its rows.
    pub query: Box<Query>,
    /// Where the view is declared.
    pub position: Position,
    /// What the query names; none if that cannot be said.
    reads: Vec<Name>,
}

/// What a statement may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A topic, reference table, metric, view or table of the engine, as the catalog calls it.
    Table(String),
    /// The newest window of a metric.
    Newest(String),
    /// A table of [`INFORMATION_SCHEMA`], which tells of all the others.
    Information(String),
}

/// Everything that a statement reads, views seen through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Each after those that it is made of.
    pub names: Vec<Name>,
    /// The topics that all of it is made of.
    pub topics: BTreeSet<String>,
    /// The domain of the statement, if it is not the first.
    pub domain: Option<String>,
    /// Tables that are among the names only because all are listed: their rows are not read.
    pub listed: BTreeSet<String>,
}

impl Needs {
    /// Where the statement's plain names are looked up.
    pub fn schema(&self) -> &str {
        self.domain.as_deref().unwrap_or(SCHEMA)
    }

    /// Whether what the catalog calls so is read.
    pub fn table(&self, name: &str) -> bool {
        self.names.iter().any(|known| matches!(known, Name::Table(table) if table == name))
    }

    /// Whether its rows are, and not its columns alone.
    pub fn rows(&self, name: &str) -> bool {
        self.table(name) && !self.listed.contains(name)
    }
}

/// The namespace of a catalog.
#[derive(Debug)]
pub struct Names {
    declared: BTreeMap<String, (Meaning, Option<Position>)>,
    domains: Domains,
    /// Table functions, which look like tables.
    functions: BTreeSet<String>,
    /// Statements that could not be read: what they declare is not missing.
    unread: String,
    errors: Vec<Diagnostic>,
}

impl Names {
    /// The names of a catalog for sessions with these table functions. What is wrong with them is
    /// in [`Self::errors`]; all others can be resolved.
    pub fn new(catalog: &Catalog, functions: impl IntoIterator<Item = String>) -> Self {
        let mut names = Self {
            declared: BTreeMap::new(),
            domains: catalog.domains.clone(),
            functions: functions.into_iter().collect(),
            unread: catalog.unread.clone(),
            errors: Vec::new(),
        };
        for table in EngineTable::ALL {
            names.declared.insert(table.name().to_owned(), (Meaning::Engine(table), None));
        }
        for table in &catalog.job_tables {
            let meaning = Meaning::Warehouse { job: table.job.clone() };
            names.declared.insert(warehouse_name(&table.table), (meaning, Some(table.position.clone())));
        }
        // A topic with a primary key is the table of its rows, below.
        for topic in catalog.topics.iter().filter(|topic| topic.changes.is_none()) {
            names.declare(&topic.name, Meaning::Topic, &catalog.position_of(topic));
        }
        for reference in &catalog.references {
            let is_whole = reference.lookup.as_ref().is_some_and(LookupTable::is_read_whole);
            let meaning = if reference.path.is_some() { Meaning::Reference } else { Meaning::Lookup { is_whole } };
            names.declare(&reference.name, meaning, &reference.position);
        }
        for metric in &catalog.metrics {
            names.declare(&metric.name, Meaning::Metric { topic: metric.topic.clone() }, &metric.position);
        }
        for view in &catalog.keyed {
            names.declare(&view.name, Meaning::Keyed { topic: view.topic.clone() }, &view.position);
        }
        for view in &catalog.views {
            let (reads, errors) = names.named_by(&view.query, &view.source, &|_| true);
            names.errors.extend(errors);
            let behind = names.behind_sums(&view.query);
            let meaning = ViewQuery {
                query: view.query.clone(),
                position: view.source.clone(),
                reads: behind.into_iter().chain(reads.unwrap_or_default()).collect(),
            };
            names.declare(&view.name, Meaning::View(meaning), &view.source);
        }
        for view in &catalog.views {
            if let Err(errors) = names.needs(&view.query, &view.source, Scope::Served) {
                for error in errors {
                    if !names.errors.contains(&error) {
                        names.errors.push(error);
                    }
                }
            }
        }
        names
    }

    /// What is wrong with the names themselves, views' own reading included.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// What the catalog calls so: a name, or that of another domain, `domain.name`, if the plain
    /// one is taken.
    pub fn get(&self, name: &str) -> Option<&Meaning> {
        self.declared.get(name).map(|(meaning, _)| meaning)
    }

    /// The names that statements of this scope may read, in their order.
    pub fn of(&self, scope: Scope) -> impl Iterator<Item = (&str, &Meaning)> {
        let known = self.declared.iter().map(|(name, (meaning, _))| (name.as_str(), meaning));
        known.filter(move |(_, meaning)| refusal(meaning, scope).is_none())
    }

    fn declare(&mut self, name: &str, meaning: Meaning, position: &Position) {
        let error = match self.declared.get(name) {
            Some((Meaning::Engine(_), _)) => position.error(
                format!("{name} is a table of the engine"),
                format!("choose another name than {}", EngineTable::ALL.map(EngineTable::name).join(", ")),
            ),
            Some((other, at)) => {
                let at = at.as_ref().map(ToString::to_string).unwrap_or_default();
                position.error(
                    format!(
                        "{name} is declared as two different things: here as {}, and as {} at {at}",
                        kind(&meaning),
                        kind(other)
                    ),
                    "topics, reference tables, metrics and views share one namespace: rename one of the two".into(),
                )
            }
            None if self.functions.contains(plain(name)) => {
                position.error(format!("{name} is a table function"), "choose another name".into())
            }
            None => {
                self.declared.insert(name.to_owned(), (meaning, Some(position.clone())));
                return;
            }
        };
        self.errors.push(error);
    }

    /// The tables that a query names itself, common table expressions and table functions left out;
    /// and what cannot be the name of one.
    fn named_by(&self, query: &Query, position: &Position, sees: Sees<'_>) -> (Option<Vec<Name>>, Vec<Diagnostic>) {
        let remedy =
            || format!("write only a table's name, domain.name, or {NOW_SCHEMA}.metric for a metric's newest window");
        let tables = match resolve_table_references(&statement(query), true) {
            Ok((tables, _)) => tables,
            Err(error) => return (None, vec![position.error(error.strip_backtrace(), remedy())]),
        };
        let (mut names, mut errors) = (Vec::new(), Vec::new());
        let home = self.domains.of_file(&position.file);
        for table in tables {
            let name = table.table();
            let found = match (table.catalog(), table.schema()) {
                (None, None) if self.functions.contains(name) => continue,
                (None, None) => self.resolve(home, name),
                (None, Some(SCHEMA)) => self.resolve(None, name),
                (None, Some(NOW_SCHEMA)) => Ok(Name::Newest(name.to_owned())),
                (None, Some(SUMS_SCHEMA)) => Ok(Name::Table(name.to_owned())),
                (None, Some(WAREHOUSE_SCHEMA)) => Ok(Name::Table(warehouse_name(name))),
                (None, Some(INFORMATION_SCHEMA)) => Ok(Name::Information(name.to_owned())),
                (None, Some(domain)) if self.domains().any(|known| known == domain) => {
                    self.resolve_in(domain, name, sees)
                }
                _ => Err((format!("there is no table {table}"), remedy())),
            };
            match found {
                Ok(name) => names.push(name),
                Err((message, remedy)) => errors.push(elsewhere(&table, query, position).error(message, remedy)),
            }
        }
        (Some(names), errors)
    }

    /// The topics of tables whose sums a query reads: what they have behind the tables is in the
    /// sums too.
    fn behind_sums(&self, query: &Query) -> Vec<Name> {
        let tables = resolve_table_references(&statement(query), true).map_or_else(|_| Vec::new(), |found| found.0);
        let sums = tables.iter().filter(|table| table.schema() == Some(SUMS_SCHEMA));
        let topics = sums.filter_map(|table| match self.get(table.table()) {
            Some(Meaning::Keyed { topic }) => Some(Name::Table(topic.clone())),
            _ => None,
        });
        topics.collect()
    }

    /// None if the name is declared by a statement that could not be read: its own errors say all
    /// there is to say.
    fn unknown(
        &self,
        name: &str,
        only_metrics: bool,
        (scope, sees): (Scope, Sees<'_>),
        at: &Position,
    ) -> Option<Diagnostic> {
        if is_word_of(plain(name), &self.unread) {
            return None;
        }
        let stored = warehouse_name(name);
        if let Some(Meaning::Warehouse { job }) = self.get(&stored).filter(|_| !only_metrics && sees(&stored)) {
            let remedy = match scope {
                Scope::Stored | Scope::Served => format!("read it as {stored}"),
                Scope::History => {
                    format!("endpoints, `vitral query` and the SQL endpoint read {stored}; jobs and checks cannot")
                }
            };
            let message = format!("there is no table {name}, only {stored}, which the job {job} writes");
            return Some(at.error(message, remedy));
        }
        let kind = if only_metrics { "metric" } else { "table" };
        let is_of_warehouse = is_warehouse_name(name);
        let fits = |meaning: &Meaning| match meaning {
            Meaning::Metric { .. } => !is_of_warehouse,
            Meaning::Warehouse { .. } => is_of_warehouse,
            _ => !only_metrics && !is_of_warehouse,
        };
        let known = self.of(scope).filter(|(id, meaning)| fits(meaning) && sees(id)).map(|(id, _)| self.written(id));
        let known: Vec<_> = known.collect();
        Some(at.error(format!("there is no {kind} {name}"), format!("read one of {}, or declare it", known.join(", "))))
    }
}

impl Names {
    fn add_topics(&self, name: &str, meaning: &Meaning, needs: &mut Needs) {
        match meaning {
            Meaning::Topic => {
                needs.topics.insert(name.to_owned());
            }
            Meaning::Metric { topic } | Meaning::Keyed { topic } => {
                needs.topics.insert(topic.clone());
            }
            Meaning::Engine(EngineTable::Ledger) => {
                let topics = self.declared.iter().filter(|(name, (meaning, _))| match meaning {
                    Meaning::Topic => true,
                    Meaning::Keyed { topic } => topic == *name,
                    _ => false,
                });
                needs.topics.extend(topics.map(|(topic, _)| topic.clone()));
            }
            Meaning::Reference
            | Meaning::Lookup { .. }
            | Meaning::View(_)
            | Meaning::Engine(_)
            | Meaning::Warehouse { .. } => {}
        }
    }

    /// One error for a circle of views, wherever it was entered.
    fn circle(&self, views: &[&str]) -> Diagnostic {
        let first = views.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(index, _)| index);
        let turned: Vec<&str> = views[first..].iter().chain(&views[..first]).copied().collect();
        let (name, last) = (turned[0], turned[turned.len() - 1]);
        let at = match self.get(last) {
            Some(Meaning::View(view)) => place_of(&view.query, &Name::Table(name.to_owned()), &view.position),
            _ => Position::file("catalog"),
        };
        at.error(
            format!("the view {name} depends on itself: {} -> {name}", turned.join(" -> ")),
            "remove one of these views from the cycle".into(),
        )
    }
}

fn push_new(errors: &mut Vec<Diagnostic>, error: Diagnostic) {
    if !errors.contains(&error) {
        errors.push(error);
    }
}

fn elsewhere(table: &TableReference, query: &Query, position: &Position) -> Position {
    place_of(query, &Name::Table(table.table().to_owned()), position)
}

pub(crate) fn is_word_of(name: &str, text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|word| word.eq_ignore_ascii_case(name))
}

/// Whether a query names [`ORIGIN_COLUMN`].
pub fn reads_origin(query: &Query) -> bool {
    is_word_of(ORIGIN_COLUMN, &query.to_string())
}

/// The query as a statement that can be planned.
pub fn statement(query: &Query) -> Statement {
    let mut query = Box::new(query.clone());
    derived::name(&mut query);
    ordinals::spell_out(&mut query);
    Statement::Statement(Box::new(ast::Statement::Query(query)))
}

#[cfg(test)]
mod tests;
