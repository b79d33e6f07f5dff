//! What an import says when it is done.

use anyhow::Context;
use arrow::util::pretty::pretty_format_batches;
use chrono::DateTime;
use chrono_tz::Tz;
use vitral_batch::import::records::short;
use vitral_batch::import::{Changed, Import, Imported, summary};

use super::World;
use crate::cli::answer;

pub(super) async fn show(world: &World<'_>, import: &Import, file: &str, imported: &Imported) -> anyhow::Result<()> {
    let Imported { id, accepted, duplicate, refused, known, unused, notes, examples, .. } = imported;
    let mut counts = format!("{accepted} rows imported, {refused} refused, {known} in already");
    if *duplicate > 0 {
        counts = format!("{counts}, {duplicate} with the event id of another row");
    }
    answer(&format!("{file}: {counts} (import {})", short(id)));
    if !unused.is_empty() {
        answer(&format!("  not used: {}", unused.join(", ")));
    }
    for note in notes {
        answer(&format!("  {note}"));
    }
    for (reason, rows) in &imported.reasons {
        answer(&format!("  refused, {reason}: {rows} rows"));
        let of_reason = || examples.iter().filter(|row| row.reason == *reason);
        for row in of_reason() {
            let sheet = row.sheet.as_ref().map(|sheet| format!("sheet {sheet}, ")).unwrap_or_default();
            answer(&format!("    {sheet}line {}: {}", row.line, row.detail));
        }
        if *rows > of_reason().count() as u64 {
            answer("    ... all of them are in the ledger: `vitral ledger list`");
        }
    }
    in_already(imported, file);
    changed(imported, file);
    if *accepted == 0 {
        return Ok(());
    }
    if let Some((oldest, newest)) = imported.period_micros {
        answer(&format!("  from {} to {}", local(oldest, import.zone), local(newest, import.zone)));
    }
    if let Some(sums) = summary::of_import(&world.catalog, &import.topic, &import.table, &world.store, id).await? {
        let shown = |batches| pretty_format_batches(batches).context("the sums cannot be shown");
        answer("  all rows that this import has added:");
        answer(&shown(&sums.all)?.to_string());
        if !sums.top.is_empty() {
            answer("  the largest of them:");
            answer(&shown(&sums.top)?.to_string());
        }
    }
    answer("  compare this with your own report of the same time; `vitral import undo` takes an import back");
    answer(&format!(
        "  the page shows it within seconds where `vitral demo` or `vitral stream` runs: http://{}/",
        world.config.api.listen
    ));
    Ok(())
}

fn in_already(imported: &Imported, file: &str) {
    if imported.known == 0 {
        return;
    }
    if let Some(rows) = imported.known_of.get("") {
        answer(&format!("  in already: {rows} rows that the stream has counted"));
    }
    if imported.differing > 0 {
        answer(&format!(
            "  of the rows that are in, {} have other cells in this file; what is in was left as it is",
            imported.differing
        ));
    }
    for other in &imported.understood_otherwise {
        answer(&format!(
            "  rows of this file are in by import {0}, which understood its columns, numbers or times in another way; to have them as now: \
             `vitral import replace {0} {file}` with the same flags",
            short(other)
        ));
    }
}

/// What the file says otherwise than what is in: it may be newer.
fn changed(imported: &Imported, file: &str) {
    for Changed { import, amounts, added, left_out, missing, examples } in &imported.changed {
        let import = short(import);
        if *amounts > 0 {
            answer(&format!(
                "  warning: {amounts} rows have other amounts here than import {import} has, which stay as they are"
            ));
        }
        if *added > 0 {
            answer(&format!(
                "  warning: {added} rows were added though import {import} has rows of the same order, product and time; if they are the same \
                 sales, they count twice now"
            ));
        }
        if *left_out > 0 {
            answer(&format!(
                "  warning: {left_out} rows that import {import} has are left out of this file now, as where an order was cancelled; they \
                 still count"
            ));
        }
        for example in examples {
            answer(&format!("    {example}"));
        }
        answer(&format!("    `vitral import replace {import} {file}` takes what this file says"));
        if *missing > 0 {
            answer(&format!(
                "    but {missing} rows of import {import} are not in this file, and would go: export one that has them too"
            ));
        }
    }
}

fn local(micros: i64, zone: Tz) -> String {
    let time = DateTime::from_timestamp_micros(micros).map(|time| time.with_timezone(&zone));
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S %:z").to_string()).unwrap_or_default()
}
