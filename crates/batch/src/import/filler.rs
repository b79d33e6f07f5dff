//! Lines of reports that are not rows of the table and were not meant to be: totals, headings that
//! come again, titles. They are left out without being mistakes of the file.

use super::source::{HEADER_AGAIN, Kind, Row};
use super::wording::counted;

/// The words of a row of totals: reports put such rows, with a date too, among or behind those that
/// they sum up.
const TOTALS: [&str; 12] = [
    "total",
    "totais",
    "totals",
    "totales",
    "total geral",
    "total general",
    "grand total",
    "subtotal",
    "sub-total",
    "subtotais",
    "soma",
    "suma",
];
/// No title is longer, in bytes.
const TITLE_BYTES: usize = 120;

/// How many such lines a file has.
#[derive(Debug, Default)]
pub(super) struct Fillers {
    lines: u64,
    first: String,
}

impl Fillers {
    pub(super) fn add(&mut self, row: &Row) {
        if self.lines == 0 {
            self.first = row.place();
        }
        self.lines += 1;
    }

    /// What people should know of them.
    pub(super) fn note(&self) -> Option<String> {
        let (are, first) = match self.lines {
            0 => return None,
            1 => ("is a total, a heading or a title is", ""),
            _ => ("are totals, headings or titles are", "the first is "),
        };
        Some(format!("{} that {are} left out ({first}{})", counted(self.lines, "line"), self.first))
    }
}

/// The words that a row of totals begins with. No row of data begins with nothing but these.
pub(super) fn totals(row: &Row) -> Option<&str> {
    let first = first(row)?;
    // Most rows begin with a number.
    let may_be = first.starts_with(['t', 'T', 's', 'S', 'g', 'G']);
    let is_total = |first: &str| TOTALS.contains(&first.trim_end_matches([':', ' ', '=']).to_lowercase().as_str());
    (may_be && is_total(first)).then_some(first)
}

/// Whether a row that is refused was not meant to be one: it begins like a total, repeats the
/// header, or is a title, one text on a line of its own.
///
/// `lacks_needed` is whether the row has nothing where each row of the table has something.
pub(super) fn is_filler(row: &Row, lacks_needed: impl FnOnce() -> bool) -> bool {
    match row.broken.as_deref() {
        Some(why) => why == HEADER_AGAIN,
        // A product may be called that.
        None => totals(row).is_some() || ((begins_with_total(row) || is_title(row)) && lacks_needed()),
    }
}

fn first(row: &Row) -> Option<&str> {
    let first = row.cells.iter().flatten().next().filter(|cell| cell.kind == Kind::Written)?;
    Some(first.text.trim())
}

/// `Total do dia 14/05`, `Subtotal (1)`.
fn begins_with_total(row: &Row) -> bool {
    let Some(word) = first(row).and_then(|first| first.split([' ', ':', '(']).next()) else { return false };
    TOTALS.contains(&word.to_lowercase().as_str())
}

/// Some words in the first column and nothing else. A row that was cut off or is separated
/// otherwise is none.
fn is_title(row: &Row) -> bool {
    let mut filled = row.cells.iter().enumerate().filter_map(|(place, cell)| Some((place, cell.as_ref()?)));
    let (Some((0, cell)), None) = (filled.next(), filled.next()) else { return false };
    let text = cell.text.trim();
    cell.kind == Kind::Written
        && text.len() <= TITLE_BYTES
        && text.starts_with(char::is_alphabetic)
        && (text.contains(' ') || text.ends_with(':'))
        && !text.contains([';', ',', '|', '\t', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::source::Cell;

    fn row(cells: &[&str]) -> Row {
        let cells = cells.iter().map(|text| Cell::written((*text).to_owned())).collect();
        Row { sheet: None, line: 2, cells, broken: None, is_unended: false }
    }

    #[test]
    fn rows_of_totals_are_known_by_their_first_word() {
        for cells in [["TOTAL GERAL", "", "31/01/2025"], ["", "Total:", "3"], ["", "", "Subtotal"]] {
            assert!(totals(&row(&cells)).is_some(), "{cells:?}");
        }
        for cells in [["1", "Total", "3"], ["Total 90 creme", "1", "2"], ["Somas", "1", "2"], ["", "", ""]] {
            assert_eq!(totals(&row(&cells)), None, "{cells:?}");
        }
    }

    #[test]
    fn lines_of_reports_are_distinguished_from_rows_that_are_wrong() {
        for cells in [
            &["Total do dia", "", "3"][..],
            &["Subtotal (loja 1)", "2"],
            &["Vendas de junho"],
            &["Cliente:", "", ""],
            &["Gerado em 14/05/2025 10:00", ""],
        ] {
            assert!(is_filler(&row(cells), || true), "{cells:?}");
        }
        for cells in [
            &["3", "p3"][..],
            &["p3"],
            &["A1,camisa azul,1,10.50"],
            &["", "Vendas de junho"],
            &["camisa azul", "1"],
            &["Totalflex 20", "1"],
            &["14/05/2025 10:00"],
        ] {
            assert!(!is_filler(&row(cells), || true), "{cells:?}");
        }
        let broken = |why: &str| Row { broken: Some(why.to_owned()), ..row(&["Total do dia"]) };
        assert!(is_filler(&broken(HEADER_AGAIN), || false));
        assert!(!is_filler(&broken("a quote opens in it and never closes"), || true));
        assert!(!is_filler(&row(&["Total 90 creme", "1", "9.x"]), || false), "a product may be called that");
    }

    #[test]
    fn the_note_counts_the_lines_and_names_the_first() {
        let mut fillers = Fillers::default();
        assert_eq!(fillers.note(), None);
        fillers.add(&row(&["Total"]));
        assert_eq!(
            fillers.note().as_deref(),
            Some("1 line that is a total, a heading or a title is left out (line 2)")
        );
        fillers.add(&row(&["Total"]));
        let note = fillers.note().unwrap_or_default();
        assert!(note.starts_with("2 lines") && note.ends_with("are left out (the first is line 2)"), "{note}");
    }
}
