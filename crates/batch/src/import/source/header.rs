//! Which row is the header: exports put titles, periods and merged groups above it.

use std::collections::{HashMap, HashSet};

/// Rows that are searched for the header.
pub(super) const CANDIDATES: usize = 64;

/// Why a row is broken that repeats the header.
pub(in crate::import) const HEADER_AGAIN: &str = "the header again";

/// How well a row serves as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::import) enum Fit {
    No,
    /// What is needed is named, and nothing else: a title such as `Data;14/05/2025` is like that
    /// too.
    Barely,
    Well,
}

/// What knows headings.
pub(in crate::import) trait Headings {
    /// For each cell of a row what it would fill if the row were the header.
    fn fills(&self, row: &[String]) -> Vec<Option<String>>;

    fn fit(&self, row: &[String]) -> Fit;
}

/// The index of the header among the first rows of a file; without one that fits, of the first that
/// has the most cells, for the error that will say what it lacks.
pub(super) fn find(rows: &[Vec<String>], headings: &dyn Headings) -> Option<usize> {
    let mut barely = None;
    for (index, row) in rows.iter().enumerate() {
        match headings.fit(row) {
            Fit::Well => return Some(index),
            Fit::Barely => barely = barely.or(Some(index)),
            Fit::No => {}
        }
    }
    let cells = |row: &Vec<String>| row.iter().filter(|cell| !cell.is_empty()).count();
    let most = rows.iter().map(cells).max()?;
    barely.or_else(|| rows.iter().position(|row| cells(row) == most))
}

/// A heading as written, without surrounding blanks, and without the byte order mark of a file that
/// was appended to another.
pub(super) fn clean(cell: &str) -> &str {
    cell.trim().trim_start_matches('\u{feff}').trim()
}

/// Names that differ: what is named for the second time gets `_2`.
pub(in crate::import) fn distinct(header: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = header.iter().cloned().collect();
    // By name, the number that is tried next: a row of equal cells must not be tried from the
    // beginning for each.
    let mut next: HashMap<&str, u64> = HashMap::new();
    let named = header.iter().map(|name| {
        if name.is_empty() {
            return String::new();
        }
        let Some(number) = next.get_mut(name.as_str()) else {
            next.insert(name, 2);
            return name.clone();
        };
        loop {
            let free = format!("{name}_{number}");
            *number += 1;
            if taken.insert(free.clone()) {
                return free;
            }
        }
    });
    named.collect()
}

/// What is reported about lines above the header.
pub(super) fn above(line: i64, first: i64) -> Option<String> {
    (line > first).then(|| format!("the header is line {line}; what is above it is not read"))
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

    #[test]
    fn a_wide_row_of_equal_cells_is_named_at_once() {
        let names = distinct(&vec!["0".to_owned(); 100_000]);
        assert_eq!((names[0].as_str(), names[1].as_str(), names[99_999].as_str()), ("0", "0_2", "0_100000"));
    }
}
