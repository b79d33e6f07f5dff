//! What an import says when it is done.

use chrono::DateTime;
use chrono_tz::Tz;
use vitral_batch::import::records::short;
use vitral_batch::import::wording::{counted, listed};
use vitral_batch::import::{Changed, Import, ImportReport, Twice, summary};
use vitral_process::output::answer;
use vitral_process::output::terminal::{one_line, table};

use super::World;
use crate::running_demo::RunningDemo;

pub(super) async fn show(
    world: &World<'_>,
    import: &Import,
    file: &str,
    imported: &ImportReport,
) -> anyhow::Result<()> {
    let ImportReport { id, accepted, duplicate, known, unused, notes, examples, .. } = imported;
    let refused = imported.mistaken();
    let mut counts = format!("{} imported, {refused} refused, {known} already imported", counted(*accepted, "row"));
    if *duplicate > 0 {
        counts = format!("{counts}, {duplicate} with the event id of another row");
    }
    answer(&format!("{file}: {counts} (import {})", short(id)));
    if imported.rows() == imported.fillers {
        answer(&format!("  {}", without_rows(import)));
    }
    if !unused.is_empty() {
        answer(&format!("  not used: {}", one_line(&listed(unused))));
    }
    for note in notes {
        answer(&format!("  {}", one_line(note)));
    }
    for (reason, rows) in &imported.reasons {
        answer(&format!("  refused, {reason}: {}", counted(*rows, "row")));
        let of_reason = || examples.iter().filter(|row| row.reason == *reason);
        for row in of_reason() {
            let sheet = row.sheet.as_ref().map(|sheet| format!("sheet {sheet}, ")).unwrap_or_default();
            answer(&format!("    {}line {}: {}", one_line(&sheet), row.line, one_line(&row.detail)));
        }
        if *rows > of_reason().count() as u64 {
            answer("    ... all of them are in the ledger: `vitral ledger list`");
        }
    }
    already_imported(imported, file);
    changed(imported, file);
    twice(imported, "count twice now");
    taken_back(imported);
    if *accepted == 0 {
        return Ok(());
    }
    if let Some((oldest, newest)) = imported.period_micros {
        answer(&format!("  from {} to {}", local(oldest, import.zone), local(newest, import.zone)));
    }
    if let Some(sums) = summary::of_import(&world.catalog, &import.topic, &import.table, &world.store, id).await? {
        answer("  all rows that this import has added:");
        answer(&table(&sums.all)?);
        if !sums.top.is_empty() {
            answer("  the largest of them:");
            answer(&table(&sums.top)?);
        }
    }
    answer(&format!(
        "  compare this with your own report of the same time; `vitral import undo {}` takes this import back",
        short(id)
    ));
    let demo = RunningDemo::of(world.data_dir).await;
    let listen = demo.map_or_else(|| world.config.api.listen.clone(), |demo| demo.api().to_string());
    answer(&format!(
        "  the page shows it within seconds where `vitral demo` or `vitral stream` runs: http://{listen}/"
    ));
    Ok(())
}

/// What to say of rows that are in and could not be looked up; none if all could.
pub(super) fn without_answer(file: &str, imported: &ImportReport) -> Option<String> {
    let ImportReport { id, unanswered, .. } = imported;
    (!unanswered.is_empty()).then(|| {
        format!(
            "{file}: imported, but {unanswered} could not be looked up: once their system answers, `vitral import replace {} {file}` with the \
             same flags fills them",
            short(id)
        )
    })
}

/// What to say of a file from which no row has come.
pub(super) fn without_rows(import: &Import) -> &'static str {
    if import.ask.is_empty() {
        "the file has a header and no rows below it: there is nothing to import"
    } else {
        "no row of the file is left to import"
    }
}

fn already_imported(imported: &ImportReport, file: &str) {
    if imported.known == 0 {
        return;
    }
    if let Some(rows) = imported.known_of.get("") {
        answer(&format!("  already imported: {} that the stream has counted", counted(*rows, "row")));
    }
    if imported.differing > 0 {
        answer(&format!(
            "  of the rows already imported, {} with different cells in this file; what was imported is left as it is",
            imported.differing
        ));
    }
    for other in &imported.understood_otherwise {
        answer(&format!(
            "  rows of this file came with import {0}, which understood its columns, numbers or times differently; to import them as now: \
             `vitral import replace {0} {file}` with the same flags",
            short(other)
        ));
    }
}

/// What the file says otherwise than what is in: it may be newer.
fn changed(imported: &ImportReport, file: &str) {
    for Changed { import, amounts, added, left_out, missing, examples } in &imported.changed {
        let import = short(import);
        if *amounts > 0 {
            answer(&format!(
                "  warning: {} with different amounts here than in import {import}, which stay as they are",
                counted(*amounts, "row")
            ));
        }
        if *added > 0 {
            answer(&format!(
                "  warning: {} added though import {import} has rows of the same order, product and time; if they are the same sales, they count \
                 twice now",
                counted(*added, "row")
            ));
        }
        if *left_out > 0 {
            answer(&format!(
                "  warning: {} of import {import} missing from this file, for example because an order was cancelled; what was imported still counts",
                counted(*left_out, "row")
            ));
        }
        for example in examples {
            answer(&format!("    {}", one_line(example)));
        }
        answer(&format!("    `vitral import replace {import} {file}` uses what this file says"));
        if *missing > 0 {
            answer(&format!(
                "    but {} of import {import} not in this file would be deleted: export one that has them too",
                counted(*missing, "row")
            ));
        }
    }
}

/// What comes in and means the same as what was in: only its cells, or its having no event id, say
/// otherwise.
pub(super) fn twice(imported: &ImportReport, count: &str) {
    for (import, Twice { rows, examples }) in &imported.twice {
        let rows = counted(*rows, "row");
        if import.is_empty() {
            answer(&format!(
                "  warning: {rows} with the order, product, time and amount of rows that the stream has counted, which {count}"
            ));
        } else {
            answer(&format!(
                "  warning: {rows} with the order, product, time and amount of rows of import {}, written differently, which {count}",
                short(import)
            ));
        }
        for example in examples {
            answer(&format!("    {}", one_line(example)));
        }
    }
}

/// How rows that count twice are taken out again.
fn taken_back(imported: &ImportReport) {
    let id = short(&imported.id);
    for import in imported.twice.keys() {
        match import.as_str() {
            "" => answer(&format!("    `vitral import undo {id}` takes this file back")),
            import => answer(&format!(
                "    `vitral import undo {id}` takes this file back, `vitral import undo {}` the other",
                short(import)
            )),
        }
    }
}

fn local(micros: i64, zone: Tz) -> String {
    let time = DateTime::from_timestamp_micros(micros).map(|time| time.with_timezone(&zone));
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S %:z").to_string()).unwrap_or_default()
}
