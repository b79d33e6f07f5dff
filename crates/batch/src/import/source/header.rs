//! Which row is the header: exports put titles, periods and merged groups above it.

use std::collections::BTreeSet;

/// Rows that are looked at to find the header.
pub(super) const CANDIDATES: usize = 64;

/// How well a row serves as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::import) enum Fit {
    No,
    /// What is needed is named, and nothing else: a title such as `Data;14/05/2025` is like that too.
    Barely,
    Well,
}

/// What knows headings.
pub(in crate::import) trait Headings {
    /// For each cell of a row what it would fill if the row were the header.
    fn fills(&self, row: &[String]) -> Vec<Option<String>>;

    fn fit(&self, row: &[String]) -> Fit;
}

/// The index of the header among the first rows of a file; without one that fits, of the first that has the most cells, for the error
/// that will say what it lacks.
pub(super) fn find(rows: &[Vec<String>], headings: &dyn Headings) -> Option<usize> {
    let fits: Vec<Fit> = rows.iter().map(|row| headings.fit(row)).collect();
    let first = |wanted: Fit| fits.iter().position(|fit| *fit == wanted);
    let cells = |row: &Vec<String>| row.iter().filter(|cell| !cell.is_empty()).count();
    let most = rows.iter().map(cells).max()?;
    first(Fit::Well).or_else(|| first(Fit::Barely)).or_else(|| rows.iter().position(|row| cells(row) == most))
}

/// A heading as it stands, without blanks around it and without the byte order mark of a file that was put behind another.
pub(super) fn clean(cell: &str) -> &str {
    cell.trim().trim_start_matches('\u{feff}').trim()
}

/// Names that differ: what is named for the second time gets `_2`.
pub(in crate::import) fn distinct(header: &[String]) -> Vec<String> {
    let mut taken: BTreeSet<String> = header.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    let named = header.iter().map(|name| {
        if name.is_empty() || seen.insert(name.clone()) {
            return name.clone();
        }
        let free = (2..).map(|number| format!("{name}_{number}")).find(|name| !taken.contains(name));
        let free = free.unwrap_or_default();
        taken.insert(free.clone());
        free
    });
    named.collect()
}

/// What people are told about lines that stand above the header.
pub(super) fn above(line: i64, first: i64) -> Option<String> {
    (line > first).then(|| format!("the header is line {line}; what stands above it is not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(row: &[&str]) -> Vec<String> {
        row.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_heading_that_occurs_twice_has_two_names() {
        let header = texts(&["Valor", "Data", "Valor", "", "", "Valor_2", "Valor"]);
        assert_eq!(distinct(&header), ["Valor", "Data", "Valor_3", "", "", "Valor_2", "Valor_4"]);
    }
}
