//! `vitral reconcile --from T --to T`: every published number recomputed from the archive, and
//! compared.

use std::time::Instant;

use anyhow::{Context, bail};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;
use vitral_batch::reconcile::offsets::{self, Break, Seen};
use vitral_batch::reconcile::results::{self, Run};
use vitral_batch::reconcile::{
    MetricComparison, SIDE_COLUMN, Selection, WindowRange, first_ms, reconcile, reconcile_keyed, repair,
};
use vitral_catalog::Catalog;
use vitral_config::Config;
use vitral_process::output::answer;
use vitral_process::output::terminal::table;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::reconciliation::BY_COMMAND;
use vitral_schemas::time::day_start_ms;
use vitral_store::{Act, Location};

use crate::args::{BadArguments, Common};
use crate::batch::day::Day;
use crate::engine;
use crate::instant::instant;

/// Differing rows that are shown of each metric.
const SHOWN: usize = 20;

/// Before any event.
const LONG_AGO_MS: i64 = -(1 << 48);

/// No window was compared: nothing differs, and nothing is proved.
#[derive(Debug, thiserror::Error)]
pub enum NothingToCompare {
    /// Of the time that was named.
    #[error("no window was compared: name a time that has published windows with --from and --to, or --date")]
    InRange,
    /// Of all time.
    #[error("no window was compared: none is published yet")]
    AtAll,
}

const EXIT_CODES: &str = "Exit codes: 0 what was compared is equal, 1 something differs or cannot be recomputed, 2 wrong arguments, 4 nothing was \
    compared. A metric with nothing to compare, next to others that had, is named, and the exit code is 0";

/// Which windows, and what is done about differences.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Flags {
    /// Windows that start at or after this time (RFC 3339); without a time or day, all of them ...
    #[arg(long, value_name = "T", requires = "to", value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// ... and before this one.
    #[arg(long, value_name = "T", requires = "from", value_parser = instant)]
    to: Option<DateTime<Utc>>,
    /// Windows that start on this day of the domain's zone: 2025-12-31, today, yesterday, or the
    /// day that a time is in.
    #[arg(long, value_name = "D", conflicts_with_all = ["from", "to"])]
    date: Option<Day>,
    /// Replace what differs with what was recomputed, and compare again.
    #[arg(long)]
    repair: bool,
    /// This metric alone.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    #[command(flatten)]
    engine: engine::Flags,
}

/// Compares what was published with what the archive gives, and says the verdict.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let asked = range(flags, config.settings()?.time_zone)?;
    let catalog = config.catalog()?;
    if let Some(name) = &flags.metric
        && catalog.metric(name).is_none()
        && catalog.keyed_view(name).is_none()
    {
        let known = catalog.metrics.iter().map(|metric| metric.name.as_str());
        let known: Vec<_> = known.chain(catalog.keyed.iter().map(|view| view.name.as_str())).collect();
        bail!(BadArguments(format!("there is no metric {name}: name one of {}", known.join(", "))));
    }
    let settings = config.settings()?;
    let engine = flags.engine.engine()?;
    let runtime = vitral_process::runtimes::of_command()?;
    let store = config.location(&common.data_dir)?;
    runtime.block_on(async {
        let range = match asked {
            Some(range) => range,
            None => everything(first_ms(&catalog, &settings, &store, LONG_AGO_MS).await?),
        };
        let compare = async || {
            let selection = Selection { only: flags.metric.as_deref(), ..Selection::default() };
            let mut compared = reconcile(&catalog, &settings, &store, &engine, range, selection).await?;
            // Tables have no windows: they are compared whole, whatever the range.
            compared.extend(reconcile_keyed(&catalog, &settings, &store, selection).await?);
            anyhow::Ok(compared)
        };
        let started = Instant::now();
        let mut compared = compare().await?;
        let breaks = broken_offsets(&catalog, &store).await?;
        show(&compared, &breaks, range)?;
        record(&store, range, started, &compared, &breaks, false).await?;
        if flags.repair {
            let started = Instant::now();
            let repaired = repair(&catalog, &settings, &store, &compared).await?;
            if repaired > 0 {
                for metric in compared.iter().filter(|metric| metric.differs()) {
                    record_repair(metric, &store).await?;
                }
                answer(&format!("{repaired} metrics repaired; compared again:"));
                compared = compare().await?;
                show(&compared, &breaks, range)?;
                record(&store, range, started, &compared, &breaks, true).await?;
            }
        }
        let nothing = if asked.is_some() { NothingToCompare::InRange } else { NothingToCompare::AtAll };
        let outcome = verdict(&compared, &breaks, nothing);
        if outcome.as_ref().is_err_and(|error| error.is::<NothingToCompare>()) {
            let first_ms = first_ms(&catalog, &settings, &store, LONG_AGO_MS).await?;
            answer(&whence(first_ms, range, settings.time_zone));
            answer("VERDICT: nothing to compare");
        }
        outcome
    })
}

/// Records who replaced which rows, and with what.
async fn record_repair(repaired: &MetricComparison, store: &Location) -> anyhow::Result<()> {
    let MetricComparison { metric, range, differences, expected, .. } = repaired;
    let sides = differences.column_by_name(SIDE_COLUMN).and_then(|sides| sides.as_primitive_opt::<Int64Type>());
    let of = |is_published: bool| -> i64 {
        let sides = sides.into_iter().flat_map(|sides| sides.iter().flatten());
        sides.filter(|side| (*side > 0) == is_published).map(i64::abs).sum()
    };
    let time = |at: EventTime| DateTime::from_timestamp_millis(at.ms()).map(|time| time.to_rfc3339());
    let before = json!({ "linhas_erradas": of(true), "linhas_ausentes": of(false) });
    let after = json!({ "linhas": expected.num_rows(), "de": time(range.from), "ate": time(range.to) });
    let act = Act::of_command("reparar", metric.clone()).before(before.to_string());
    Ok(act.after(after.to_string()).record(store).await?)
}

/// From the first event, or window that is published, until now.
fn everything(first_ms: Option<i64>) -> WindowRange {
    let now_ms = Utc::now().timestamp_millis();
    WindowRange::of_ms(first_ms.unwrap_or(now_ms).min(now_ms - 1), now_ms)
}

/// None for all of them.
fn range(flags: &Flags, zone: Tz) -> anyhow::Result<Option<WindowRange>> {
    let range = match (flags.date, flags.from, flags.to) {
        (Some(day), ..) => {
            let day = day.in_zone(zone, Utc::now());
            let next = day.succ_opt().unwrap_or(day);
            WindowRange::of_ms(day_start_ms(zone, day), day_start_ms(zone, next))
        }
        (None, Some(from), Some(to)) => WindowRange::of_ms(from.timestamp_millis(), to.timestamp_millis()),
        _ => return Ok(None),
    };
    let time = |at: EventTime| {
        DateTime::from_timestamp_millis(at.ms()).map_or_else(|| at.ms().to_string(), |time| time.to_rfc3339())
    };
    if range.from >= range.to {
        bail!(BadArguments(format!("--from {} is not before --to {}", time(range.from), time(range.to))));
    }
    Ok(Some(range))
}

/// Keeps the result, for the API and the page.
async fn record(
    store: &Location,
    range: WindowRange,
    started: Instant,
    compared: &[MetricComparison],
    breaks: &[(String, Break)],
    is_after_repair: bool,
) -> anyhow::Result<()> {
    let run = Run {
        origin: BY_COMMAND,
        range,
        ended_ms: Utc::now().timestamp_millis(),
        took_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        breaks: breaks.len(),
        is_after_repair,
    };
    results::record(store, results::rows(&run, compared)?).await.context("the result could not be stored")
}

fn verdict(compared: &[MetricComparison], breaks: &[(String, Break)], nothing: NothingToCompare) -> anyhow::Result<()> {
    let differing = compared.iter().filter(|metric| metric.differs()).count();
    let failed = compared.iter().filter(|metric| metric.failure.is_some()).count();
    if differing == 0 && breaks.is_empty() {
        if failed > 0 {
            answer("VERDICT: failed");
            bail!("{failed} of {} metrics cannot be recomputed; the others are equal", compared.len());
        }
        if compared.iter().all(|metric| metric.windows == 0) {
            bail!(nothing);
        }
        let without: Vec<_> =
            compared.iter().filter(|each| each.windows == 0).map(|each| each.metric.as_str()).collect();
        if !without.is_empty() {
            answer(&format!("without a published window in this time, so not compared: {}", without.join(", ")));
        }
        answer("VERDICT: equal");
        return Ok(());
    }
    answer("VERDICT: different");
    bail!("{differing} of {} metrics differ, {} breaks in the archive's offsets", compared.len(), breaks.len())
}

/// What there is to compare, for a user who named a time without any.
fn whence(first_ms: Option<i64>, range: WindowRange, zone: Tz) -> String {
    match first_ms.and_then(DateTime::from_timestamp_millis) {
        None => "nothing that counts was archived yet, and nothing is published".to_owned(),
        Some(first) => {
            let is_within = (range.from..range.to).contains(&EventTime::from_ms(first.timestamp_millis()));
            let first = first.with_timezone(&zone).to_rfc3339();
            if is_within {
                return format!(
                    "there are events of this time since {first}, but none of its windows is final yet: a window is published once the \
                     watermark has passed its end by the topic's lateness, which is an hour unless the topic's file says otherwise"
                );
            }
            format!(
                "no window of this time is published; the first that holds events or is published starts at {first}"
            )
        }
    }
}

/// The verdict is about everything, so the offsets are all looked at, whatever the range.
async fn broken_offsets(catalog: &Catalog, store: &Location) -> anyhow::Result<Vec<(String, Break)>> {
    let mut breaks = Vec::new();
    for topic in &catalog.topics {
        let (partitions, found) = offsets::check(topic, store, &Seen::new()).await?;
        for offsets in &partitions {
            tracing::debug!(topic = topic.name, ?offsets, "looked through");
        }
        breaks.extend(found.into_iter().map(|found| (topic.name.clone(), found)));
    }
    Ok(breaks)
}

fn show(compared: &[MetricComparison], breaks: &[(String, Break)], range: WindowRange) -> anyhow::Result<()> {
    answer(&format!("{:<32} {:>10} {:>12} {:>12}  published through", "metric", "windows", "rows", "differences"));
    for metric in compared {
        let through = metric.published_through_ms.and_then(DateTime::from_timestamp_millis);
        answer(&format!(
            "{:<32} {:>10} {:>12} {:>12}  {}",
            metric.metric,
            metric.windows,
            metric.expected.num_rows(),
            metric.differences.num_rows(),
            through.map_or_else(|| "never".to_owned(), |through| through.to_rfc3339()),
        ));
    }
    let provable = compared.iter().map(|metric| metric.range.from).max().filter(|from| *from > range.from);
    if let Some(from) = provable.and_then(|from| DateTime::from_timestamp_millis(from.ms())) {
        answer(&format!("windows before {} are not compared: their events were deleted", from.to_rfc3339()));
    }
    for metric in compared {
        if let Some((since, reason)) = &metric.set_aside {
            let since = DateTime::from_timestamp_millis(*since).map(|since| since.to_rfc3339()).unwrap_or_default();
            answer(&format!("{}: set aside by the stream since {since}: {reason}", metric.metric));
        }
        if let Some(reason) = &metric.failure {
            answer(&format!("{}: nothing to compare with: {reason}", metric.metric));
        }
    }
    for metric in compared.iter().filter(|metric| metric.differs()) {
        let rows = metric.differences.slice(0, metric.differences.num_rows().min(SHOWN));
        let rows = table(&[rows])?;
        answer(&format!(
            "\n{}: {SIDE_COLUMN} above 0 is published but not recomputed, below 0 recomputed but not published\n{rows}",
            metric.metric
        ));
    }
    for (topic, Break { log, partition, expected, found }) in breaks {
        answer(&format!("{topic}: partition {partition} of log {log}: offset {expected} is next, found {found}"));
    }
    Ok(())
}
