//! `vitral import list|undo|replace`.

use anyhow::{Context, bail};
use chrono::DateTime;
use chrono_tz::Tz;
use vitral_batch::import::records::{self, Record, short};
use vitral_batch::import::{Files, undo as take_back};
use vitral_store::Act;

use super::{Forms, Refused, TooManyRefused, World, counts, profile, progress, recorded, report};
use crate::cli::answer;

pub(super) async fn list(world: &World<'_>) -> anyhow::Result<()> {
    let zone = world.config.settings()?.time_zone;
    let records = records::list(&world.catalog, &world.store).await?;
    if records.is_empty() {
        answer(&format!("nothing was imported yet into {}", world.store));
    }
    for record in &records {
        let Record { table, topic, file, counted, duplicate, refused, .. } = record;
        let table = if table.is_empty() { topic } else { table };
        let period = record
            .period_micros
            .map(|(oldest, newest)| format!(", from {} to {}", day(oldest, zone), day(newest, zone)));
        let state = match &record.replaced_by {
            Some(by) => format!("{} by {}", record.state.words(), short(by)),
            None => record.state.words().to_owned(),
        };
        answer(&format!(
            "{}  {}  {state}  {table}  {counted} rows, {refused} refused, {} in already, {duplicate} duplicate{}  {file}",
            record.short_id(),
            at(record.at_micros, zone),
            record.known(),
            period.unwrap_or_default(),
        ));
    }
    Ok(())
}

pub(super) async fn undo(world: &World<'_>, id: &str) -> anyhow::Result<()> {
    // An id that names none changes nothing, and is no act.
    records::find(&world.catalog, &world.store, id).await?;
    let act = Act::of_command("desfazer_importacao", id);
    let undone = match take_back::undo(&world.catalog, &world.store, id).await {
        Ok(undone) => undone,
        Err(error) => {
            if let Err(unrecorded) = act.failed(&error).record(&world.store).await {
                tracing::warn!(error = %unrecorded, "the failed undo is not written to the audit trail");
            }
            return Err(error.into());
        }
    };
    let Record { id, file, counted, duplicate, refused, .. } = &undone.record;
    let before = [("contadas", *counted), ("duplicadas", *duplicate), ("recusadas", *refused)];
    let before = if undone.is_changed { before } else { before.map(|(name, _)| (name, 0)) };
    let after = before.map(|(name, _)| (name, 0));
    let act = Act { target: id.clone(), ..act }.before(counts(&before)).after(counts(&after));
    act.record(&world.store).await.context("the import is taken back, but not written to the audit trail")?;
    if undone.is_changed {
        answer(&format!("{}: {counted} rows of {file} are taken back, and {refused} refused ones", short(id)));
        answer("  the API leaves them out at once; jobs that run without dates compute their days again");
    } else {
        answer(&format!("{}: nothing of {file} is in any more", short(id)));
    }
    elsewhere(&undone.elsewhere);
    Ok(())
}

pub(super) async fn replace(
    world: &World<'_>,
    id: &str,
    file: &str,
    table: Option<&str>,
    forms: &Forms,
    refused: &Refused,
) -> anyhow::Result<()> {
    let record = records::find(&world.catalog, &world.store, id).await?;
    let table = match table {
        Some(table) => table,
        None if !record.table.is_empty() => record.table.as_str(),
        None => bail!("it is not known into which table {} was imported: say --table T", record.short_id()),
    };
    let mut files = Files::new(&[file.to_owned()], &world.config.store.options).await?;
    if files.len() != 1 {
        bail!("{file} holds {} files: an import is replaced by one", files.len());
    }
    let file = files.at_hand(0).await?;
    let mut tasks = profile::tasks(&world.catalog, forms, &file, table)?;
    // Of the tables that a profile fills only the one whose rows are replaced is meant.
    tasks.retain(|(of, _)| of == table);
    let ask = tasks.pop().map(|(_, ask)| ask).unwrap_or_default();
    let import = forms.import(world.config, &world.catalog, table, ask)?;
    if import.topic.name != record.topic {
        bail!("{} was imported into {}, and {table} is of {}", record.short_id(), record.topic, import.topic.name);
    }
    let before = [("contadas", record.counted), ("duplicadas", record.duplicate), ("recusadas", record.refused)];
    let act = Act::of_command("substituir_importacao", "");
    let outcome = import.replace(&record.id, &file, &world.store, progress(&file)).await;
    let imported = recorded(act, outcome, &file, Some(counts(&before)), world).await?;
    answer(&format!("{}: {} rows of {} are replaced", record.short_id(), record.counted, record.file));
    report::show(world, &import, &file.name, &imported).await?;
    elsewhere(&take_back::elsewhere(&world.catalog, &world.store, &record.id).await?);
    match refused.max_refused.unwrap_or_default().exceeded_by(&file.name, &imported) {
        None => Ok(()),
        Some(above) => Err(TooManyRefused(above).into()),
    }
}

/// Rows that a later import did not add because this one had them are out too.
fn elsewhere(others: &std::collections::BTreeMap<String, (u64, String)>) {
    for (id, (rows, file)) in others {
        answer(&format!(
            "  {file} (import {}) had {rows} of its rows, which were in already then: import it again to have those",
            short(id)
        ));
    }
}

fn at(micros: i64, zone: Tz) -> String {
    let time = DateTime::from_timestamp_micros(micros).map(|time| time.with_timezone(&zone));
    time.map(|time| time.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

fn day(micros: i64, zone: Tz) -> String {
    at(micros, zone).chars().take(10).collect()
}
