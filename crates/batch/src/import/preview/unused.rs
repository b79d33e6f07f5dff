//! What columns hold that an import does not use. A column of few values may say which rows are not
//! sales: its values are shown.

use std::collections::BTreeMap;

use crate::import::source::Row;

/// Columns with more values than this are names or texts, not kinds.
const VALUES: usize = 6;
/// In characters; longer values are texts.
const VALUE_LENGTH: usize = 24;

/// An unused column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its name in the file.
    pub name: String,
    /// Its values and how many rows have each, the most frequent first; none if they are too many,
    /// too long, or all alike.
    pub values: Vec<(String, u64)>,
}

/// Counts the values of unused columns, row by row.
pub(super) struct Counter {
    columns: Vec<Counted>,
}

struct Counted {
    /// Its place among the file's columns.
    place: usize,
    name: String,
    /// By value; none once there are too many, or one is too long.
    counts: Option<BTreeMap<String, u64>>,
}

impl Counter {
    /// `unused` are names in `header`.
    pub(super) fn new(header: &[String], unused: &[String]) -> Self {
        let place = |name: &String| header.iter().position(|heading| heading == name);
        let columns = unused.iter().filter_map(|name| {
            Some(Counted { place: place(name)?, name: name.clone(), counts: Some(BTreeMap::new()) })
        });
        Self { columns: columns.collect() }
    }

    pub(super) fn count(&mut self, rows: &[Row]) {
        for Counted { place, counts, .. } in &mut self.columns {
            for text in rows.iter().filter_map(|row| Some(row.cells.get(*place)?.as_ref()?.text.trim())) {
                let Some(known) = counts else { break };
                let is_new = !known.contains_key(text);
                if is_new && (known.len() == VALUES || text.chars().count() > VALUE_LENGTH) {
                    *counts = None;
                } else {
                    *known.entry(text.to_owned()).or_default() += 1;
                }
            }
        }
    }

    pub(super) fn end(self) -> Vec<Unused> {
        let end = |Counted { name, counts, .. }: Counted| {
            let mut values: Vec<_> = counts.unwrap_or_default().into_iter().collect();
            values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            // One value says nothing of a row, nor does one that is another in each.
            let is_kind = values.len() > 1 && values.iter().any(|(_, count)| *count > 1);
            Unused { name, values: if is_kind { values } else { Vec::new() } }
        };
        self.columns.into_iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::source::{Cell, Kind};

    fn counted(cells: &[&str]) -> Vec<(String, u64)> {
        let name = "Situação".to_owned();
        let mut counter = Counter::new(&["Data".to_owned(), name.clone()], &[name]);
        let rows: Vec<Row> = cells
            .iter()
            .map(|text| Cell { text: (*text).to_owned(), kind: Kind::Written, sign: None })
            .map(|cell| Row { sheet: None, line: 2, cells: vec![None, Some(cell)], broken: None, is_unended: false })
            .collect();
        for rows in rows.chunks(2) {
            counter.count(rows);
        }
        counter.end().remove(0).values
    }

    #[test]
    fn kinds_of_rows_are_counted_and_other_columns_are_not() {
        let kinds = counted(&["Pago", "Cancelado", " Pago", "Pago"]);
        assert_eq!(kinds, [("Pago".to_owned(), 3), ("Cancelado".to_owned(), 1)]);
        assert!(counted(&["Pago", "Pago"]).is_empty(), "one value");
        assert!(counted(&["a", "b", "c"]).is_empty(), "another in each row");
        assert!(counted(&["a", "b", "c", "d", "e", "f", "g", "a"]).is_empty(), "too many");
        assert!(counted(&["a", "a", "uma observação longa sobre a entrega"]).is_empty(), "texts");
    }
}
