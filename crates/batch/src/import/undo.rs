//! `vitral import undo`: what an import has added is taken back.

use std::collections::{BTreeMap, BTreeSet};

use vitral_catalog::Catalog;
use vitral_store::{History, Layout, Location};

use super::records::{self, Record, Siblings, State};
use crate::error::BatchError;

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// As it was before.
    pub record: Record,
    /// False if none of its rows were left.
    pub is_changed: bool,
    /// Imports of the same file into other tables that were taken back with it, as they were
    /// before.
    pub along: Vec<Record>,
    /// Imports of the same file that stay.
    pub staying: Vec<Record>,
    /// Later imports whose files have rows of it too, which they found in already and did not add;
    /// how many, and their file.
    pub elsewhere: BTreeMap<String, (u64, String)>,
}

/// Takes back what was added by the import whose id begins like this, also in the other tables that
/// its profile filled from the file. Repeating it changes nothing.
pub async fn undo(catalog: &Catalog, store: &Location, id: &str) -> Result<Undone, BatchError> {
    let record = records::find(catalog, store, id).await?;
    let Siblings { along, others: staying } = records::siblings(catalog, store, &record).await?;
    let all: Vec<&Record> = std::iter::once(&record).chain(&along).collect();
    let topics: BTreeSet<&str> = all.iter().map(|record| record.topic.as_str()).collect();
    let mut is_changed = false;
    for name in topics {
        let Some(topic) = catalog.topic(name) else { return Err(BatchError::NoImport { id: id.to_owned() }) };
        let place = Layout::of(store).history(topic);
        if History::read(topic, &place).await?.is_none() {
            continue;
        }
        let ids: Vec<&str> =
            all.iter().filter(|record| record.topic == name).map(|record| record.id.as_str()).collect();
        // Opened for writing: one of an older version gains its columns.
        is_changed |= History::open(topic, &place).await?.take_back(&ids).await?;
    }
    let newest = records::newest(store).await?;
    let mut elsewhere_of = BTreeMap::new();
    for record in &all {
        if newest.get(&record.id).is_none_or(|newest| newest.state == State::Imported) {
            records::add(store, &Record { state: State::Undone, ..(*record).clone() }).await?;
        }
        elsewhere_of.extend(elsewhere(catalog, store, &record.id).await?);
    }
    Ok(Undone { is_changed, elsewhere: elsewhere_of, along, staying, record })
}

/// Imports that found rows of this one in already.
pub async fn elsewhere(
    catalog: &Catalog,
    store: &Location,
    id: &str,
) -> Result<BTreeMap<String, (u64, String)>, BatchError> {
    let others = records::list(catalog, store).await?.into_iter().filter(|other| other.id != id);
    let others = others.filter(|other| other.state == State::Imported);
    let with_rows = others.filter_map(|other| {
        let rows = other.known_of.get(id).copied().filter(|rows| *rows > 0)?;
        Some((other.id, (rows, other.file)))
    });
    Ok(with_rows.collect())
}
