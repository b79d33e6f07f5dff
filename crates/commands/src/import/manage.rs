//! `vitral import list|undo|replace`.

use anyhow::{Context, bail};
use chrono::DateTime;
use chrono_tz::Tz;
use vitral_batch::import::records::{self, Record, Siblings, short};
use vitral_batch::import::{Files, undo as take_back, wording};
use vitral_process::output::answer;
use vitral_process::output::terminal::one_line;
use vitral_store::Act;

use super::{Forms, Refused, TooManyRefused, World, counts, imports, profile, progress, recorded, report};

pub(super) async fn list(world: &World<'_>) -> anyhow::Result<()> {
    let zone = world.config.settings()?.time_zone;
    let records = records::list(&world.catalog, &world.store).await?;
    if records.is_empty() {
        answer(&format!("nothing has been imported into {} yet", world.store));
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
            "{}  {}  {state}  {table}  {}, {refused} refused, {} already imported, {duplicate} duplicate{}  {}",
            record.short_id(),
            at(record.at_micros, zone),
            wording::counted(*counted, "row"),
            record.known(),
            period.unwrap_or_default(),
            one_line(file)
        ));
    }
    Ok(())
}

pub(super) async fn undo(world: &World<'_>, id: &str) -> anyhow::Result<()> {
    // An unknown id changes nothing, so there is nothing to record.
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
    for record in std::iter::once(&undone.record).chain(&undone.along) {
        let Record { id, file, table, counted, duplicate, refused, .. } = record;
        let before = [("contadas", *counted), ("duplicadas", *duplicate), ("recusadas", *refused)];
        let before = if undone.is_changed { before } else { before.map(|(name, _)| (name, 0)) };
        let after = before.map(|(name, _)| (name, 0));
        let act = Act { target: id.clone(), ..Act::of_command("desfazer_importacao", "") };
        let act = act.before(counts(&before)).after(counts(&after));
        act.record(&world.store).await.context("the import is taken back, but not written to the audit trail")?;
        let of_table = if undone.along.is_empty() { String::new() } else { format!(", of {table}") };
        if undone.is_changed {
            let (rows, file) = (wording::counted(*counted, "row"), one_line(file));
            answer(&format!("{}: {rows} of {file} taken back{of_table}, and {refused} refused", short(id)));
        } else {
            answer(&format!("{}: nothing of {} is left to take back", short(id), one_line(file)));
        }
    }
    if undone.is_changed {
        answer("  the API leaves them out within seconds; jobs that run without dates recompute their days");
    }
    staying(&undone.staying);
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
        None => bail!("the table that {} was imported into is unknown: name it with --table T", record.short_id()),
    };
    let mut files = Files::new(&[file.to_owned()], &world.config.store.options).await?;
    if files.len() != 1 {
        bail!("{file} holds {}: an import is replaced by a single file", wording::counted(files.len() as u64, "file"));
    }
    let file = files.at_hand(0).await?;
    let tasks = profile::tasks(&world.catalog, forms, &file, table)?;
    let imports = imports(world, forms, &file, tasks)?;
    if let Some(import) = imports.iter().find(|import| import.table == table && import.topic.name != record.topic) {
        bail!("{} was imported into {}, but {table} is of {}", record.short_id(), record.topic, import.topic.name);
    }
    // What came along with the import from its file is replaced with it, table by table.
    let Siblings { along, others } = records::siblings(&world.catalog, &world.store, &record).await?;
    let mut staying_ones: Vec<Record> = others;
    let mut replaced: Vec<Option<Record>> = imports.iter().map(|_| None).collect();
    for sibling in along {
        match imports.iter().position(|import| import.table == sibling.table && import.table != table) {
            Some(place) => replaced[place] = Some(sibling),
            None => staying_ones.push(sibling),
        }
    }
    let (mut above, mut unanswered) = (Vec::new(), Vec::new());
    for (import, sibling) in imports.iter().zip(replaced) {
        let of = if import.table == table { Some(record.clone()) } else { sibling };
        let (outcome, before) = match &of {
            Some(of) => {
                let before = [("contadas", of.counted), ("duplicadas", of.duplicate), ("recusadas", of.refused)];
                let replaced = import.replace(&of.id, &file, &world.store, progress(&file)).await;
                (replaced, Some(counts(&before)))
            }
            None => (import.run(&file, &world.store, progress(&file)).await, None),
        };
        let act = Act::of_command(if of.is_some() { "substituir_importacao" } else { "importar" }, "");
        let imported = recorded(act, outcome, &file, before, world).await?;
        if let Some(of) = &of {
            let rows = wording::counted(of.counted, "row");
            answer(&format!("{}: {rows} of {} replaced", of.short_id(), one_line(&of.file)));
        }
        let name = one_line(&file.name);
        report::show(world, import, &name, &imported).await?;
        if let Some(of) = &of {
            elsewhere(&take_back::elsewhere(&world.catalog, &world.store, &of.id).await?);
        }
        above.extend(refused.max_refused.unwrap_or_default().exceeded_by(&name, &imported));
        unanswered.extend(report::without_answer(&name, &imported));
    }
    staying(&staying_ones);
    if !unanswered.is_empty() {
        bail!("{}", [unanswered, above].concat().join("\n"));
    }
    if above.is_empty() { Ok(()) } else { Err(TooManyRefused(above.join("\n")).into()) }
}

/// Imports of the same file that nothing was done to.
fn staying(records: &[Record]) {
    for record in records {
        answer(&format!(
            "  the rows of {} in {} stay, as import {}: name that import too to remove them",
            one_line(&record.file),
            record.table,
            record.short_id()
        ));
    }
}

/// Rows that a later import did not add because this one had them are out too.
fn elsewhere(others: &std::collections::BTreeMap<String, (u64, String)>) {
    for (id, (rows, file)) in others {
        answer(&format!(
            "  {} (import {}) had {rows} of its rows, which were already imported then: import it again to have those",
            one_line(file),
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
