//! `vitral ledger list|replay`: the rows that did not count.

use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use vitral_batch::import::ROW_REASON;
use vitral_batch::import::wording::{counted, counted_are};
use vitral_batch::ledger::look_up_again::{LookedUpAgain, look_up_again};
use vitral_batch::ledger::replay::{self, Replayed};
use vitral_batch::ledger::{self, Cause, LedgerFilter};
use vitral_batch::{BatchError, Unanswered, upkeep};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::{Lookups, TopicLookups};
use vitral_process::output::answer;
use vitral_process::output::terminal::table;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_store::lease::{Holder, Lease, STREAM};
use vitral_store::{Act, Archive, DataDirLock, History, Layout, Location};

use crate::args::Common;
use crate::instant::instant;
use crate::lookups;

/// What is done with the rows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the rows that did not count, the newest first.
    List(ListFlags),
    /// Feed them to the metrics again: refused messages by what the catalog says now, late ones as
    /// if they had come in time.
    Replay(ReplayFlags),
}

/// Which rows.
#[derive(Debug, Args)]
pub struct Flags {
    /// Only rows with this reason (json, campo_ausente, tipo, tempo, futuro, tamanho, valor), or
    /// atrasada; `list` also accepts pulado and log_novo.
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    /// Only rows that arrived at or after this time (RFC 3339) ...
    #[arg(long, value_name = "T", value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// ... and before this one.
    #[arg(long, value_name = "T", value_parser = instant)]
    to: Option<DateTime<Utc>>,
}

/// Which rows, and what is done with them.
#[derive(Debug, Args)]
pub struct ReplayFlags {
    #[command(flatten)]
    flags: Flags,
    /// Instead, look the looked-up columns of rows that count up once more: what is found replaces
    /// what they have. Exit 1 if some could not be looked up. Rows of files are looked up again by
    /// `import replace`.
    #[arg(long, conflicts_with = "reason")]
    look_up_again: bool,
}

/// Which rows, and how many.
#[derive(Debug, Args)]
pub struct ListFlags {
    #[command(flatten)]
    flags: Flags,
    /// At most this many rows of each topic.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl Flags {
    fn wanted(&self) -> anyhow::Result<LedgerFilter> {
        let cause = match self.reason.as_deref() {
            None => None,
            Some(name) if name == Verdict::Late.name() => Some(Cause::Late),
            Some(name) => {
                let refused = Reason::ALL.into_iter().find(|reason| reason.name() == name).map(Cause::Refused);
                let unread = Unread::ALL.into_iter().find(|reason| reason.name() == name).map(Cause::Unread);
                let Some(cause) = refused.or(unread) else {
                    let known = [Reason::ALL.map(Reason::name).as_slice(), &Unread::ALL.map(Unread::name)].concat();
                    bail!("there is no reason {name}: name one of {}, or {}", known.join(", "), Verdict::Late)
                };
                Some(cause)
            }
        };
        let ms = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
        Ok(LedgerFilter { cause, from_ms: ms(self.from), to_ms: ms(self.to) })
    }
}

impl Flags {
    /// Rows of files have a reason of their own.
    fn listed(&self) -> anyhow::Result<ledger::Condition> {
        match self.reason.as_deref() {
            Some(ROW_REASON) => {
                let wanted = Self { reason: None, ..*self }.wanted()?.listed();
                Ok(ledger::of_broken_rows(wanted))
            }
            _ => Ok(self.wanted()?.listed()),
        }
    }
}

/// Shows rows that did not count, or feeds them again.
pub fn run(config: &Config, common: &Common, command: &Command) -> anyhow::Result<()> {
    let runtime = vitral_process::runtimes::of_command()?;
    runtime.block_on(async {
        match command {
            Command::List(flags) => list(config, common, flags).await,
            Command::Replay(flags) => feed_again(config, common, flags).await,
        }
    })
}

async fn list(config: &Config, common: &Common, flags: &ListFlags) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    let store = config.location(&common.data_dir)?;
    let zone = config.settings()?.time_zone;
    let wanted = flags.flags.listed()?;
    let mut missing = Vec::new();
    for topic in &catalog.topics {
        let rows = match ledger::newest(topic, zone, &store, wanted.clone(), flags.limit).await {
            // Nothing was ever read of it; where that holds for all of them, the folder is a wrong
            // one.
            Err(error @ BatchError::NoArchive { .. }) => {
                missing.push(error);
                continue;
            }
            rows => rows?,
        };
        let count: usize = rows.iter().map(|rows| rows.num_rows()).sum();
        answer(&format!("{}: {}", topic.name, counted(count as u64, "row")));
        if count > 0 {
            let rows = with_content(&rows).context("the rows cannot be shown")?;
            answer(&table(&rows)?);
        }
    }
    if missing.len() < catalog.topics.len() {
        return Ok(());
    }
    missing.into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

/// Without the columns that are empty in all rows: messages have no file, and rows of files no
/// offset.
fn with_content(rows: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let width = rows.first().map_or(0, RecordBatch::num_columns);
    let is_filled = |column: &usize| rows.iter().any(|rows| rows.column(*column).null_count() < rows.num_rows());
    let filled: Vec<usize> = (0..width).filter(is_filled).collect();
    rows.iter().map(|rows| rows.project(&filled)).collect()
}

async fn feed_again(config: &Config, common: &Common, flags: &ReplayFlags) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    let settings = config.settings()?;
    let wanted = flags.flags.wanted()?;
    if matches!(wanted.cause, Some(Cause::Unread(_))) {
        bail!("skipped offsets were never read: there is nothing to replay");
    }
    let store = config.location(&common.data_dir)?;
    let lookups = lookups::open(config, &catalog, &common.data_dir.join(REFERENCE_DIR))?;
    let mut has_archive = false;
    for topic in &catalog.topics {
        has_archive |= Archive::read(topic, &store).await?.is_some();
    }
    if let (false, Some(topic)) = (has_archive, catalog.topics.first()) {
        return Err(BatchError::NoArchive { topic: topic.name.clone(), folder: store.to_string() }.into());
    }
    // A running stream has folded what the archive said: it is stopped for a replay, and rebuilds
    // its open windows afterwards.
    let _lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let stream = Lease::take(&store, STREAM, &Holder::of_data_dir(&common.data_dir)?, Duration::ZERO).await?;
    let upkeep = upkeep::lease(&store).await;
    let replayed = match upkeep {
        Ok(upkeep) if flags.look_up_again => {
            upkeep.during(look_up_all_again(&catalog, &settings, &store, &lookups, &wanted)).await
        }
        Ok(upkeep) => upkeep.during(replay_all(&catalog, &settings, &store, &lookups, &wanted)).await,
        Err(error) => Err(error.into()),
    };
    stream.release().await;
    replayed
}

async fn replay_all(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    lookups: &Lookups,
    wanted: &LedgerFilter,
) -> anyhow::Result<()> {
    let mut unanswered = Vec::new();
    for topic in &catalog.topics {
        let now_ms = Utc::now().timestamp_millis();
        let lookups = TopicLookups::new(topic, lookups)?;
        let act = Act::of_command("reprocessar", topic.name.clone());
        let Replayed { counted, duplicate, refused, cut, unanswered: of_topic, .. } =
            match replay::replay(topic, settings, store, &lookups, wanted, now_ms).await {
                Ok(replayed) => replayed,
                Err(error) => {
                    // Batches before the one that failed may have been committed.
                    let error = anyhow::Error::from(error);
                    act.failed(format!("{error:#}")).record(store).await?;
                    return Err(error);
                }
            };
        if counted + duplicate > 0 {
            let before = json!({ "no_livro": counted + duplicate + refused });
            let after = json!({
                "contadas": counted, "duplicadas": duplicate, "recusadas": refused, "falhas": of_topic.rows(),
            });
            act.before(before.to_string()).after(after.to_string()).record(store).await?;
        }
        answer(&format!("{}: {}", topic.name, verdicts([counted, duplicate, refused].map(|rows| rows as u64))));
        unanswered.extend(without_answer(topic, &of_topic));
        if cut > 0 {
            answer(&format!(
                "{cut} of those refused cannot be fed again: they are larger than the topic allows, and only their beginning was kept"
            ));
        }
    }
    for topic in &catalog.topics {
        let of_files = ledger::refused_of_files(topic, store).await?;
        if of_files > 0 {
            answer(&format!(
                "{}: {} left: correct the file and import it again, which adds nothing twice",
                topic.name,
                match of_files {
                    1 => "1 refused row of files is".to_owned(),
                    _ => format!("{of_files} refused rows of files are"),
                }
            ));
        }
    }
    published_again(catalog, settings, store, unanswered).await
}

async fn look_up_all_again(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    lookups: &Lookups,
    wanted: &LedgerFilter,
) -> anyhow::Result<()> {
    let mut unanswered = Vec::new();
    for topic in catalog.topics.iter().filter(|topic| topic.has_lookups()) {
        let lookups = TopicLookups::new(topic, lookups)?;
        let act = Act::of_command("consultar_de_novo", topic.name.clone());
        let LookedUpAgain { rows, changed, unanswered: of_topic } =
            match look_up_again(topic, store, &lookups, wanted).await {
                Ok(done) => done,
                Err(error) => {
                    // Batches before the one that failed may have been committed.
                    let error = anyhow::Error::from(error);
                    act.failed(format!("{error:#}")).record(store).await?;
                    return Err(error);
                }
            };
        if changed > 0 {
            let after = json!({ "consultadas": rows, "alteradas": changed, "falhas": of_topic.rows() });
            act.after(after.to_string()).record(store).await?;
        }
        let have = if changed == 1 { "has" } else { "have" };
        answer(&format!(
            "{}: {} looked up, {changed} {have} other values now",
            topic.name,
            counted(rows as u64, "row")
        ));
        unanswered.extend(without_answer(topic, &of_topic));
        if History::read(topic, &Layout::of(store).history(topic)).await?.is_some() {
            answer(&format!(
                "{}: rows of files are left as they are: `vitral import replace` looks theirs up again",
                topic.name
            ));
        }
    }
    published_again(catalog, settings, store, unanswered).await
}

/// What has become of rows that were fed again.
fn verdicts([counted, duplicate, refused]: [u64; 3]) -> String {
    let count = if counted == 1 { "counts" } else { "count" };
    let duplicates = if duplicate == 1 { "a duplicate" } else { "duplicates" };
    format!("{counted} {count} now, {} {duplicates}, {} refused again", counted_are(duplicate), counted_are(refused))
}

/// What to say of rows that could not be looked up; none if all could.
fn without_answer(topic: &Topic, unanswered: &Unanswered) -> Option<String> {
    (!unanswered.is_empty()).then(|| format!("{}: {unanswered} could not be looked up", topic.name))
}

/// Publishes what has changed; an error if some rows could not be looked up.
async fn published_again(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    unanswered: Vec<String>,
) -> anyhow::Result<()> {
    let changed = replay::finish(catalog, settings, store).await?;
    answer(&format!("{} published again", counted(changed as u64, "metric")));
    if unanswered.is_empty() {
        return Ok(());
    }
    bail!(
        "{}; these rows keep what they had: once their system answers, `vitral ledger replay --look-up-again` fills them",
        unanswered.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_is_spoken_of_as_one() {
        assert_eq!(verdicts([1, 1, 1]), "1 counts now, 1 is a duplicate, 1 is refused again");
        assert_eq!(verdicts([0, 2, 3]), "0 count now, 2 are duplicates, 3 are refused again");
    }
}
