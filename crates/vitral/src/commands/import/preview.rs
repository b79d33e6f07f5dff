//! What an import would do, on the terminal.

use anyhow::Context;
use arrow::util::pretty::pretty_format_batches;
use vitral_batch::import::Import;
use vitral_batch::import::preview::Preview;

use crate::cli::answer;

pub(super) fn show(import: &Import, file: &str, preview: &Preview) -> anyhow::Result<()> {
    answer(&format!("{file}, for {}:", import.table));
    let width = preview.columns.iter().map(|column| column.theirs.chars().count()).max().unwrap_or_default();
    for column in &preview.columns {
        let form = if column.form.is_empty() { String::new() } else { format!(" ({})", column.form) };
        let pad = " ".repeat(width - column.theirs.chars().count());
        answer(&format!("  {}{pad} -> {}{form}, first {:?}", column.theirs, column.ours, column.example));
    }
    answer(&format!("  currency {} where a row names none, time zone {}", import.currency, import.zone));
    if !preview.imported.unused.is_empty() {
        answer(&format!("  not used: {}", preview.imported.unused.join(", ")));
    }
    for note in &preview.imported.notes {
        answer(&format!("  {note}"));
    }
    if preview.rows.num_rows() > 0 {
        answer("  the first rows, as they are understood:");
        let shown = pretty_format_batches(std::slice::from_ref(&preview.rows)).context("the rows cannot be shown")?;
        answer(&shown.to_string());
    }
    Ok(())
}

/// After a look at the whole file: what would come of it.
pub(super) fn show_counts(file: &str, preview: &Preview) {
    let imported = &preview.imported;
    answer(&format!(
        "{file}: would import {} rows, refuse {}, and find {} in already; nothing was written",
        imported.accepted, imported.refused, imported.known
    ));
    for (reason, rows) in &imported.reasons {
        answer(&format!("  would refuse, {reason}: {rows} rows"));
        for row in imported.examples.iter().filter(|row| row.reason == *reason) {
            let sheet = row.sheet.as_ref().map(|sheet| format!("sheet {sheet}, ")).unwrap_or_default();
            answer(&format!("    {sheet}line {}: {}", row.line, row.detail));
        }
    }
}
