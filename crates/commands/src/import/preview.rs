//! What an import would do, on the terminal.

use vitral_batch::import::Import;
use vitral_batch::import::preview::Preview;
use vitral_batch::import::wording::{counted, listed};
use vitral_process::output::answer;
use vitral_process::output::terminal::{one_line, table};

use super::report::{twice, without_rows};

pub(super) fn show(import: &Import, file: &str, preview: &Preview) -> anyhow::Result<()> {
    answer(&format!("{file}, for {}:", import.table));
    let width = preview.columns.iter().map(|column| column.theirs.chars().count()).max().unwrap_or_default();
    for column in &preview.columns {
        let form = if column.form.is_empty() { String::new() } else { format!(" ({})", column.form) };
        let pad = " ".repeat(width - column.theirs.chars().count());
        let theirs = one_line(&column.theirs);
        answer(&format!("  {theirs}{pad} -> {}{form}, first {:?}", column.ours, column.example));
    }
    answer(&format!("  currency {} where a row names none, time zone {}", import.currency, import.zone));
    if !preview.unused.is_empty() {
        let shown = preview.unused.iter().map(|unused| {
            let values = unused.values.iter().map(|(value, rows)| format!("{value} {rows}"));
            let values = values.collect::<Vec<_>>().join(", ");
            if values.is_empty() { unused.name.clone() } else { format!("{} ({values})", unused.name) }
        });
        answer(&format!("  not used: {}", one_line(&listed(shown))));
        // Of the first rows alone it may be no more than chance.
        if preview.is_whole && preview.unused.iter().any(|unused| !unused.values.is_empty()) {
            answer("  if one of their values says that a row does not count, leave such rows out with --where");
        }
    }
    for note in &preview.imported.notes {
        answer(&format!("  {}", one_line(note)));
    }
    if preview.rows.num_rows() > 0 {
        answer("  the first rows, as they are understood:");
        answer(&table(std::slice::from_ref(&preview.rows))?);
    }
    Ok(())
}

/// After a look at the whole file: what would come of it.
pub(super) fn show_counts(file: &str, import: &Import, preview: &Preview) {
    let imported = &preview.imported;
    if imported.rows() == imported.fillers {
        answer(&format!("{file}: {}", without_rows(import)));
        return;
    }
    answer(&format!(
        "{file}: would import {}, refuse {}, and leave {} already imported; nothing was written",
        counted(imported.accepted, "row"),
        imported.mistaken(),
        imported.known
    ));
    for (reason, rows) in &imported.reasons {
        answer(&format!("  would refuse, {reason}: {}", counted(*rows, "row")));
        for row in imported.examples.iter().filter(|row| row.reason == *reason) {
            let sheet = row.sheet.as_ref().map(|sheet| format!("sheet {sheet}, ")).unwrap_or_default();
            answer(&format!("    {}line {}: {}", one_line(&sheet), row.line, one_line(&row.detail)));
        }
    }
    twice(imported, "would count twice");
}
