//! `vitral check [DIR]`: parse and plan a catalog, and warn of what can fail on data.

mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use vitral_batch::import::wording::counted;
use vitral_batch::planning;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_query::{in_order, served_errors};
use vitral_store::Location;

use self::trial::Span;
use crate::args::{BadArguments, Common};
use crate::{archives, circles, lookups, notifiers, row_logs, sinks};

/// Which catalog, and what to try it on.
#[derive(Debug, Args)]
pub struct Flags {
    /// A further folder of SQL files, besides catalog.dirs.
    dir: Option<PathBuf>,
    /// Also try it on the last events of the data directory or bucket (1d, 6h, 30m): the first rows
    /// of each metric and endpoint, and the CPU time of each event.
    #[arg(long = "try", value_name = "TIME")]
    try_on: Option<Span>,
}

/// Refuses flags, each with the topic that it names, for topics that are not there: they would be
/// passed over in silence.
pub fn named_topics<'a>(
    catalog: &Catalog,
    named: impl Iterator<Item = (&'a String, &'static str)>,
) -> Result<(), BadArguments> {
    for (name, flag) in named {
        if !catalog.topics.iter().any(|topic| topic.name == *name || topic.kafka_topic == *name) {
            let known: Vec<_> = catalog.topics.iter().map(|topic| topic.name.as_str()).collect();
            return Err(BadArguments(format!(
                "{flag} {name}: the catalog has no such topic: name one of {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// Plans a catalog and says everything that is wrong with it.
pub fn run(mut config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    // One that the configuration has is checked as it is in use, and once.
    let is_new = |dir: &PathBuf| !config.catalog.dirs.iter().any(|known| is_same(known, dir));
    let further = flags.dir.filter(is_new);
    config.catalog.dirs.extend(further);
    // What can be read is planned, whatever else is wrong: one run names every error of every file.
    let (settings, mut errors) = config.settings_part()?;
    let (catalog, found) = Catalog::load_part(&config.catalog.dirs, &settings);
    errors.extend(found);
    let catalog = Arc::new(catalog);
    errors.extend(served_errors(&catalog, &settings)?);
    errors.extend(lookups::errors(&config, &catalog)?);
    errors.extend(lookups::file_errors(&catalog, &common.data_dir.join(REFERENCE_DIR))?);
    errors.extend(notifiers::errors(&config, &catalog)?);
    errors.extend(sinks::errors(&config, &catalog)?);
    errors.extend(row_logs::errors(&config, &catalog)?);
    errors.extend(circles::errors(&config, &catalog)?);
    let runtime = vitral_process::runtimes::of_command()?;
    errors.extend(runtime.block_on(planning::errors(&catalog, &settings))?);
    // A bucket is not asked: a check needs no network.
    let archived = match config.store.url {
        None => runtime.block_on(archives::compare(&catalog, &config.location(&common.data_dir)?))?,
        Some(_) => archives::Found::default(),
    };
    errors.extend(archived.errors);
    // Said before the errors: what is wrong with a shipped file is often that another took the
    // place of what it reads.
    for replaced in catalog.replaced() {
        vitral_process::output::answer(&replaced.to_string());
    }
    broken(errors)?;
    let of_files = catalog.warnings().into_iter().map(|warning| warning.to_string());
    let unused = config.unused_connections(&catalog).into_iter().map(|words| format!("configuration: {words}"));
    let warnings: Vec<String> = of_files.chain(archived.warnings).chain(unused).collect();
    for warning in &warnings {
        vitral_process::output::answer(&format!("warning: {warning}"));
    }
    let text = format!("{}: all parse and plan", declared(&catalog));
    let text = match warnings.len() {
        0 => text,
        count => format!("{text}; {}", counted(count as u64, "warning")),
    };
    vitral_process::output::answer(&text);
    match flags.try_on {
        Some(span) => runtime.block_on(trial::run(&catalog, &settings, (&config, common), span)),
        None => Ok(()),
    }
}

/// How much a catalog declares of each kind.
fn declared(catalog: &Catalog) -> String {
    let counts = [
        (catalog.topics.len(), "topic"),
        (catalog.metrics.len(), "metric"),
        (catalog.keyed.len(), "kept table"),
        (catalog.row_logs.len(), "row log"),
        (catalog.views.len(), "view"),
        (catalog.alerts().count(), "alert"),
        (catalog.reports().count(), "report"),
        (catalog.sinks().count(), "copied view"),
        (catalog.endpoints.len(), "endpoint"),
        (catalog.references.len(), "reference table"),
        (catalog.job_tables.len(), "job table"),
        (catalog.checks.len(), "check"),
        (catalog.profiles.len(), "profile"),
    ];
    counts.map(|(count, what)| counted(count as u64, what)).join(", ")
}

/// Whether two paths are of the same folder, however they are written.
fn is_same(one: &Path, other: &Path) -> bool {
    let at = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    at(one) == at(other)
}

/// Warns of connections that nothing uses.
pub fn warn_of_unused(catalog: &Catalog, config: &Config) {
    for words in config.unused_connections(catalog) {
        tracing::warn!("configuration: {words}");
    }
}

/// Plans everything that a stream and its API serve.
pub fn plan(catalog: &Arc<Catalog>, config: &Config) -> anyhow::Result<()> {
    let mut errors = served_errors(catalog, &config.settings()?)?;
    errors.extend(lookups::errors(config, catalog)?);
    errors.extend(notifiers::errors(config, catalog)?);
    errors.extend(sinks::errors(config, catalog)?);
    errors.extend(row_logs::errors(config, catalog)?);
    errors.extend(circles::errors(config, catalog)?);
    if !errors.is_empty() {
        for replaced in catalog.replaced() {
            tracing::warn!("{replaced}");
        }
    }
    broken(errors)
}

/// Whether a stream has topics, and can go on with what is archived of them; warns of columns that
/// were dropped. What cannot be read now is said where it is opened.
pub async fn topics(catalog: &Catalog, store: &Location) -> anyhow::Result<()> {
    ensure!(
        !catalog.topics.is_empty(),
        "the catalog has no topic: name a domain in catalog.domains, or a folder that declares one in catalog.dirs"
    );
    let found = match archives::compare(catalog, store).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the archives cannot be compared with the catalog");
            return Ok(());
        }
    };
    for words in &found.warnings {
        tracing::warn!("{words}");
    }
    broken(found.errors)
}

fn broken(errors: Vec<Diagnostic>) -> anyhow::Result<()> {
    let errors = in_order(errors);
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)).context("the catalog is broken") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted() {
        let said = declared(&Catalog::default());
        assert!(
            said.starts_with("0 topics, 0 metrics, ") && said.contains("0 alerts, 0 reports, 0 copied views"),
            "{said}"
        );
    }

    #[test]
    fn a_folder_is_the_same_however_it_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("a")).expect("made");
        for other in ["a/", "./a", "a/../a"] {
            assert!(is_same(&dir.path().join("a"), &dir.path().join(other)), "{other}");
        }
        assert!(!is_same(&dir.path().join("a"), dir.path()));
    }
}
