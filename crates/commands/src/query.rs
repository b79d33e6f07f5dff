//! `vitral query "SELECT ..."`: any table of a data directory or bucket, without a server.

mod output;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arrow::array::RecordBatch;
use chrono::Utc;
use clap::{Args, ValueEnum};
use vitral_catalog::{Catalog, Diagnostics, Needs, ReadStatement};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::{ConnectError, WholeTables, table_schema};
use vitral_process::output::note;
use vitral_query::{Limits, QueryError, Reader, References, Store, notes_on_windows};
use vitral_schemas::lookup::NamedConnection;

use crate::args::{BadArguments, Common};
use crate::{lookups, warehouse};

/// Nothing waits behind it, and the user can stop it.
pub(crate) const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The statement, and how its rows are written.
#[derive(Debug, Args)]
pub struct Flags {
    /// One SELECT over topics, metrics, views, reference tables, livro and the engine's other
    /// tables, and armazem.NAME for tables of jobs. information_schema.tables lists them.
    sql: String,
    /// How rows are written; otherwise as the extension of --output says, or as a table.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading; the first 10,000 rows.
    Table,
    Csv,
    Json,
    Parquet,
}

impl Flags {
    fn format(&self) -> Format {
        let ending = self.output.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
        let by_name = || ending.and_then(|ending| Format::from_str(ending, true).ok());
        self.format.or_else(by_name).unwrap_or(Format::Table)
    }
}

/// Runs one statement over what is stored.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let settings = config.settings()?;
    let wrong = |errors| BadArguments(Diagnostics(errors).to_string());
    let statement = ReadStatement::parse(&flags.sql, &settings).map_err(wrong)?;
    output::check(flags)?;
    let catalog = Arc::new(config.catalog()?);
    let limits = Limits { timeout: NO_TIMEOUT, ..config.query.limits() };
    let references = References::new(common.data_dir.join(REFERENCE_DIR));
    let reader = Reader::stored(Arc::clone(&catalog), references, limits).map_err(failed)?;
    let needs = reader.needs(&statement.query, &statement.position).map_err(failed)?;
    let location = config.location(&common.data_dir)?;
    let warehouse = warehouse::reader(config, &catalog, &location)?;
    let store = Store::new(Arc::clone(&catalog), settings.clone(), location);
    let whole = lookups::whole(config, &catalog)?;
    let runtime = vitral_process::runtimes::of_command()?;
    runtime.block_on(async {
        let point = store.read_point(&needs, Utc::now().timestamp_millis()).await.map_err(failed)?;
        let point = point.with_looked_up(looked_up(&catalog, &whole, &needs).await?).map_err(failed)?;
        let point = warehouse.added_to(point, &needs, reader.names()).await.map_err(failed)?;
        let planned = reader.plan_statement(&point, &statement.query, &needs, &statement.position).await;
        let planned = planned.map_err(failed)?;
        let rows = planned.run(&statement.position).await.map_err(failed)?;
        output::write(rows, flags).await?;
        if let Some(sentence) = &planned.note {
            note(sentence);
        }
        // Whatever the rows are written as, this is not among them.
        for sentence in notes_on_windows(&catalog, &settings, &point, &needs) {
            note(&sentence);
        }
        Ok(())
    })
}

/// The tables of other systems that a statement reads, as they stand now; those that are only
/// listed are there with their columns, whether their systems answer or not.
async fn looked_up(
    catalog: &Catalog,
    whole: &WholeTables,
    needs: &Needs,
) -> anyhow::Result<Vec<(String, RecordBatch)>> {
    let mut tables = Vec::new();
    for table in catalog.references.iter().filter_map(|reference| reference.lookup.as_ref()) {
        let Some(named) = table.connection().filter(|_| needs.table(&table.name)) else { continue };
        let rows = if needs.rows(&table.name) {
            whole.rows(&table.name).await.map_err(|error| unread(&table.name, named, error))?
        } else {
            RecordBatch::new_empty(table_schema(table))
        };
        tables.push((table.name.clone(), rows));
    }
    Ok(tables)
}

fn unread(table: &str, named: &NamedConnection, error: ConnectError) -> anyhow::Error {
    let NamedConnection { name, position } = named;
    let remedy = if error.is_outage() {
        format!("start the database, or correct [connections.{name}] in the configuration")
    } else {
        "correct what is named below".to_owned()
    };
    let words = format!("look-up table {table} cannot be read over connection {name}");
    anyhow!(error).context(position.error(words, remedy))
}

/// What is wrong with the statement is wrong with the arguments.
fn failed(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Statement(errors) => BadArguments(errors.to_string()).into(),
        error if error.is_memory() => anyhow!(error)
            .context("the query needs more memory than query.memory_bytes: raise it, or read fewer rows or columns"),
        other => other.into(),
    }
}

/// For errors while rows are written.
fn broken<T>(result: Result<T, impl Into<QueryError>>) -> anyhow::Result<T> {
    result.map_err(|error| failed(error.into())).context("the query ended before its last row")
}
