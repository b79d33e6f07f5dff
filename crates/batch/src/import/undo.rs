//! `vitral import undo`: what an import has added is taken back.

use std::collections::BTreeMap;

use vitral_catalog::Catalog;
use vitral_store::{History, Location};

use super::records::{self, Record, State};
use crate::error::BatchError;

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// As it was before.
    pub record: Record,
    /// False if there was nothing of it any more.
    pub is_changed: bool,
    /// Later imports whose files have rows of it too, which they found in already and did not add; how many, and their file.
    pub elsewhere: BTreeMap<String, (u64, String)>,
}

/// Takes back what the import whose id begins so has added. Repeated it changes nothing.
pub async fn undo(catalog: &Catalog, store: &Location, id: &str) -> Result<Undone, BatchError> {
    let record = records::find(catalog, store, id).await?;
    let Some(topic) = catalog.topic(&record.topic) else {
        return Err(BatchError::NoImport { id: id.to_owned() });
    };
    let is_changed = match History::read(topic, &store.join("history").join(&topic.name)).await? {
        None => false,
        Some(_) => {
            // Opened for writing: one of an older version gains its columns.
            let mut history = History::open(topic, &store.join("history").join(&topic.name)).await?;
            history.take_back(&record.id).await?
        }
    };
    let newest = records::newest(store).await?;
    if newest.get(&record.id).is_none_or(|newest| newest.state == State::Imported) {
        records::add(store, &Record { state: State::Undone, ..record.clone() }).await?;
    }
    Ok(Undone { is_changed, elsewhere: elsewhere(catalog, store, &record.id).await?, record })
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
