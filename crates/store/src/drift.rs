//! Columns of a topic that are stored otherwise than they are declared.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Schema;
use vitral_schemas::topic::Topic;

use crate::archive;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::table::{Table, type_words};

/// What is stored of a topic under other columns than it declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Columns that are stored and not declared any more: they are kept, and new rows have null in
    /// them.
    pub kept: BTreeSet<String>,
    /// Columns that are not declared any more either, and cannot be null: new rows would need a
    /// value.
    pub needed: BTreeSet<String>,
    /// Columns of another type, with the one that is stored and the one that is declared, as SQL
    /// calls them.
    pub retyped: BTreeMap<String, (String, String)>,
}

impl Drift {
    /// Compares what a topic declares with its archive, hot and cold, and with its history. Reads
    /// what the tables say of themselves alone, and makes nothing where nothing is.
    ///
    /// # Errors
    /// A table is there and cannot be opened.
    pub async fn of(topic: &Topic, store: &Location) -> Result<Self, StoreError> {
        let mut drift = Self::default();
        for place in archive::places(store, topic) {
            drift.compare(&place, topic, &topic.archive_schema()).await?;
        }
        drift.compare(&Layout::of(store).history(topic), topic, &topic.history_schema()).await?;
        Ok(drift)
    }

    async fn compare(&mut self, place: &Location, topic: &Topic, declared: &Schema) -> Result<(), StoreError> {
        let Some(table) = Table::read(&topic.name, place).await? else { return Ok(()) };
        for stored in table.stored_schema()?.fields() {
            let name = stored.name();
            match declared.field_with_name(name) {
                Ok(wanted) if wanted.data_type() == stored.data_type() => {}
                Ok(wanted) => {
                    let types = (type_words(stored.data_type()), type_words(wanted.data_type()));
                    self.retyped.insert(name.clone(), types);
                }
                Err(_) if stored.is_nullable() => drop(self.kept.insert(name.clone())),
                Err(_) => drop(self.needed.insert(name.clone())),
            }
        }
        Ok(())
    }
}
