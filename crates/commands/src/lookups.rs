//! The tables that columns are looked up in: opened as the catalog declares them, by the
//! configuration's connections.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use vitral_catalog::reference::Place;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics, Position, Reference};
use vitral_config::Config;
use vitral_connect::{
    Connection, ConnectionError, Connections, Lookup, LookupExt, Lookups, RetryPolicy, TableLookup, WholeTables,
};
use vitral_connect_file::FileLookup;
use vitral_connect_http::HttpLookup;
use vitral_connect_postgres::PostgresLookup;
use vitral_schemas::lookup::{LookupOrigin, LookupTable};

/// Waits between attempts: what a busy system needs, and little of what a batch may take.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// Errors of one file that are shown: more are of one kind.
const ERRORS_OF_A_FILE: usize = 20;

/// Opens the tables that the catalog's topics look columns up in. Files are read, and what is wrong
/// with one is said in the log; other systems are reached when they are first asked.
pub fn open(config: &Config, catalog: &Catalog, reference_dir: &Path) -> anyhow::Result<Lookups> {
    let connections = config.connections()?;
    let mut errors = Vec::new();
    let mut tables = Vec::new();
    for table in catalog.lookup_tables() {
        let table = needed(catalog, table);
        if let LookupOrigin::File { .. } = table.origin {
            let lookup = open_file(catalog, &table, reference_dir)?;
            tables.push((table.name, lookup));
            continue;
        }
        match reach(config, &connections, &table) {
            Ok(lookup) => {
                let lookup = decorated(&table, lookup).context("a look-up table")?;
                tables.push((table.name, lookup));
            }
            Err(error) => errors.extend(error),
        }
    }
    if errors.is_empty() { Ok(Lookups::new(tables)) } else { Err(Diagnostics(errors)).context("the catalog is broken") }
}

/// The tables of other systems that jobs and queries read as a whole. Nothing is reached before one
/// is read, and what is wrong with a connection is said then.
pub fn whole(config: &Config, catalog: &Catalog) -> anyhow::Result<WholeTables> {
    let connections = config.connections()?;
    let tables = catalog.references.iter().filter_map(|reference| reference.lookup.as_ref());
    let open = |table: &LookupTable| {
        let lookup = reach(config, &connections, table);
        let why = |error: Option<Diagnostic>| error.map_or_else(String::new, |error| error.to_string());
        (table.name.clone(), lookup.map_err(why))
    };
    Ok(WholeTables::new(tables.filter(|table| table.file().is_none() && table.is_read_whole()).map(open)))
}

/// Connections that look-up tables name and that are not there, or cannot be used for that.
pub fn errors(config: &Config, catalog: &Catalog) -> anyhow::Result<Vec<Diagnostic>> {
    let connections = config.connections()?;
    let tables = catalog.references.iter().filter_map(|reference| reference.lookup.as_ref());
    Ok(tables.filter_map(|table| reach(config, &connections, table).err()?).collect())
}

/// What is wrong with the files that columns are looked up in.
pub fn file_errors(catalog: &Catalog, folder: &Path) -> anyhow::Result<Vec<Diagnostic>> {
    let mut errors = Vec::new();
    for table in catalog.lookup_tables().filter(|table| table.file().is_some()) {
        let table = needed(catalog, table);
        let problems = FileLookup::problems(folder, &declared(catalog, &table)?)?;
        let more = problems.len().saturating_sub(ERRORS_OF_A_FILE);
        for (index, problem) in problems.into_iter().take(ERRORS_OF_A_FILE).enumerate() {
            let mut at = Position::file(problem.path.display().to_string());
            let mut why = format!("look-up table {}: {}", table.name, problem.why);
            match problem.place {
                Some(Place::Line(line)) => at = at.at_line(line, 1),
                Some(place @ Place::Row(_)) => why = format!("look-up table {}: {place}: {}", table.name, problem.why),
                None => {}
            }
            if index + 1 == ERRORS_OF_A_FILE && more > 0 {
                why = format!("{why}; {more} more rows cannot be used either");
            }
            errors.push(at.error(why, "correct the file; it is read again while a stream runs".into()));
        }
    }
    Ok(errors)
}

/// The error is none for a file, which is not reached by a connection.
fn reach(
    config: &Config,
    connections: &Connections,
    table: &LookupTable,
) -> Result<Box<dyn Lookup>, Option<Diagnostic>> {
    let Some(named) = table.connection() else { return Err(None) };
    if matches!(table.origin, LookupOrigin::MongoDb { .. }) && !vitral_connect_mongodb::IS_BUILT_IN {
        return Err(Some(without_driver(&named.position, &format!("{} is looked up in MongoDB", table.name))));
    }
    let schemes: &[&str] = match table.origin {
        LookupOrigin::File { .. } => &[],
        LookupOrigin::Postgres { .. } => &["postgresql", "postgres"],
        LookupOrigin::MongoDb { .. } => &["mongodb"],
        LookupOrigin::Http { .. } => &["https", "http"],
    };
    let outcome = connections.get(&named.name, schemes).and_then(|connection| match &table.origin {
        LookupOrigin::File { .. } => Err(wrong_kind(connection)),
        LookupOrigin::Postgres { table: name, .. } => {
            PostgresLookup::new(table, name, connection).map(|lookup| Box::new(lookup) as Box<dyn Lookup>)
        }
        LookupOrigin::MongoDb { collection, key_field, .. } => {
            vitral_connect_mongodb::lookup(table, collection, key_field, connection)
        }
        LookupOrigin::Http { path, .. } => HttpLookup::new(table, path, connection, &config.http.allowed_hosts)
            .map(|lookup| Box::new(lookup) as Box<dyn Lookup>),
    });
    outcome.map_err(|error| Some(named.position.error(error.to_string(), error.remedy())))
}

/// What is said where a catalog needs MongoDB and the program does not have it.
pub(crate) fn without_driver(named_at: &Position, what: &str) -> Diagnostic {
    named_at.error(
        format!("{what}, and this program was built without the feature mongodb"),
        "use one that has it: a release archive, an image, or cargo build --features mongodb".into(),
    )
}

fn wrong_kind(connection: &Connection) -> ConnectionError {
    connection.error("url", "does not name a file: leave the connection out")
}

fn open_file(catalog: &Catalog, table: &LookupTable, folder: &Path) -> anyhow::Result<TableLookup> {
    let lookup = FileLookup::open(folder, &declared(catalog, table)?)?;
    Ok(TableLookup::direct(&table.name, Box::new(lookup), &table.key)?)
}

/// The table's declaration, with its own columns.
fn declared(catalog: &Catalog, table: &LookupTable) -> anyhow::Result<Reference> {
    let declared = catalog.references.iter().find(|reference| reference.name == table.name);
    let declared = declared.with_context(|| format!("look-up table {} is not declared", table.name))?;
    Ok(Reference { columns: table.columns.clone(), ..declared.clone() })
}

/// With bounds for what it may take, and for what it is asked while it is away.
fn decorated(table: &LookupTable, lookup: Box<dyn Lookup>) -> Result<TableLookup, vitral_connect::ConnectError> {
    let milliseconds = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    let policy = RetryPolicy::times(table.retries, RETRY_FIRST, RETRY_LONGEST);
    let bounded = lookup.timed_out(milliseconds(table.timeout_ms)).retrying(policy).with_breaker();
    TableLookup::cached(&table.name, Box::new(bounded), &table.key, milliseconds(table.cache_ms), table.on_failure)
}

/// The table with its key and the columns that some topic wants: others need not be sent.
fn needed(catalog: &Catalog, table: &LookupTable) -> LookupTable {
    let is_wanted = |name: &str| {
        let columns = catalog.topics.iter().flat_map(|topic| &topic.columns);
        let mut lookups = columns.filter_map(|column| column.lookup.as_ref());
        lookups.any(|lookup| lookup.table == table.name && lookup.column == name)
    };
    let mut table = table.clone();
    let key = table.key.clone();
    table.columns.retain(|column| column.name == key || is_wanted(&column.name));
    table
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};

    use super::*;

    #[test]
    fn connections_that_are_missing_or_of_another_kind_have_their_remedies() {
        let text =
            "CREATE TABLE perfis (id TEXT NOT NULL) WITH (connector = 'postgres', connection = 'crm', key = 'id');
CREATE TABLE taxas (id TEXT NOT NULL) WITH (connector = 'http', connection = 'kafka', path = '/x/{key}', key = 'id');";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let found = errors(&Config::default(), &catalog).expect("connections");
        let [missing, other] = &found[..] else { panic!("{found:?}") };
        assert!(
            missing.message.ends_with("declare [connections.crm] with its url"),
            "no other is a database: {missing}"
        );
        assert!(missing.remedy.starts_with("declare [connections.crm]"), "{missing}");
        assert!(other.message.starts_with("connections.kafka.url must begin with https://"), "{other}");
        assert!(other.remedy.starts_with("correct [connections.kafka]"), "{other}");
    }

    /// `crates/connect-mongodb` has its own tests with the driver.
    #[cfg(not(feature = "mongodb"))]
    #[test]
    fn a_collection_without_the_driver_is_refused_by_the_name_of_the_feature() {
        let text =
            "CREATE TABLE perfis (id TEXT NOT NULL) WITH (connector = 'mongodb', connection = 'people', key = 'id');
CREATE TABLE e (t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE TABLE registros WITH (connector = 'mongodb', connection = 'people') AS SELECT t FROM e;
CREATE VIEW copia WITH (connector = 'mongodb', connection = 'people', key = 't') AS SELECT t FROM e;";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let found = errors(&Config::default(), &catalog).expect("connections");
        let text = Diagnostics(found).to_string();
        assert!(text.contains("a.sql:1:") && text.contains("perfis is looked up in MongoDB"), "{text}");
        assert!(text.contains("built without the feature mongodb") && text.contains("remedy: "), "{text}");
        let found = crate::row_logs::errors(&Config::default(), &catalog).expect("connections");
        let text = Diagnostics(found).to_string();
        assert!(text.contains("a.sql:3:") && text.contains("registros is written into MongoDB"), "{text}");
        let mut config = Config::default();
        config.connections.insert("people".to_owned(), Connection::to("mongodb://a/b"));
        let found = crate::sinks::errors(&config, &catalog).expect("connections");
        let text = Diagnostics(found).to_string();
        assert!(text.contains("a.sql:4:") && text.contains("copia is copied into MongoDB"), "{text}");
        assert!(text.contains("remedy: use one that has it"), "{text}");
    }
}
