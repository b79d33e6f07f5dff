//! The catalog: SQL files that declare topics, tables, views, metrics and endpoints.
//!
//! | Statement | Declares |
//! |---|---|
//! | `CREATE TABLE ... WITH (connector = 'kafka', ...)` | a [`Topic`] |
//! | the same with `primary_key` | a [`Topic`], and a [`KeyedView`] of its name |
//! | `CREATE TABLE ... WITH (connector = 'file', ...)` | a [`Reference`] table; with a key, one to look columns of topics up in, as from `'postgres'`, `'mongodb'` and `'http'` |
//! | `CREATE VIEW name AS SELECT ...` | a [`View`] over tables, for reading; files may be imported into it |
//! | `CREATE VIEW name WITH (alert = '...', ...)`, `WITH (report = '...', ...)` | a view of which people are notified: an [`Alert`], a [`Report`] |
//! | `CREATE VIEW name WITH (connector = '...', key = '...', ...)` | a view that is copied to another system: a [`Sink`] |
//! | `CREATE VIEW name WITH (path = '/...') AS SELECT ...` | an [`Endpoint`] of the API |
//! | `CREATE TABLE name WITH (connector = 'warehouse', ...) AS SELECT ...` | a [`JobTable`] that a batch job computes |
//! | `CREATE VIEW name WITH (check = '...') AS SELECT ...` | a [`Check`] of quality |
//! | `CREATE VIEW name WITH (profile_for = '...') AS SELECT ... FROM arquivo` | a [`Profile`] of files |
//! | `CREATE VIEW name WITH (input_for = '...') AS SELECT ... FROM corpo` | an [`Input`]: what another program sends |
//! | `CREATE MATERIALIZED VIEW name AS SELECT tumble(...) AS janela, ...` | a [`Metric`] |
//! | `CREATE MATERIALIZED VIEW name AS SELECT key, ... GROUP BY key` | a [`KeyedView`] |
//!
//! Parsing checks everything that can be said of the text alone; what needs types is checked where
//! it is planned. Every error is a [`Diagnostic`] that names file, line, column and remedy.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod alert;
mod builtin;
mod changes;
mod connections;
mod depth;
mod derived;
mod domain;
mod domains;
mod endpoint;
mod entrance;
mod expressions;
mod final_windows;
mod import;
mod input;
mod job;
mod keyed;
mod layers;
mod lookup;
mod metric;
pub mod names;
mod naming;
mod newest;
mod one_row;
mod options;
mod ordinals;
mod planning;
mod position;
mod profile;
mod reader;
pub mod reference;
mod row_log;
mod settings;
mod sink;
mod source_file;
mod statement;
mod syntax;
mod table;
mod warnings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use datafusion::sql::sqlparser::ast::Query;

pub use self::alert::{Alert, Audience, Report, Severity, WATERMARK_ALERT};
pub use self::builtin::{domains as builtin_domains, files as builtin_files};
pub use self::depth::{LEVELS_MAX, too_deep};
pub use self::domain::{CONFIGURATION, DEFAULT_DOMAIN, DomainOptions, DomainSettings};
use self::domains::Domains;
pub use self::domains::Replaced;
pub use self::endpoint::{Endpoint, ParameterUses};
pub use self::entrance::{Entrance, TRACED_ID, Traced};
pub use self::final_windows::LIVE_JOB;
pub use self::import::ImportTarget;
pub use self::input::{BODY_TABLE, Input, PLACE_IN_LIST};
pub use self::job::{Check, JobTable, Period};
pub use self::keyed::{
    KeyedColumn, KeyedView, LAST_TOMBSTONE, Merge, ORDER_PREFIX, PLACE_COLUMN, ROW_ORDER_COLUMN, Rollup,
    STATE_ORDER_COLUMN, TOMBSTONE_COLUMN, UPDATED_COLUMN,
};
pub use self::metric::{Metric, OrderColumn, PANE_COLUMN, SESSION_LAST_COLUMN, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
pub use self::names::{EngineTable, Meaning, Name, Names, Needs, Scope};
pub use self::naming::Naming;
pub use self::planning::{planning_errors, ungrouped};
pub use self::profile::{FILE_TABLE, LINE_COLUMN, MissingHeading, Profile, SHEET_COLUMN, rows_where};
pub use self::row_log::{EXPIRES_COLUMN, ROW_LOG_KEY, RowLog};
pub use self::settings::{Decimal, Setting};
pub use self::sink::{Sink, SinkConnector};
pub use self::source_file::SourceFile;
pub use self::statement::ReadStatement;
pub use self::syntax::duration_ms;
pub use self::table::Reference;
pub use vitral_schemas::diagnostic::{Diagnostic, Diagnostics, Position};
use vitral_schemas::topic::Topic;

/// A plain view: SQL over topics, metrics and reference tables, evaluated when it is read.
#[derive(Debug, Clone)]
pub struct View {
    /// As the catalog calls it: `domain.name` if another domain has the plain name.
    pub name: String,
    /// The comment at the head of its file: what it means.
    pub description: String,
    /// The statement that gives its rows.
    pub query: Box<Query>,
    /// If files can be imported into it.
    pub import: Option<ImportTarget>,
    /// If people are notified of its rows.
    pub alert: Option<Alert>,
    /// If its rows are sent each day.
    pub report: Option<Report>,
    /// If its rows are copied to another system.
    pub sink: Option<Sink>,
    /// Where it is declared.
    pub source: Position,
}

/// Everything that is declared, later layers over earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Topics of Kafka, by the names of their tables.
    pub topics: Vec<Topic>,
    /// Tables that others keep: files, and systems in which rows are found by key.
    pub references: Vec<Reference>,
    /// Plain views, some of which take files.
    pub views: Vec<View>,
    /// Windowed metrics.
    pub metrics: Vec<Metric>,
    /// Tables that are kept up to date, one row for each key.
    pub keyed: Vec<KeyedView>,
    /// Logs in other systems, into which a topic's rows are written.
    pub row_logs: Vec<RowLog>,
    /// Paths of the API.
    pub endpoints: Vec<Endpoint>,
    /// Tables of the warehouse.
    pub job_tables: Vec<JobTable>,
    /// Checks of quality.
    pub checks: Vec<Check>,
    /// Expressions that may fail on data: see [`Self::warnings`].
    suspects: Vec<warnings::Suspect>,
    /// How the files of other programs become rows.
    pub profiles: Vec<Profile>,
    /// How what other programs send becomes messages.
    pub inputs: Vec<Input>,
    by_message: BTreeMap<String, entrance::ByMessage>,
    topic_positions: BTreeMap<String, table::Places>,
    domains: Domains,
    /// The text of what could not be read: names that stand there are not missing.
    unread: String,
}

impl Catalog {
    /// The domains in use with the other folders over them, in order: a later statement replaces an
    /// earlier file's of the same domain, kind and name. What is stored or served under its name
    /// (topics, metrics, tables of the warehouse, paths, checks, profiles) cannot have the same one
    /// in two domains; views and reference tables can.
    pub fn load(dirs: &[PathBuf], settings: &DomainSettings) -> Result<Self, Diagnostics> {
        let (catalog, errors) = Self::load_part(dirs, settings);
        if errors.is_empty() { Ok(catalog) } else { Err(Diagnostics(errors)) }
    }

    /// The same with what could be read, so that it can be checked further, and every error.
    pub fn load_part(dirs: &[PathBuf], settings: &DomainSettings) -> (Self, Vec<Diagnostic>) {
        let (layers, mut errors) = layers::configured(dirs, settings);
        let (catalog, found) = Self::read_layers(&layers, settings);
        errors.extend(found);
        (catalog, errors)
    }

    /// Parses layers of files; a name may stand once in each layer. Files of a built-in domain are
    /// of that domain, all others go over it.
    pub fn parse(layers: &[Vec<SourceFile>], settings: &DomainSettings) -> Result<Self, Diagnostics> {
        let (catalog, errors) = Self::read_layers(&layers::of_files(layers), settings);
        if errors.is_empty() { Ok(catalog) } else { Err(Diagnostics(errors)) }
    }

    /// Statements of later files in the place of earlier ones.
    pub fn replaced(&self) -> &[Replaced] {
        &self.domains.replaced
    }

    /// Where a topic of the catalog is declared.
    pub fn position_of(&self, topic: &Topic) -> Position {
        self.topic_positions.get(&topic.name).map_or_else(|| Position::file("catalog"), |places| places.table.clone())
    }

    /// The topic whose table has this name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The table of this name that is kept up to date.
    pub fn keyed_view(&self, name: &str) -> Option<&KeyedView> {
        self.keyed.iter().find(|view| view.name == name)
    }

    /// The tables that are kept up to date from a topic.
    pub fn keyed_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a KeyedView> {
        self.keyed.iter().filter(move |view| view.topic == topic)
    }

    /// How files are imported into the topic of this name, or into a view of one.
    pub fn import_target(&self, name: &str) -> Option<(&Topic, ImportTarget)> {
        if let Some(topic) = self.topic(name) {
            if topic.changes.is_some() {
                return None;
            }
            return Some((topic, ImportTarget { topic: name.to_owned(), ..ImportTarget::default() }));
        }
        let target = self.views.iter().find(|view| view.name == name)?.import.clone()?;
        Some((self.topic(&target.topic)?, target))
    }

    /// The names of jobs, each once, in the order in which they are declared.
    pub fn jobs(&self) -> Vec<&str> {
        let mut jobs: Vec<&str> = Vec::new();
        for table in &self.job_tables {
            if !jobs.contains(&table.job.as_str()) {
                jobs.push(&table.job);
            }
        }
        jobs
    }

    /// The metrics that read a topic.
    pub fn metrics_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Metric> {
        self.metrics.iter().filter(move |metric| metric.topic == topic)
    }

    /// The views that are alerts.
    pub fn alerts(&self) -> impl Iterator<Item = (&View, &Alert)> {
        self.views.iter().filter_map(|view| Some((view, view.alert.as_ref()?)))
    }

    /// The views that are reports.
    pub fn reports(&self) -> impl Iterator<Item = (&View, &Report)> {
        self.views.iter().filter_map(|view| Some((view, view.report.as_ref()?)))
    }

    /// The views of which something follows once their rows are committed.
    pub fn reacting(&self) -> impl Iterator<Item = &View> {
        self.views.iter().filter(|view| view.alert.is_some() || view.report.is_some() || view.sink.is_some())
    }

    /// The metric of an earlier catalog, from its [`Metric::definition`]; none if this catalog's
    /// topics do not have what it reads.
    pub fn older_metric(&self, definition: &str, settings: &DomainSettings) -> Option<Metric> {
        let (topics, domains) = (self.topics.clone(), self.domains.clone());
        let mut catalog = Self { topics, domains, ..Self::default() };
        let file = SourceFile { path: "an earlier definition".to_owned(), text: definition.to_owned() };
        reader::read(&file, settings, &mut catalog).ok()?;
        let mut errors = Vec::new();
        catalog.check_references(&mut errors);
        catalog.metrics.pop().filter(|_| errors.is_empty())
    }

    /// Whether a name is in what could not be read.
    fn is_unread(&self, name: &str) -> bool {
        names::is_word_of(name, &self.unread)
    }

    /// What metrics, imports and profiles name as `domain.name` is from here on what the catalog
    /// calls it.
    fn resolve_references(&mut self) {
        let domains = &self.domains;
        let resolve = |written: &mut String, position: &Position| {
            if let Some(id) = domains.find_written(domains.of_file(&position.file), written) {
                *written = id.to_owned();
            }
        };
        for metric in &mut self.metrics {
            resolve(&mut metric.topic, &metric.position);
        }
        for view in &mut self.keyed {
            resolve(&mut view.topic, &view.position);
        }
        for log in &mut self.row_logs {
            resolve(&mut log.topic, &log.position);
        }
        for topic in &mut self.topics {
            for lookup in topic.columns.iter_mut().filter_map(|column| column.lookup.as_mut()) {
                resolve(&mut lookup.table, &lookup.position);
            }
        }
        for profile in &mut self.profiles {
            resolve(&mut profile.table, &profile.source);
        }
        for input in &mut self.inputs {
            resolve(&mut input.table, &input.source);
        }
        for view in &mut self.views {
            if let Some(target) = &mut view.import {
                resolve(&mut target.topic, &view.source);
            }
        }
    }

    /// Metrics read topics of the catalog, and what can be imported goes into one.
    fn check_references(&mut self, errors: &mut Vec<Diagnostic>) {
        self.resolve_references();
        self.check_sinks(errors);
        self.check_lookups(errors);
        self.add_tables_of_changes(errors);
        let metrics = self.metrics.iter().map(|metric| ("metric", &metric.name, &metric.topic, &metric.topic_position));
        let keyed = self.keyed.iter().map(|view| ("table", &view.name, &view.topic, &view.topic_position));
        let logs = self.row_logs.iter().map(|log| ("log", &log.name, &log.topic, &log.topic_position));
        for (kind, name, topic, position) in metrics.chain(keyed).chain(logs) {
            if self.topic(topic).is_none() && !self.is_unread(domains::plain(topic)) {
                let known: Vec<_> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
                errors.push(position.error(
                    format!("{kind} {name} reads {topic}, which is not a topic"),
                    format!("read one of the topics: {}", known.join(", ")),
                ));
            }
        }
        for metric in &self.metrics {
            if self.topic(&metric.topic).is_some_and(|topic| topic.is_never_late() && topic.changes.is_none()) {
                errors.push(metric.topic_position.error(
                    format!("metric {}: its windows never close, as no row of {} is late", metric.name, metric.topic),
                    "give the topic a lateness such as '1 hour', or write a table with one row for each key: without janela".into(),
                ));
            }
        }
        self.check_row_logs(errors);
        self.check_entrances(errors);
        for profile in &self.profiles {
            if self.import_target(&profile.table).is_none() && !self.is_unread(domains::plain(&profile.table)) {
                errors.push(profile.source.error(
                    format!("profile_for = '{}': files cannot be imported into that", profile.table),
                    "name a topic, or a view with the option import".into(),
                ));
            }
        }
        for view in &self.views {
            let Some(target) = &view.import else { continue };
            let Some(topic) = self.topic(&target.topic) else {
                if self.is_unread(domains::plain(&target.topic)) {
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

#[cfg(test)]
mod tests;
