//! `vitral backfill`: the history of metrics that no stream has started on.

use anyhow::bail;
use chrono::DateTime;
use clap::Args;
use vitral_batch::backfill::{Backfilled, backfill};
use vitral_batch::import::wording::counted;
use vitral_batch::reconcile::bring_up_to_date;
use vitral_config::Config;
use vitral_process::output::answer;

use crate::args::Common;
use crate::engine;

/// Which metrics, and what computes them.
#[derive(Debug, Args)]
pub struct Flags {
    /// This metric alone.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    #[command(flatten)]
    engine: engine::Flags,
}

/// Computes the history of each metric that has none.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let engine = flags.engine.engine()?;
    let catalog = config.catalog()?;
    let settings = config.settings()?;
    let store = config.location(&common.data_dir)?;
    let wanted: Vec<_> =
        catalog.metrics.iter().filter(|metric| flags.metric.as_ref().is_none_or(|only| metric.name == *only)).collect();
    let tables: Vec<_> =
        catalog.keyed.iter().filter(|view| flags.metric.as_ref().is_none_or(|only| view.name == *only)).collect();
    if wanted.is_empty() && tables.is_empty() {
        let known = catalog.metrics.iter().map(|metric| metric.name.as_str());
        let known: Vec<_> = known.chain(catalog.keyed.iter().map(|view| view.name.as_str())).collect();
        bail!("there is no metric {}: name one of {}", flags.metric.as_deref().unwrap_or_default(), known.join(", "));
    }
    let runtime = vitral_process::runtimes::of_command()?;
    runtime.block_on(async {
        let mut failed = Vec::new();
        for metric in wanted {
            let Some(topic) = catalog.topic(&metric.topic) else { continue };
            // When one metric fails, the others are still done.
            match backfill(metric, topic, &settings, &store, &engine).await {
                Ok(done) => answer(&format!("{}: {}", metric.name, shown(done))),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    answer(&format!("{}: its history could not be computed: {error:#}", metric.name));
                    failed.push(metric.name.as_str());
                }
            }
        }
        for view in tables {
            let Some(topic) = catalog.topic(&view.topic) else { continue };
            match bring_up_to_date(view, topic, &settings, &store).await {
                Ok(()) => answer(&format!("{}: up to date", view.name)),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    answer(&format!("{}: it could not be brought up to date: {error:#}", view.name));
                    failed.push(view.name.as_str());
                }
            }
        }
        if !failed.is_empty() {
            bail!("the history of {} could not be computed", failed.join(", "));
        }
        Ok(())
    })
}

fn shown(done: Backfilled) -> String {
    let time = |ms: i64| DateTime::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), |time| time.to_rfc3339());
    match done {
        Backfilled::LeftToItsStream => {
            "a stream has started on it and is computing its history; vitral reconcile compares it".to_owned()
        }
        Backfilled::NoEvents => "no window has closed yet".to_owned(),
        Backfilled::Until { until_ms, rows } => {
            format!("{} added; complete for windows that start before {}", counted(rows as u64, "row"), time(until_ms))
        }
    }
}
