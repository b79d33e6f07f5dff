//! What an answer was made of, to be compared with what it would be made of now.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use vitral_catalog::{EngineTable, Name, Needs};

use crate::read_point::ReadPoint;
use crate::rollup::SumsVersion;

/// Where its tables are in memory: those that are committed, and what is not committed yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    committed: Places,
    provisional: Places,
}

/// They are kept from being reused by others, but not alive.
#[derive(Clone, Default)]
struct Places {
    places: Vec<usize>,
    _kept: Vec<Arc<dyn Any + Send + Sync>>,
}

impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").field(&self.places).finish()
    }
}

impl State {
    /// The state of what an answer is made of: the rows that its statement reads, and whether some
    /// of them are refused. It says nothing of what these rows were made of in turn: a metric may
    /// be the same though its topic has new rows.
    pub fn of(point: &ReadPoint, needs: &Needs) -> Self {
        let mut state = Self::of_rows_read(point, needs);
        let is_of_all_topics = needs.table(EngineTable::Ledger.name());
        for name in point.view.topics.keys().filter(|name| is_of_all_topics || needs.table(name)) {
            state.committed.flag(point.histories.is_read(name));
        }
        for name in &needs.names {
            let name = name_of(name);
            state.committed.flag(point.view.metrics.get(name).is_some_and(|metric| metric.failure.is_some()));
            state.committed.flag(point.view.keyed.get(name).is_some_and(|keyed| keyed.failure.is_some()));
        }
        for table in EngineTable::ALL.into_iter().filter(|table| needs.table(table.name())) {
            state.committed.flag(point.engine_tables.contains_key(&table));
            if let Some(rows) = point.engine_tables.get(&table) {
                state.committed.add(rows);
            }
        }
        state
    }

    /// The state of sums over a range: what changes elsewhere does not touch them.
    pub(crate) fn of_sums(SumsVersion { committed, provisional }: SumsVersion) -> Self {
        let of = |numbers: &[u64]| {
            let places = numbers.iter().map(|number| *number as usize).collect();
            Places { places, ..Places::default() }
        };
        Self { committed: of(&committed), provisional: of(&[provisional]) }
    }

    /// The state of the rows that a statement reads.
    pub fn of_rows_read(point: &ReadPoint, needs: &Needs) -> Self {
        let (mut committed, mut provisional) = (Places::default(), Places::default());
        let is_of_all_topics = needs.table(EngineTable::Ledger.name());
        for (name, view) in &point.view.topics {
            if is_of_all_topics || needs.table(name) {
                committed.add(&view.archive);
                view.tail.iter().for_each(|rows| provisional.add_rows(rows));
                if let Some(history) = point.histories.get(name) {
                    committed.add(history);
                }
            }
            committed.end();
            provisional.end();
        }
        for name in &needs.names {
            let name = name_of(name);
            if let Some(metric) = point.view.metrics.get(name) {
                committed.add(&metric.published);
                // One for each refresh in which something has changed.
                provisional.add(&metric.open);
            }
            if let Some(keyed) = point.view.keyed.get(name) {
                committed.add(&keyed.rows);
            }
            committed.end();
            provisional.end();
        }
        if needs.table(EngineTable::Reconciliation.name()) {
            committed.add_rows(&point.reconciliations);
        }
        if needs.table(EngineTable::Alerts.name()) {
            committed.add_rows(&point.alerts);
        }
        Self { committed, provisional }
    }

    /// Whether nothing was committed between the two.
    pub(super) fn is_of_same_commits(&self, other: &Self) -> bool {
        self.committed == other.committed
    }

    #[cfg(test)]
    pub(super) fn of_rows(committed: &RecordBatch, provisional: &[RecordBatch]) -> Self {
        let mut state = Self::default();
        state.committed.add_rows(committed);
        provisional.iter().for_each(|rows| state.provisional.add_rows(rows));
        state
    }
}

impl Places {
    fn add<T: ?Sized + Send + Sync + 'static>(&mut self, part: &Arc<T>) {
        self.places.push(Arc::as_ptr(part).cast::<()>() as usize);
        self._kept.push(Arc::new(Arc::downgrade(part)));
    }

    /// Batches that are the same share their columns.
    fn add_rows(&mut self, rows: &RecordBatch) {
        self.places.push(rows.num_rows());
        rows.columns().iter().for_each(|column| self.add(column));
    }

    fn flag(&mut self, is_set: bool) {
        self.places.push(usize::from(is_set));
    }

    /// After what one name stands for.
    fn end(&mut self) {
        self.places.push(usize::MAX);
    }
}

fn name_of(name: &Name) -> &str {
    let (Name::Table(name) | Name::Newest(name) | Name::Information(name)) = name;
    name
}
