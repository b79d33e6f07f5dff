//! `vitral batch list|run`: jobs of the warehouse, and checks of quality.

use anyhow::{Context, bail};
use arrow::util::pretty::pretty_format_batches;
use chrono::{NaiveDate, TimeDelta, Utc};
use clap::{Args, Subcommand};
use vitral_batch::checks;
use vitral_batch::jobs::{Done, Jobs, Wanted};
use vitral_batch::tables::Tables;
use vitral_schemas::catalog::{Catalog, Period};
use vitral_store::Location;
use vitral_store::archive::{self, Limits, Retained};
use vitral_store::maintenance::{self, Compacted};
use vitral_store::warehouse::Days;

use crate::cli::{BadArguments, Common, answer};
use crate::config::{Config, Retention};
use crate::engine;
use crate::server::REFERENCE_DIR;
use crate::warehouse;

/// The job that runs the checks of quality.
const CHECKS: &str = "verificacoes";
/// The job that moves what is old, and deletes what is too old.
const RETENTION: &str = "retencao";
/// The job that makes large files of small ones.
const COMPACTION: &str = "compactacao";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every job, and what it writes.
    List,
    /// Run one, for the days that are named or for those that have changed since its last run.
    Run(Flags),
}

#[derive(Debug, Args)]
pub struct Flags {
    /// The job.
    job: String,
    /// For this day of the shop's zone.
    #[arg(long, value_name = "D", conflicts_with_all = ["from", "to"])]
    date: Option<NaiveDate>,
    /// For the days from this one ...
    #[arg(long, value_name = "D", requires = "to")]
    from: Option<NaiveDate>,
    /// ... through this one.
    #[arg(long, value_name = "D", requires = "from")]
    to: Option<NaiveDate>,
    #[command(flatten)]
    engine: engine::Flags,
}

impl Flags {
    fn days(&self) -> anyhow::Result<Option<(NaiveDate, NaiveDate)>> {
        let days = self.date.map(|day| (day, day)).or(self.from.zip(self.to));
        if let Some((from, to)) = days
            && from > to
        {
            bail!(BadArguments(format!("--from {from} is after --to {to}")));
        }
        Ok(days)
    }
}

pub fn run(config: &Config, common: &Common, command: &Command) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    match command {
        Command::List => {
            list(&catalog);
            Ok(())
        }
        Command::Run(flags) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(job(config, common, &catalog, flags))
        }
    }
}

fn list(catalog: &Catalog) {
    answer(&format!("{:<24} {:<24} {}", "job", "table", "computed by"));
    for table in &catalog.job_tables {
        let per = match table.per {
            Period::Day => "day",
            Period::Month => "month",
        };
        answer(&format!("{:<24} {:<24} {per}", table.job, table.table));
    }
    answer(&format!("{COMPACTION:<24} {:<24} at once: small files of every table become large ones", "all"));
    answer(&format!("{RETENTION:<24} {:<24} at once: archived rows become cold, then go away", "archives"));
    answer(&format!("{CHECKS:<24} {:<24} {} checks of quality; exit 1 if rows offend", "", catalog.checks.len()));
}

async fn job(config: &Config, common: &Common, catalog: &Catalog, flags: &Flags) -> anyhow::Result<()> {
    let store = config.location(&common.data_dir)?;
    let engine = flags.engine.engine()?;
    if [COMPACTION, RETENTION].contains(&flags.job.as_str()) && !flags.engine.is_local() {
        bail!(BadArguments(format!("{} moves files, which this process does: leave --engine out", flags.job)));
    }
    if flags.job == COMPACTION {
        return compact(&store).await;
    }
    if flags.job == RETENTION {
        return retain(&config.retention, catalog, &store).await;
    }
    let zone = config.settings()?.time_zone;
    let tables = Tables::open(catalog, &store, &common.data_dir.join(REFERENCE_DIR), engine).await?;
    let days = flags.days()?;
    if flags.job == CHECKS {
        let today = Utc::now().with_timezone(&zone).date_naive();
        let (from, to) = days.unwrap_or((today, today));
        let days = Days { from, to: to.succ_opt().unwrap_or(to) };
        return show_checks(&checks::run(catalog, zone, days, &tables).await?, from, to);
    }
    let warehouse = warehouse::open(config, &store).await?;
    let jobs = Jobs { catalog, zone, store: &store, warehouse: warehouse.as_ref() };
    let wanted = days.map_or(Wanted::Changed, |(from, to)| Wanted::Days(from, to));
    let done = jobs.run(&flags.job, wanted, &tables).await.with_context(|| format!("job {} failed", flags.job))?;
    for table in &done {
        show(table);
    }
    Ok(())
}

async fn compact(store: &Location) -> anyhow::Result<()> {
    for table in maintenance::compact(store).await? {
        let Compacted { table, files_before, files_after, deleted } = table;
        answer(&format!("{table}: {files_before} files became {files_after}, {deleted} old ones deleted"));
    }
    Ok(())
}

async fn retain(retention: &Retention, catalog: &Catalog, store: &Location) -> anyhow::Result<()> {
    let now = Utc::now();
    let hot_ms = (now - TimeDelta::days(retention.hot_days.into())).timestamp_millis();
    let gone_ms = (now - TimeDelta::days((retention.hot_days + retention.cold_days).into())).timestamp_millis();
    if let Some(unknown) = retention.legal_hold.iter().find(|name| catalog.topic(name).is_none()) {
        bail!("configuration: retention.legal_hold names {unknown}, which is no topic's table");
    }
    for topic in &catalog.topics {
        let is_held = retention.legal_hold.contains(&topic.name);
        let limits = Limits { hot_ms, cold_ms: (!is_held).then_some(gone_ms) };
        let Some(Retained { moved, gone }) = archive::retain(topic, store, limits).await? else { continue };
        let held = if is_held { "; under legal hold, none may go" } else { "" };
        answer(&format!("{}: {moved} rows moved to the cold part, {gone} deleted from it{held}", topic.name));
    }
    Ok(())
}

fn show(done: &Done) {
    let Done { table, days, read, written, refused, left } = done;
    let days = days.map_or_else(
        || "nothing has changed".to_owned(),
        |days| format!("{} to {}", days.from, days.to.pred_opt().unwrap_or(days.to)),
    );
    answer(&format!("{table}: {days}; {read} rows read, {written} written, {refused} refused"));
    if *left > 0 {
        answer(&format!("  {left} days that have changed are left as they are: events of theirs are gone"));
    }
}

fn show_checks(found: &[checks::Found], from: NaiveDate, to: NaiveDate) -> anyhow::Result<()> {
    answer(&format!("{from} to {to}"));
    answer(&format!("{:<32} {:>10}  {}", "check", "offending", "what is wrong with them"));
    for check in found {
        answer(&format!("{:<32} {:>10}  {}", check.name, check.count, check.words));
    }
    let offending: Vec<_> = found.iter().filter(|check| check.count > 0).collect();
    for check in &offending {
        let rows = pretty_format_batches(std::slice::from_ref(&check.rows)).context("the rows cannot be shown")?;
        answer(&format!("\n{} ({} of {}):\n{rows}", check.name, check.rows.num_rows(), check.count));
    }
    if offending.is_empty() {
        answer("VERDICT: ok");
        return Ok(());
    }
    answer("VERDICT: failed");
    bail!("{} of {} checks have found rows that should not be", offending.len(), found.len())
}
