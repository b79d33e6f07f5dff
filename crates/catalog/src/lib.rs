//! The catalog: plain SQL files that declare topics, reference tables, views, metrics and endpoints.
//!
//! | Statement | Declares |
//! |---|---|
//! | `CREATE TABLE ... WITH (connector = 'kafka', ...)` | a [`Topic`] |
//! | `CREATE TABLE ... WITH (connector = 'file', ...)` | a [`Reference`] table |
//! | `CREATE VIEW name AS SELECT ...` | a [`View`] over tables, for reading; files may be imported into it |
//! | `CREATE VIEW name WITH (path = '/...') AS SELECT ...` | an [`Endpoint`] of the API |
//! | `CREATE TABLE name WITH (connector = 'warehouse', ...) AS SELECT ...` | a [`JobTable`] that a batch job computes |
//! | `CREATE VIEW name WITH (check = '...') AS SELECT ...` | a [`Check`] of quality |
//! | `CREATE VIEW name WITH (profile_for = '...') AS SELECT ... FROM arquivo` | a [`Profile`] of files |
//! | `CREATE MATERIALIZED VIEW name AS SELECT tumble(...) AS janela, ...` | a [`Metric`] |
//!
//! Parsing checks everything that can be said of the text alone; what needs types is checked where it is planned.
//! Every error is a [`Diagnostic`] that names file, line, column and remedy.

mod builtin;
mod domain;
mod endpoint;
mod expressions;
mod import;
mod job;
mod metric;
pub mod names;
mod planning;
mod position;
mod profile;
mod reader;
pub mod reference;
mod statement;
mod table;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::sql::sqlparser::ast::Query;

pub use self::builtin::{domains as builtin_domains, files as builtin_files};
pub use self::domain::{DEFAULT_DOMAIN, DomainOptions, DomainSettings};
pub use self::endpoint::Endpoint;
pub use self::import::ImportTarget;
pub use self::job::{Check, JobTable, Period};
pub use self::metric::{Metric, OrderColumn, PANE_COLUMN, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
pub use self::names::{EngineTable, Meaning, Name, Names, Needs, Scope};
pub use self::planning::planning_errors;
pub use self::profile::{FILE_TABLE, LINE_COLUMN, MissingHeading, Profile, SHEET_COLUMN, rows_where};
pub use self::statement::ReadStatement;
pub use self::table::Reference;
pub use vitral_schemas::diagnostic::{Diagnostic, Diagnostics, Position};
use vitral_schemas::topic::Topic;

/// One SQL file, wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As shown in diagnostics.
    pub path: String,
    pub text: String,
}

/// A plain view: SQL over topics, metrics and reference tables, evaluated when it is read.
#[derive(Debug, Clone)]
pub struct View {
    pub name: String,
    pub query: Box<Query>,
    /// If files can be imported into it.
    pub import: Option<ImportTarget>,
    pub source: Position,
}

#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub topics: Vec<Topic>,
    pub references: Vec<Reference>,
    pub views: Vec<View>,
    pub metrics: Vec<Metric>,
    pub endpoints: Vec<Endpoint>,
    pub job_tables: Vec<JobTable>,
    pub checks: Vec<Check>,
    /// Expressions that may fail on data: see [`Self::warnings`].
    suspects: Vec<warnings::Suspect>,
    pub profiles: Vec<Profile>,
    topic_positions: BTreeMap<String, Position>,
    /// The text of what could not be read: names that stand there are not missing.
    unread: String,
}

/// Paths of the built-in catalog that a folder of the configuration cannot replace: they are part of the engine.
const ENGINE_ENDPOINTS: [&str; 2] = ["/livro", "/reconciliacao"];

impl Catalog {
    /// The built-in domains in use with the folders merged over them, in order: a later statement replaces an earlier
    /// file's of the same kind and name. Two domains cannot have the same name.
    pub fn load(dirs: &[PathBuf], settings: &DomainSettings) -> Result<Self, Diagnostics> {
        let mut layers = vec![builtin::files(&settings.domains)];
        for dir in dirs {
            layers.push(read_dir(dir)?);
        }
        Self::parse(&layers, settings)
    }

    /// Parses layers of files; a name may stand once in each layer.
    pub fn parse(layers: &[Vec<SourceFile>], settings: &DomainSettings) -> Result<Self, Diagnostics> {
        let (catalog, errors) = Self::read_layers(layers, settings);
        if errors.is_empty() { Ok(catalog) } else { Err(Diagnostics(errors)) }
    }

    /// The same with what could be read, so that it can be checked further, and every error.
    pub fn load_part(dirs: &[PathBuf], settings: &DomainSettings) -> (Self, Vec<Diagnostic>) {
        let mut layers = vec![builtin::files(&settings.domains)];
        let mut unreadable = Vec::new();
        for dir in dirs {
            match read_dir(dir) {
                Ok(files) => layers.push(files),
                Err(Diagnostics(errors)) => unreadable.extend(errors),
            }
        }
        let (catalog, errors) = Self::read_layers(&layers, settings);
        unreadable.extend(errors);
        (catalog, unreadable)
    }

    fn read_layers(layers: &[Vec<SourceFile>], settings: &DomainSettings) -> (Self, Vec<Diagnostic>) {
        let mut catalog = Self::default();
        let mut errors = Vec::new();
        for layer in layers {
            let mut above = Self::default();
            for file in layer {
                if let Err(found) = reader::read(file, settings, &mut above) {
                    errors.extend(found);
                }
            }
            errors.extend(catalog.merge(above));
        }
        catalog.check_references(&mut errors);
        (catalog, errors)
    }

    /// Where a topic of the catalog is declared.
    pub fn position_of(&self, topic: &Topic) -> Position {
        self.topic_positions.get(&topic.name).cloned().unwrap_or_else(|| Position::file("catalog"))
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// How files are imported into what bears this name, a topic or a view of one.
    pub fn import_target(&self, name: &str) -> Option<(&Topic, ImportTarget)> {
        if let Some(topic) = self.topic(name) {
            return Some((topic, ImportTarget { topic: name.to_owned(), ..ImportTarget::default() }));
        }
        let target = self.views.iter().find(|view| view.name == name)?.import.clone()?;
        Some((self.topic(&target.topic)?, target))
    }

    pub fn metrics_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Metric> {
        self.metrics.iter().filter(move |metric| metric.topic == topic)
    }

    /// The metric of an earlier catalog, from its [`Metric::definition`]; none if this catalog's topics do not have what it reads.
    pub fn older_metric(&self, definition: &str, settings: &DomainSettings) -> Option<Metric> {
        let mut catalog = Self { topics: self.topics.clone(), ..Self::default() };
        let file = SourceFile { path: "an earlier definition".to_owned(), text: definition.to_owned() };
        reader::read(&file, settings, &mut catalog).ok()?;
        let mut errors = Vec::new();
        catalog.check_references(&mut errors);
        catalog.metrics.pop().filter(|_| errors.is_empty())
    }

    /// What is above replaces what has the same name; what it cannot replace is an error.
    fn merge(&mut self, above: Self) -> Vec<Diagnostic> {
        let is_fixed = |endpoint: &&Endpoint| {
            ENGINE_ENDPOINTS.contains(&endpoint.path.as_str())
                && self.endpoints.iter().any(|below| below.path == endpoint.path)
        };
        let errors = above.endpoints.iter().filter(is_fixed).map(|endpoint| {
            endpoint
                .position
                .error(format!("path '{}' is the engine's own", endpoint.path), "choose another path".to_owned())
        });
        let errors = errors.collect();
        replace(&mut self.topics, above.topics, |topic| &topic.name);
        replace(&mut self.references, above.references, |reference| &reference.name);
        replace(&mut self.views, above.views, |view| &view.name);
        replace(&mut self.metrics, above.metrics, |metric| &metric.name);
        replace(&mut self.endpoints, above.endpoints, |endpoint| &endpoint.path);
        replace(&mut self.job_tables, above.job_tables, |table| &table.table);
        replace(&mut self.checks, above.checks, |check| &check.name);
        self.suspects.extend(above.suspects);
        replace(&mut self.profiles, above.profiles, |profile| &profile.name);
        self.topic_positions.extend(above.topic_positions);
        self.unread.push_str(&above.unread);
        errors
    }

    /// Whether a name stands in what could not be read.
    fn is_unread(&self, name: &str) -> bool {
        names::is_word_of(name, &self.unread)
    }

    /// Metrics read topics of the catalog, and what can be imported goes into one.
    fn check_references(&self, errors: &mut Vec<Diagnostic>) {
        for metric in &self.metrics {
            if self.topic(&metric.topic).is_none() && !self.is_unread(&metric.topic) {
                let known: Vec<_> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
                errors.push(metric.topic_position.error(
                    format!("metric {} reads {}, which is not a topic", metric.name, metric.topic),
                    format!("read one of the topics: {}", known.join(", ")),
                ));
            }
        }
        for profile in &self.profiles {
            if self.import_target(&profile.table).is_none() && !self.is_unread(&profile.table) {
                errors.push(profile.source.error(
                    format!("profile_for = '{}': files cannot be imported into that", profile.table),
                    "name a topic, or a view with the option import".into(),
                ));
            }
        }
        for view in &self.views {
            let Some(target) = &view.import else { continue };
            let Some(topic) = self.topic(&target.topic) else {
                if self.is_unread(&target.topic) {
                    continue;
                }
                errors.push(view.source.error(
                    format!("files cannot be imported into {}, which is not a topic", target.topic),
                    "select from a topic, or leave import out".into(),
                ));
                continue;
            };
            let columns = target.aliases.values().chain(target.constants.iter().map(|(column, _)| column));
            let columns = columns.chain(&target.key).chain(&target.optional);
            for column in columns.filter(|name| topic.columns.iter().all(|column| column.name != **name)) {
                errors.push(view.source.error(
                    format!("import: topic {} has no column {column}", topic.name),
                    "name columns of the topic".into(),
                ));
            }
        }
    }
}

fn replace<T>(below: &mut Vec<T>, above: Vec<T>, name: impl Fn(&T) -> &String) {
    for item in above {
        match below.iter_mut().find(|old| name(old) == name(&item)) {
            Some(old) => *old = item,
            None => below.push(item),
        }
    }
}

/// Every `.sql` file below `dir`, in the order of their paths.
fn read_dir(dir: &Path) -> Result<Vec<SourceFile>, Diagnostics> {
    let failed = |path: &Path, source: std::io::Error| {
        Diagnostics(vec![Position::file(path.display().to_string()).error(
            format!("cannot be read: {source}"),
            "point catalog.dirs at folders of SQL files that this user may read".into(),
        )])
    };
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| failed(&folder, source))? {
            let path = entry.map_err(|source| failed(&folder, source))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                let text = std::fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
                files.push(SourceFile { path: path.display().to_string(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests;
