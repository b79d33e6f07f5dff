//! `vitral alerts list|silence|test`: what alerts have seen, who is not to be notified for a while,
//! and whether notifications arrive.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use vitral_catalog::{Catalog, WATERMARK_ALERT};
use vitral_config::Config;
use vitral_connect::with_causes;
use vitral_process::output::answer;
use vitral_process::output::terminal::table;
use vitral_react::{Alerts, Destination, test_notification};
use vitral_store::alerts::{Episode, Silence, Silences, episode_rows, read_episodes};
use vitral_store::{Act, Location};

use crate::args::{BadArguments, Common};
use crate::length::length_ms;
use crate::running_demo;

/// So many keys are named to somebody who may have mistyped one.
const KEYS_NAMED_MAX: usize = 10;

/// What is done with alerts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what fires and what is pending, silences, and what is resolved.
    List(ListFlags),
    /// Notify nobody of an alert, or of one of its keys, for a while. It is still evaluated and
    /// shown.
    Silence(SilenceFlags),
    /// Send a test notification to those whom an alert or a report notifies; exit 1 if one does not
    /// accept it.
    Test(TestFlags),
}

/// How many.
#[derive(Debug, Args)]
pub struct ListFlags {
    /// At most this many that are resolved, the newest first.
    #[arg(long, value_name = "N", default_value_t = 10)]
    resolved: usize,
}

/// Of what, and for how long.
#[derive(Debug, Args)]
pub struct SilenceFlags {
    /// The alert.
    #[arg(required_unless_present = "end", conflicts_with = "end")]
    alert: Option<String>,
    /// One of its keys (default: all).
    #[arg(long, value_name = "KEY", conflicts_with = "end")]
    key: Option<String>,
    /// For how long, such as '2 hours'.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, required_unless_present = "end", conflicts_with = "end")]
    duration: Option<i64>,
    /// Why; it is kept.
    #[arg(long, value_name = "TEXT", conflicts_with = "end")]
    reason: Option<String>,
    /// End the silence with this id now.
    #[arg(long, value_name = "ID")]
    end: Option<String>,
}

/// Whose.
#[derive(Debug, Args)]
pub struct TestFlags {
    /// The alert or report.
    alert: String,
}

/// Shows, silences or tries alerts.
pub fn run(config: &Config, common: &Common, command: &Command) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    let runtime = vitral_process::runtimes::of_command()?;
    match command {
        Command::List(flags) => runtime.block_on(list(&config.location(&common.data_dir)?, flags)),
        Command::Silence(flags) => runtime.block_on(silence(&catalog, &config.location(&common.data_dir)?, flags)),
        Command::Test(flags) => runtime.block_on(async {
            let config = running_demo::alongside(config, &common.data_dir).await;
            test(&config, &catalog, flags).await
        }),
    }
}

async fn list(store: &Location, flags: &ListFlags) -> anyhow::Result<()> {
    let Some(episodes) = read_episodes(store).await? else {
        answer("no alert has been evaluated here yet");
        return Ok(());
    };
    let (mut over, mut standing): (Vec<&Episode>, Vec<&Episode>) =
        episodes.all().partition(|episode| episode.resolved_ms.is_some());
    standing.sort_by_key(|episode| episode.last.since_ms);
    over.sort_by_key(|episode| std::cmp::Reverse(episode.resolved_ms));
    over.truncate(flags.resolved);
    let shown = episode_rows(standing.into_iter().chain(over))?;
    answer(&table(&[shown])?);
    let mut silences = Silences::of(store);
    silences.refresh().await?;
    let standing: Vec<&Silence> = silences.standing(Utc::now().timestamp_millis()).collect();
    if standing.is_empty() {
        return Ok(());
    }
    let column = |text: &dyn Fn(&Silence) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(standing.iter().map(|silence| text(silence))))
    };
    let rows = RecordBatch::try_from_iter([
        ("silencio", column(&|silence| Some(silence.id.clone()))),
        ("alerta", column(&|silence| Some(silence.alert.clone()))),
        ("chave", column(&|silence| silence.key.clone())),
        ("ate", column(&|silence| Some(time(silence.until_ms)))),
        ("principal", column(&|silence| Some(silence.principal.clone()))),
        ("motivo", column(&|silence| silence.reason.clone())),
    ]);
    answer(&table(&[rows?])?);
    Ok(())
}

async fn silence(catalog: &Catalog, store: &Location, flags: &SilenceFlags) -> anyhow::Result<()> {
    let now_ms = Utc::now().timestamp_millis();
    if let Some(id) = &flags.end {
        let mut silences = Silences::of(store);
        silences.refresh().await?;
        let Some(known) = silences.standing(now_ms).find(|silence| silence.id == *id) else {
            bail!("there is no active silence {id}: `vitral alerts list` shows those that are active");
        };
        let ended = Silence { until_ms: now_ms, ..known.clone() };
        let ended = ended.record(store, Act::of_command("silenciar", &known.alert).before("{\"ativo\":true}")).await?;
        answer(&format!("notifications of {} are on again", ended.alert));
        return Ok(());
    }
    let (Some(alert), Some(duration)) = (&flags.alert, flags.duration) else {
        return Err(BadArguments("name an alert, and for how long with --for".to_owned()).into());
    };
    let known: BTreeSet<&str> = catalog.alerts().map(|(view, _)| view.name.as_str()).chain([WATERMARK_ALERT]).collect();
    if !known.contains(alert.as_str()) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(BadArguments(format!("there is no alert {alert}: name one of {known}")).into());
    }
    if let Some(key) = &flags.key {
        warn_of_unknown_key(store, alert, key).await?;
    }
    let until_ms = now_ms.saturating_add(duration);
    let silence = Silence::new(alert, flags.key.clone(), (now_ms, until_ms), flags.reason.clone());
    let act = Act::of_command("silenciar", alert).after(serde_json::json!({ "ate": time(until_ms) }).to_string());
    let silence = silence.record(store, act).await?;
    let what = flags.key.as_ref().map_or_else(|| alert.clone(), |key| format!("{alert} for {key}"));
    answer(&format!(
        "nobody is notified of {what} until {}; `vitral alerts silence --end {}` ends it",
        time(until_ms),
        silence.id
    ));
    Ok(())
}

/// A key may be silenced before it comes for the first time; one that is mistyped never comes.
async fn warn_of_unknown_key(store: &Location, alert: &str, key: &str) -> anyhow::Result<()> {
    let episodes = read_episodes(store).await?;
    let of_alert = || episodes.iter().flat_map(|episodes| episodes.all()).filter(|episode| episode.last.alert == alert);
    if of_alert().any(|episode| episode.last.key == key) {
        return Ok(());
    }
    let standing = of_alert().filter(|episode| episode.resolved_ms.is_none()).map(|episode| episode.last.key.as_str());
    let standing: BTreeSet<&str> = standing.filter(|key| !key.is_empty()).collect();
    let shown = standing.iter().take(KEYS_NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let others = match (standing.len(), standing.len().saturating_sub(KEYS_NAMED_MAX)) {
        (0, _) => "none is active now".to_owned(),
        (_, 0) => format!("those that are active now: {shown}"),
        (_, more) => format!("those that are active now: {shown} and {more} more"),
    };
    answer(&format!("warning: {alert} has never had the key {key}; it is silenced anyway ({others})"));
    Ok(())
}

async fn test(config: &Config, catalog: &Catalog, flags: &TestFlags) -> anyhow::Result<()> {
    let name = flags.alert.as_str();
    let audience = catalog.alerts().find(|(view, _)| view.name == name).map(|(_, alert)| &alert.audience);
    let audience =
        audience.or_else(|| catalog.reports().find(|(view, _)| view.name == name).map(|(_, of)| &of.audience));
    let destinations: Vec<Destination> = match audience {
        Some(audience) => {
            let connections = audience.connections.as_ref().unwrap_or(&config.alerts.notify);
            let destination =
                |connection: &String| Destination { connection: connection.clone(), topic: audience.topic.clone() };
            connections.iter().map(destination).collect()
        }
        None if name == WATERMARK_ALERT => {
            Alerts::destinations(&Catalog::default(), &config.alerts.notify).into_iter().collect()
        }
        None => {
            let names = catalog.alerts().map(|(view, _)| view.name.as_str());
            let names = names.chain(catalog.reports().map(|(view, _)| view.name.as_str())).chain([WATERMARK_ALERT]);
            let known = names.collect::<Vec<_>>().join(", ");
            return Err(BadArguments(format!("there is no alert or report {name}: name one of {known}")).into());
        }
    };
    if destinations.is_empty() {
        bail!("{name} notifies nobody: give it notify = '...', or set alerts.notify in the configuration");
    }
    let notification = test_notification(name, Utc::now().timestamp_millis());
    let mut refused = Vec::new();
    for destination in destinations {
        let notifier = crate::notifiers::notifier(config, &destination)
            .with_context(|| format!("{} cannot be used", destination.connection))?;
        match notifier.deliver(&notification).await {
            Ok(()) => answer(&format!("{} has accepted it", destination.connection)),
            Err(error) => {
                answer(&format!("{} has not: {}", destination.connection, with_causes(&error)));
                refused.push(destination.connection);
            }
        }
    }
    if !refused.is_empty() {
        bail!("the test did not reach {}", refused.join(", "));
    }
    Ok(())
}

fn time(ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// In milliseconds.
fn duration(text: &str) -> Result<i64, String> {
    length_ms(text).ok_or_else(|| format!("{text} is not a duration: write for example 2h or '2 hours'"))
}
