//! `vitral check [DIR]`: parse and plan a catalog, and warn of what can fail on data.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use vitral_batch::planning;
use vitral_catalog::{Catalog, Diagnostics};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::PanesError;
use vitral_panes::plan::MetricPlan;

use crate::config::Config;

#[derive(Debug, Args)]
pub struct Flags {
    /// A further folder of SQL files, besides catalog.dirs.
    dir: Option<PathBuf>,
}

pub fn run(mut config: Config, flags: Flags) -> anyhow::Result<()> {
    config.catalog.dirs.extend(flags.dir);
    let catalog = config.catalog()?;
    plan(&catalog, &config)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let errors = runtime.block_on(planning::errors(&catalog, config.settings()?.time_zone))?;
    if !errors.is_empty() {
        return Err(Diagnostics(errors)).context("the catalog is broken");
    }
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
    Ok(())
}

/// Plans every metric; all errors at once.
pub fn plan(catalog: &Catalog, config: &Config) -> anyhow::Result<()> {
    let settings = config.settings()?;
    let session = engine_session(EngineConfig::default())?;
    let mut errors = Vec::new();
    for topic in &catalog.topics {
        vitral_stream::judge::Judge::new(topic, &session, usize::MAX)?;
        for metric in catalog.metrics_of(&topic.name) {
            match MetricPlan::new(metric, topic, &settings, &session) {
                Ok(_) => {}
                Err(PanesError::Unsupported(error)) => errors.push(*error),
                Err(error) => bail!(error),
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)).context("the catalog is broken") }
}
