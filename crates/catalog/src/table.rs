//! `CREATE TABLE`: Kafka topics, reference tables and tables of the warehouse.

mod columns;
mod rules;

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{ColumnDef, CreateTable, CreateTableOptions, Spanned};

use self::columns::columns;
use super::names::is_word_of;
use super::naming::{self, Naming};
use super::options::{Options, Read, push_read};
use super::syntax::{TOPIC_BYTES_MAX, duration_like, duration_ms, simple_name};
use super::{Catalog, Diagnostic, JobTable, Position, RowLog};
use super::{changes, lookup};
use crate::position::InFile;
use vitral_schemas::lookup::LookupTable;
use vitral_schemas::topic::{Column, ColumnKind, DEAD_LETTERS, LATENESS_NEVER_MS, Topic};

/// Systems that rows are found in by key.
const LOOKUP_CONNECTORS: [&str; 3] = ["postgres", "mongodb", "http"];

/// A table that others keep: a file below the data directory's `reference` folder, or rows that are
/// found by key.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// As the catalog calls it: `domain.name` if another domain has the plain name.
    pub name: String,
    /// Relative to the reference folder; none for a table of another system, whose rows are found
    /// only by key.
    pub path: Option<String>,
    /// Its columns, in the order of their declaration.
    pub columns: Vec<Column>,
    /// How rows are found in it, if they are.
    pub lookup: Option<LookupTable>,
    /// If its rows give names to ids.
    pub naming: Option<Naming>,
    /// Where it is declared.
    pub position: Position,
}

/// Where a table and its columns are declared.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) table: Position,
    columns: BTreeMap<String, Position>,
}

impl Catalog {
    /// Where a column of a topic is declared; the place of the topic for one that is not.
    pub fn position_of_column(&self, topic: &Topic, column: &str) -> Position {
        let places = self.topic_positions.get(&topic.name);
        places.and_then(|places| places.columns.get(column)).cloned().unwrap_or_else(|| self.position_of(topic))
    }
}

/// What a `CREATE TABLE` begins with, whatever its connector.
struct Declared {
    name: String,
    columns: Vec<Column>,
    /// What is wrong with columns and constraints.
    errors: Vec<Diagnostic>,
    /// Columns that could not be read: options that name them are not wrong for that.
    unread: Vec<String>,
    position: Position,
    column_positions: BTreeMap<String, Position>,
}

impl Declared {
    /// Adds the table if its columns could be read too; errors if anything is wrong with it.
    fn push<T>(
        self,
        items: &mut Vec<T>,
        (item, found): Read<T>,
        name: impl Fn(&T) -> &String,
    ) -> Result<(), Vec<Diagnostic>> {
        let is_unread = |error: &Diagnostic| self.unread.iter().any(|column| is_word_of(column, &error.message));
        let item = item.filter(|_| self.errors.is_empty());
        let mut errors = self.errors;
        errors.extend(found.into_iter().filter(|error| !is_unread(error)));
        push_read(items, (item, errors), name, &self.position)
    }

    /// A table of another system, in which rows are found by key.
    fn looked_up(&self, lookup: LookupTable) -> Reference {
        let (name, columns, position) = (self.name.clone(), self.columns.clone(), self.position.clone());
        Reference { name, path: None, columns, lookup: Some(lookup), naming: None, position }
    }

    /// Nothing can be said of its other options.
    fn refuse(self, mut options: Options, error: Diagnostic) -> Result<(), Vec<Diagnostic>> {
        let error = options.stop(error);
        let (_, found) = options.finish::<()>(Err(error));
        self.push(&mut Vec::<String>::new(), (None, found), |name| name)
    }
}

pub(super) fn add(create: CreateTable, position: &Position, catalog: &mut Catalog) -> Result<(), Vec<Diagnostic>> {
    let position = position.at(create.name.span());
    let name = simple_name(&create.name, &position).map_err(|error| vec![error])?;
    let CreateTableOptions::With(options) = &create.table_options else {
        return Err(vec![position.error(
            format!("table {name} does not say where its rows come from"),
            "add WITH (connector = 'kafka', topic = '...', event_time = '...') or WITH (connector = 'file', path = '...')".into(),
        )]);
    };
    let mut options = Options::read(options, &position);
    let connector = options.take_text("connector");
    let is_topic = matches!(&connector, Ok(Some((connector, _))) if connector == "kafka");
    let (columns, mut errors) = columns(&create.columns, &position);
    let is_read = |definition: &&ColumnDef| columns.iter().any(|column| column.name == definition.name.value);
    let unread = create.columns.iter().filter(|definition| !is_read(definition));
    let unread: Vec<String> = unread.map(|definition| definition.name.value.clone()).collect();
    errors.extend(rules::unenforced(&create, is_topic, &name, &position));
    let place = |definition: &ColumnDef| (definition.name.value.clone(), position.at(definition.name.span));
    let column_positions = create.columns.iter().map(place).collect();
    let table = Declared { name, columns, errors, unread, position, column_positions };
    match connector {
        Ok(Some((connector, _))) if connector == "kafka" => add_topic(table, options, catalog),
        Ok(Some((connector, _))) if connector == "file" => add_file(table, options, catalog),
        Ok(Some((connector, _))) if connector == "mongodb" && create.query.is_some() => {
            let Some(query) = create.query else { return Ok(()) };
            let log = RowLog::read(table.name.clone(), *query, options, &table.position);
            table.push(&mut catalog.row_logs, log, |log| &log.name)
        }
        Ok(Some((connector, _))) if LOOKUP_CONNECTORS.contains(&connector.as_str()) => {
            let lookup = lookup::table(&table.name, &connector, &table.columns, &mut options, &table.position);
            let (read, errors) = options.finish(Ok(lookup.map(|lookup| table.looked_up(lookup))));
            table.push(&mut catalog.references, (read.flatten(), errors), |table| &table.name)
        }
        Ok(Some((connector, at))) if connector == "warehouse" => match create.query {
            Some(query) => {
                let job = JobTable::read(table.name.clone(), query, options, &table.position);
                table.push(&mut catalog.job_tables, job, |table| &table.table)
            }
            None => {
                let error = at.error(format!("table {} has no query", table.name), "add AS SELECT ...".into());
                table.refuse(options, error)
            }
        },
        Ok(Some((connector, at))) => table.refuse(
            options,
            at.error(
                format!("connector {connector} is not known"),
                "use 'kafka', 'file', 'postgres', 'mongodb', 'http' or 'warehouse'".into(),
            ),
        ),
        Ok(None) => {
            let error = table.position.error(
                format!("table {} has no connector", table.name),
                "add connector = 'kafka' or connector = 'file' to its WITH".into(),
            );
            table.refuse(options, error)
        }
        Err(error) => table.refuse(options, error),
    }
}

fn add_topic(mut table: Declared, mut options: Options, catalog: &mut Catalog) -> Result<(), Vec<Diagnostic>> {
    let columns = std::mem::take(&mut table.columns);
    let topic = topic(table.name.clone(), columns, &mut options, &table.position);
    if let Ok(topic) = &topic {
        catalog.add_by_message(topic, &mut options);
    }
    let (topic, errors) = options.finish(topic);
    // Without its key nothing can be made of rows that change.
    let topic = topic.filter(|topic| topic.changes.as_ref().is_none_or(|changes| !changes.key.is_empty()));
    if let Some(topic) = &topic {
        let places = Places { table: table.position.clone(), columns: table.column_positions.clone() };
        catalog.topic_positions.insert(topic.name.clone(), places);
    }
    table.push(&mut catalog.topics, (topic, errors), |topic| &topic.name)
}

fn add_file(table: Declared, mut options: Options, catalog: &mut Catalog) -> Result<(), Vec<Diagnostic>> {
    let Declared { name, columns, position, .. } = &table;
    let read = if options.contains("key") {
        let lookup = lookup::table(name, "file", columns, &mut options, position);
        lookup.map(|lookup| (lookup.file().map(str::to_owned), Some(lookup)))
    } else {
        if let Some(lookup) = columns.iter().find_map(|column| column.lookup.as_ref()) {
            options.refuse(lookup.position.error(
                format!("table {name} is a file, whose columns are not looked up"),
                "look columns up in a topic's table".into(),
            ));
        }
        options.know(&["key"]);
        let path = options.gather(|options| lookup::file_path(name, options).map(Some));
        path.map(|path| (Some(path), None))
    };
    let naming = options.gather(|options| naming::take(columns, options));
    let (name, columns, position) = (name.clone(), columns.clone(), position.clone());
    let reference = |(path, lookup)| Reference { name, path, columns, lookup, naming, position };
    let (read, errors) = options.finish(Ok(read.map(reference)));
    table.push(&mut catalog.references, (read.flatten(), errors), |table| &table.name)
}

fn topic(
    name: String,
    mut columns: Vec<Column>,
    options: &mut Options,
    position: &Position,
) -> Result<Topic, Diagnostic> {
    let kafka_topic = options.take_topic(&name, position, TOPIC_BYTES_MAX - DEAD_LETTERS.len());
    let mut duration = |key: &str, default_ms: i64| {
        options.gather_or(default_ms, |options| match options.take_text(key)? {
            None => Ok(default_ms),
            Some((text, at)) => duration_ms(&text)
                .ok_or_else(|| at.error(format!("{key} = '{text}' is not a duration"), duration_like("10 seconds"))),
        })
    };
    let watermark_ms = duration("watermark", 10_000);
    let (ahead_ms, idle_ms) = (duration("ahead", 3_600_000), duration("idle", 30_000));
    let message_bytes_max = options.gather(|options| options.take_count("message_bytes_max")).unwrap_or(1 << 20);
    let keep_raw = options.gather(|options| match options.take_text("raw")? {
        None => Ok(false),
        Some((text, _)) if text == "keep" => Ok(true),
        Some((text, _)) if text == "refused" => Ok(false),
        Some((text, at)) => Err(at.error(format!("raw = '{text}' is not known"), "use 'keep' or 'refused'".into())),
    });
    // What the other options may be depends on whether its messages change rows.
    let changes = changes::read(&name, &mut columns, options, position);
    let changes = changes.map_err(|error| options.stop(error))?;
    let event_time = match changes.as_ref().and_then(|changes| changes.debezium) {
        Some(debezium) => Ok(debezium.instant),
        None => event_time(&name, &columns, options, position),
    };
    let (event_id, lateness_ms) = match changes {
        Some(_) => (None, LATENESS_NEVER_MS),
        None => {
            let event_id = options.gather(|options| event_id(&name, &columns, options));
            let lateness_ms = options.gather(|options| lateness(options, event_id.is_some()));
            (event_id, lateness_ms)
        }
    };
    let event_time = event_time?;
    Ok(Topic {
        name,
        kafka_topic,
        columns,
        event_time,
        event_id,
        watermark_ms,
        lateness_ms,
        ahead_ms,
        idle_ms,
        message_bytes_max,
        keep_raw,
        changes,
    })
}

/// The index of the column that holds the event time.
fn event_time(name: &str, columns: &[Column], options: &mut Options, position: &Position) -> Result<usize, Diagnostic> {
    let (event_time, at) = options.take_text("event_time")?.ok_or_else(|| {
        position.error(
            format!("topic {name} has no event time"),
            "add event_time = '...' with the name of its TIMESTAMP NOT NULL column".into(),
        )
    })?;
    not_looked_up(columns, &event_time, "event_time", &at)?;
    let is_time = |column: &Column| column.name == event_time && column.kind == ColumnKind::Timestamp && column.needed;
    columns.iter().position(is_time).ok_or_else(|| {
        at.error(
            format!("event_time = '{event_time}' is not a TIMESTAMP NOT NULL column of {name}"),
            "name a column of that type".into(),
        )
    })
}

/// The index of the column that identifies an event, if there is one.
fn event_id(name: &str, columns: &[Column], options: &mut Options) -> Result<Option<usize>, Diagnostic> {
    let Some((id, at)) = options.take_text("event_id")? else { return Ok(None) };
    not_looked_up(columns, &id, "event_id", &at)?;
    let is_id = |column: &Column| column.name == id && column.kind.data_type() == arrow::datatypes::DataType::Utf8;
    columns.iter().position(is_id).map(Some).ok_or_else(|| {
        at.error(format!("event_id = '{id}' is not a TEXT column of {name}"), "name a column of that type".into())
    })
}

/// How late a row may be. Without a bound every id would have to be kept forever.
fn lateness(options: &mut Options, has_event_id: bool) -> Result<i64, Diagnostic> {
    match options.take_text("lateness")? {
        None => Ok(3_600_000),
        Some((text, at)) if text.eq_ignore_ascii_case("never") && has_event_id => Err(at.error(
            "a topic with event_id cannot have lateness = 'never'",
            "leave event_id out, as the newest row of a key wins even if messages come twice, or give a lateness such as '1 hour'"
                .into(),
        )),
        Some((text, _)) if text.eq_ignore_ascii_case("never") => Ok(LATENESS_NEVER_MS),
        Some((text, at)) => duration_ms(&text).ok_or_else(|| {
            at.error(
                format!("lateness = '{text}' is not a duration"),
                duration_like("1 hour") + ", or 'never' if no row is ever too late",
            )
        }),
    }
}

/// What decides about a row is known before anything is looked up.
fn not_looked_up(columns: &[Column], name: &str, option: &str, at: &Position) -> Result<(), Diagnostic> {
    if columns.iter().any(|column| column.name == name && column.lookup.is_some()) {
        return Err(at.error(
            format!("{option} = '{name}' is a column that is looked up only once the row counts"),
            "name a column of the message".into(),
        ));
    }
    Ok(())
}
