//! `vitral check [DIR]`: parse and plan a catalog, and warn of what can fail on data.

mod trial;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use vitral_batch::planning;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics};
use vitral_query::{in_order, served_errors};

use self::trial::Span;
use crate::args::Common;
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Flags {
    /// A further folder of SQL files, besides catalog.dirs.
    dir: Option<PathBuf>,
    /// Also try it on the last events of the data directory or bucket (1d, 6h, 30m): the first rows of each metric and endpoint, and the
    /// CPU time of each event.
    #[arg(long = "try", value_name = "TIME")]
    try_on: Option<Span>,
}

pub fn run(mut config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    config.catalog.dirs.extend(flags.dir);
    let settings = config.settings()?;
    // What can be read is planned, whatever else is wrong: one run names every error of every file.
    let (catalog, mut errors) = Catalog::load_part(&config.catalog.dirs, &settings);
    let catalog = Arc::new(catalog);
    errors.extend(served_errors(&catalog, &settings)?);
    let runtime = tokio::runtime::Runtime::new()?;
    errors.extend(runtime.block_on(planning::errors(&catalog, settings.time_zone))?);
    broken(errors)?;
    let warnings = catalog.warnings();
    for warning in &warnings {
        crate::output::answer(&format!("warning: {warning}"));
    }
    let text = format!(
        "{} topics, {} metrics, {} views, {} endpoints, {} reference tables, {} tables of jobs, {} checks, {} profiles: all parse and plan",
        catalog.topics.len(),
        catalog.metrics.len(),
        catalog.views.len(),
        catalog.endpoints.len(),
        catalog.references.len(),
        catalog.job_tables.len(),
        catalog.checks.len(),
        catalog.profiles.len()
    );
    let text = match warnings.len() {
        0 => text,
        1 => format!("{text}; 1 warning"),
        count => format!("{text}; {count} warnings"),
    };
    crate::output::answer(&text);
    match flags.try_on {
        Some(span) => runtime.block_on(trial::run(&catalog, &settings, (&config, common), span)),
        None => Ok(()),
    }
}

/// Plans everything that a stream and its API serve.
pub fn plan(catalog: &Arc<Catalog>, config: &Config) -> anyhow::Result<()> {
    broken(served_errors(catalog, &config.settings()?)?)
}

fn broken(errors: Vec<Diagnostic>) -> anyhow::Result<()> {
    let errors = in_order(errors);
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)).context("the catalog is broken") }
}
