//! `vitral batch list|run|quarantine`: jobs of the warehouse, checks of quality, and upkeep of what
//! is stored.

pub(crate) mod day;
mod upkeep;

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{Days as ChronoDays, NaiveDate, Utc};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use vitral_batch::import::wording::counted;
use vitral_batch::jobs::{JobReport, Jobs, Wanted};
use vitral_batch::tables::Tables;
use vitral_batch::{BatchError, checks};
use vitral_catalog::{Catalog, Period};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_process::output::answer;
use vitral_process::output::terminal::table;
use vitral_store::warehouse::{Days, Warehouse};
use vitral_store::{Location, Quarantine};

use self::day::Day;
use crate::args::{BadArguments, Common};
use crate::{engine, lookups};

/// The job that runs the checks of quality.
const CHECKS: &str = "verificacoes";
/// The job that moves what is old, and deletes what is too old.
const RETENTION: &str = "retencao";
/// The job that makes large files of small ones.
const COMPACTION: &str = "compactacao";
/// Spans of days without rows that are named.
const EMPTY_SHOWN: usize = 5;
/// How often to check whether a day is over.
const WAIT: Duration = Duration::from_secs(20);

const RUN_EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, or rows break a check of verificacoes, 2 wrong arguments. Days without anything to check \
    do not fail verificacoes: it says what it could not check, and ends with 0";

/// What is done with jobs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every job, and what it writes.
    List,
    /// Run one, for the days that are named or for those that have changed since its last run.
    #[command(after_help = RUN_EXIT_CODES)]
    Run(Flags),
    /// The rows that the warehouse's database could not store.
    Quarantine,
}

/// Which job, and for which days.
#[derive(Debug, Args)]
pub struct Flags {
    /// The job.
    job: String,
    /// For this day of the domain's zone: 2025-12-31, today, yesterday, or the day that a time (RFC
    /// 3339) is in.
    #[arg(long, value_name = "D", conflicts_with_all = ["from", "to"])]
    date: Option<Day>,
    /// For this many days, up to and including that one.
    #[arg(long, value_name = "N", requires = "date", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    days: u64,
    /// For the days from this one ...
    #[arg(long, value_name = "D", requires = "to")]
    from: Option<Day>,
    /// ... through this one.
    #[arg(long, value_name = "D", requires = "from")]
    to: Option<Day>,
    /// Wait until the days that are named are over, so that none of their events can still count.
    #[arg(long, conflicts_with = "allow_open")]
    wait: bool,
    /// Compute days that are not over from what is there.
    #[arg(long)]
    allow_open: bool,
    /// retencao: delete more than the last run did, without being asked.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    engine: engine::Flags,
}

impl Flags {
    fn days(&self, zone: Tz) -> anyhow::Result<Option<(NaiveDate, NaiveDate)>> {
        let day = |day: Option<Day>| day.map(|day| day.in_zone(zone, Utc::now()));
        let through = |last: NaiveDate| {
            let first = last.checked_sub_days(ChronoDays::new(self.days - 1));
            first.map(|first| (first, last)).ok_or_else(|| BadArguments(format!("{} days are too many", self.days)))
        };
        let days = match day(self.date) {
            Some(last) => Some(through(last)?),
            None => day(self.from).zip(day(self.to)),
        };
        if let Some((from, to)) = days
            && from > to
        {
            bail!(BadArguments(format!("--from {from} is after --to {to}")));
        }
        Ok(days)
    }
}

/// Lists jobs, runs one, or shows what was set aside.
pub fn run(config: &Config, common: &Common, command: &Command) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    match command {
        Command::List => {
            list(&catalog);
            Ok(())
        }
        Command::Run(flags) => runtime()?.block_on(job(config, common, &catalog, flags)),
        Command::Quarantine => {
            let store = config.location(&common.data_dir)?;
            runtime()?.block_on(quarantine(&store))
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(vitral_process::runtimes::of_command()?)
}

fn list(catalog: &Catalog) {
    answer(&format!("{:<24} {:<24} {}", "job", "table", "computed by"));
    let of_job = |job: &'_ str| catalog.job_tables.iter().filter(move |table| table.job == job).collect::<Vec<_>>();
    for table in catalog.jobs().into_iter().flat_map(of_job) {
        let per = match table.per {
            Period::Day => "day",
            Period::Month => "month",
            Period::All => "whole",
        };
        answer(&format!("{:<24} {:<24} {per}", table.job, table.table));
    }
    answer(&format!("{COMPACTION:<24} {:<24} at once: small files of every table become large ones", "all"));
    answer(&format!(
        "{RETENTION:<24} {:<24} at once: archived rows are moved to cold storage, then deleted",
        "archives"
    ));
    answer(&format!("{CHECKS:<24} {:<24} {} checks of quality; exit 1 if rows break one", "", catalog.checks.len()));
}

async fn job(config: &Config, common: &Common, catalog: &Catalog, flags: &Flags) -> anyhow::Result<()> {
    let store = config.location(&common.data_dir)?;
    let engine = flags.engine.engine()?;
    if [COMPACTION, RETENTION].contains(&flags.job.as_str()) && !flags.engine.is_local() {
        bail!(BadArguments(format!("{} always runs in this process: leave --engine out", flags.job)));
    }
    if flags.job == COMPACTION {
        return upkeep::compact(&store).await;
    }
    if flags.job == RETENTION {
        return upkeep::retain(&config.retention.policy(), (catalog, &config.settings()?), &store, flags.yes).await;
    }
    let settings = config.settings()?;
    let zone = settings.time_zone;
    let reference_dir = common.data_dir.join(REFERENCE_DIR);
    let whole = lookups::whole(config, catalog)?;
    let open = async || {
        let tables = Tables::open(catalog, &settings, &store, &reference_dir, engine.clone()).await?;
        Ok::<_, BatchError>(tables.with_whole(whole.clone()))
    };
    let days = flags.days(zone)?;
    if flags.job == CHECKS {
        let today = Utc::now().with_timezone(&zone).date_naive();
        let (from, to) = days.unwrap_or((today, today));
        let days = Days { from, to: to.succ_opt().unwrap_or(to) };
        let mut found = checks::run(catalog, zone, days, &open().await?).await?;
        found.extend(checks::quarantined(&store, days).await?);
        return show_checks(&found, from, to);
    }
    // A job over nothing is done at once, and makes the folder: somebody who has mistyped it would
    // never know.
    let is_missing = config.store.url.is_none() && !common.data_dir.is_dir();
    let warehouse = warehouse(config, &store).await?;
    let jobs = Jobs { catalog, zone, store: &store, warehouse: warehouse.as_ref(), allow_open: flags.allow_open };
    let wanted = days.map_or(Wanted::Changed, |(from, to)| Wanted::Days(from, to));
    let done = loop {
        match jobs.run(&flags.job, wanted, &open().await?).await {
            Err(error @ BatchError::OpenDay { .. }) if flags.wait => {
                tracing::info!(%error, "waiting");
                tokio::time::sleep(WAIT).await;
            }
            // Those of this process are names of jobs too.
            Err(BatchError::NoJob { job, known }) => {
                let known = [known.as_str(), CHECKS, COMPACTION, RETENTION].join(", ");
                return Err(BatchError::NoJob { job, known: known.trim_start_matches(", ").to_owned() }.into());
            }
            done => break done.with_context(|| format!("job {} failed", flags.job))?,
        }
    };
    for table in &done {
        show(table);
    }
    if is_missing {
        let dir = common.data_dir.display();
        answer(&format!(
            "there was nothing at {dir}: name the data directory of a stream, demo or import with --data-dir"
        ));
    }
    Ok(())
}

/// What has the tables of jobs: Delta tables, or the database that the configuration names.
pub async fn warehouse(config: &Config, store: &Location) -> anyhow::Result<Box<dyn Warehouse>> {
    Ok(vitral_connect_postgres::open(&config.warehouse()?, &config.store.options, store).await?)
}

async fn quarantine(store: &Location) -> anyhow::Result<()> {
    let rows = Quarantine::of(store).rows().await?;
    let count: usize = rows.iter().map(|rows| rows.num_rows()).sum();
    answer(&if count == 1 { "1 row is set aside".to_owned() } else { format!("{count} rows are set aside") });
    if count > 0 {
        answer(&table(&rows)?);
    }
    Ok(())
}

fn show(done: &JobReport) {
    let JobReport { table, days, is_whole, read, written, refused, set_aside, left, empty, since } = done;
    let days = match days {
        None => "nothing has changed".to_owned(),
        Some(_) if *is_whole => "all of it".to_owned(),
        Some(days) => through(*days),
    };
    answer(&format!("{table}: {days}; {} read, {written} written", counted(*read, "row")));
    if *refused > 0 {
        answer(&format!(
            "  {refused} refused messages and rows of files arrived on these days, whichever days they are of: vitral ledger list shows them"
        ));
    }
    if let Some(since) = since {
        answer(&format!("  it lacks events of {since} and before, which retention has deleted"));
    }
    if !empty.is_empty() {
        let shown: Vec<String> = empty.iter().take(EMPTY_SHOWN).map(|days| through(*days)).collect();
        let more = if empty.len() > EMPTY_SHOWN { ", and others" } else { "" };
        answer(&format!("  no rows are stored for {}{more}", shown.join(", ")));
    }
    if *set_aside > 0 {
        answer(&format!(
            "  {} set aside, as the warehouse's database cannot store them: vitral batch quarantine shows them and why",
            if *set_aside == 1 { "1 row was".to_owned() } else { format!("{set_aside} rows were") }
        ));
    }
    if *left > 0 {
        answer(&format!(
            "  {}: retention has deleted some of their events",
            match left {
                1 => "1 day that has changed is left as it is".to_owned(),
                _ => format!("{left} days that have changed are left as they are"),
            }
        ));
    }
}

fn through(days: Days) -> String {
    format!("{} to {}", days.from, days.to.pred_opt().unwrap_or(days.to))
}

fn show_checks(found: &[checks::CheckResult], from: NaiveDate, to: NaiveDate) -> anyhow::Result<()> {
    answer(&format!("{from} to {to}"));
    answer(&format!("{:<32} {:>11}  {}", "check", "offending", "what is wrong with them"));
    for check in found {
        let count = if check.unchecked.is_some() { "not checked".to_owned() } else { check.count.to_string() };
        answer(&format!("{:<32} {count:>11}  {}", check.name, check.words));
    }
    let offending: Vec<_> = found.iter().filter(|check| check.count > 0).collect();
    for check in &offending {
        let rows = table(std::slice::from_ref(&check.rows))?;
        answer(&format!("\n{} ({} of {}):\n{rows}", check.name, check.rows.num_rows(), check.count));
    }
    let failed: Vec<_> = found.iter().filter_map(|check| Some((&check.name, check.failure.as_ref()?))).collect();
    for (name, reason) in &failed {
        answer(&format!("\n{name} cannot be run: {reason}"));
    }
    let unchecked: Vec<_> = found.iter().filter_map(|check| Some((&check.name, check.unchecked.as_ref()?))).collect();
    let mut by_reason: Vec<(&String, Vec<&str>)> = Vec::new();
    for (name, reason) in &unchecked {
        match by_reason.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((reason, vec![name])),
        }
    }
    for (reason, names) in by_reason {
        let are = if names.len() == 1 { "is" } else { "are" };
        answer(&format!("\n{} {are} not checked: {reason}", names.join(", ")));
    }
    if offending.is_empty() && failed.is_empty() {
        answer(&match unchecked.len() {
            0 => "VERDICT: ok".to_owned(),
            all if all == found.len() => format!("VERDICT: nothing was checked from {from} to {to}"),
            some => format!("VERDICT: ok, but {some} of {} not checked", found.len()),
        });
        return Ok(());
    }
    answer("VERDICT: failed");
    if !failed.is_empty() {
        bail!(
            "{} of {} checks cannot be run, {} have found rows that should not exist",
            failed.len(),
            found.len(),
            offending.len()
        );
    }
    bail!("{} of {} checks have found rows that should not exist", offending.len(), found.len())
}
