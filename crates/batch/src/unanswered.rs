//! Rows that could not be looked up, by column.

use std::collections::BTreeMap;
use std::fmt;

use vitral_connect::LookedUp;
use vitral_schemas::topic::Topic;

use crate::import::wording::counted;

/// How many rows have no value in a looked-up column for want of an answer, by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unanswered(BTreeMap<String, u64>);

impl Unanswered {
    /// Rows of one column.
    pub fn of(column: impl Into<String>, rows: u64) -> Self {
        Self([(column.into(), rows)].into())
    }

    pub(crate) fn add_found(&mut self, topic: &Topic, found: &LookedUp) {
        for (column, counts) in found.counts().iter().filter(|(_, counts)| counts.failed > 0) {
            let Some(column) = topic.columns.get(*column) else { continue };
            *self.0.entry(column.name.clone()).or_default() += counts.failed;
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (column, rows) in &other.0 {
            *self.0.entry(column.clone()).or_default() += rows;
        }
    }

    /// Whether every row has its answer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The most rows of any column.
    pub fn rows(&self) -> u64 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(|(column, rows)| format!("{column} of {}", counted(*rows, "row")));
        f.write_str(&columns.collect::<Vec<_>>().join(", "))
    }
}
