//! What an answer was made of, to be compared with what it would be made of now.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use vitral_catalog::{EngineTable, Name, Needs};

use crate::read_point::ReadPoint;

/// Where its tables are in memory. They are kept from being reused by others, but not alive.
pub struct State {
    places: Vec<usize>,
    _kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.places).finish()
    }
}

impl State {
    /// The state of what a statement needs, at this moment.
    pub fn of(point: &ReadPoint, needs: &Needs) -> Self {
        let mut state = Self { places: Vec::new(), _kept: Vec::new() };
        for topic in &needs.topics {
            if let Some(view) = point.view.topics.get(topic) {
                state.add(&view.archive);
                view.tail.iter().for_each(|rows| state.add_rows(rows));
            }
            state.places.push(usize::MAX);
            if let Some(history) = point.histories.get(topic) {
                state.add(history);
            }
        }
        for name in &needs.names {
            let (Name::Table(name) | Name::Newest(name) | Name::Information(name)) = name;
            if let Some(metric) = point.view.metrics.get(name) {
                state.add(&metric.published);
                // One for each refresh in which something has changed.
                state.add(&metric.open);
            }
            if let Some(keyed) = point.view.keyed.get(name) {
                state.add(&keyed.rows);
            }
            state.places.push(usize::MAX);
        }
        state.add_rows(&point.reconciliations);
        state.add_rows(&point.alerts);
        state
    }

    /// The state of what a statement reads, and of nothing that its tables were made of: it stays
    /// the same when a metric's topic has new rows that have not changed the metric.
    pub fn of_rows_read(point: &ReadPoint, needs: &Needs) -> Self {
        let mut state = Self { places: Vec::new(), _kept: Vec::new() };
        let is_of_all_topics = needs.table(EngineTable::Ledger.name());
        for (name, view) in &point.view.topics {
            if is_of_all_topics || needs.table(name) {
                state.add(&view.archive);
                view.tail.iter().for_each(|rows| state.add_rows(rows));
                if let Some(history) = point.histories.get(name) {
                    state.add(history);
                }
            }
            state.places.push(usize::MAX);
        }
        for name in &needs.names {
            let (Name::Table(name) | Name::Newest(name) | Name::Information(name)) = name;
            if let Some(metric) = point.view.metrics.get(name) {
                state.add(&metric.published);
                state.add(&metric.open);
            }
            if let Some(keyed) = point.view.keyed.get(name) {
                state.add(&keyed.rows);
            }
            state.places.push(usize::MAX);
        }
        if needs.table(EngineTable::Reconciliation.name()) {
            state.add_rows(&point.reconciliations);
        }
        if needs.table(EngineTable::Alerts.name()) {
            state.add_rows(&point.alerts);
        }
        state
    }

    #[cfg(test)]
    pub(super) fn of_rows(rows: &RecordBatch) -> Self {
        let mut state = Self { places: Vec::new(), _kept: Vec::new() };
        state.add_rows(rows);
        state
    }

    fn add<T: ?Sized + Send + Sync + 'static>(&mut self, part: &Arc<T>) {
        self.places.push(Arc::as_ptr(part).cast::<()>() as usize);
        self._kept.push(Box::new(Arc::downgrade(part)));
    }

    /// Batches that are the same share their columns.
    fn add_rows(&mut self, rows: &RecordBatch) {
        self.places.push(rows.num_rows());
        rows.columns().iter().for_each(|column| self.add(column));
    }
}
