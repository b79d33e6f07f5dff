//! Maintenance of every stored table, whatever it holds.

use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// A stream that merges files at the same time causes conflicts.
const ATTEMPTS: usize = 5;
/// How deep tables are nested: `metrics/NAME/VERSION`.
const DEPTH: usize = 3;

/// What compaction did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Live files before the merge.
    pub files_before: usize,
    /// Live files after it.
    pub files_after: usize,
    /// Files that no reader could need any more, and that were deleted.
    pub deleted: usize,
}

/// Merges the small files of every table below `store` into large ones, and deletes files that no
/// reader can need any more. Safe while streams, jobs and readers run. A table that fails does not
/// stop the others.
pub async fn compact(store: &Location) -> Result<Vec<(String, Result<Compacted, StoreError>)>, StoreError> {
    let mut compacted = Vec::new();
    for (name, location) in tables(store).await? {
        let mut attempt = 1;
        let outcome = loop {
            match one(&name, &location).await {
                Err(error) if attempt < ATTEMPTS && error.is_conflict() => {
                    tracing::debug!(table = name, attempt, %error, "not compacted; trying again");
                    attempt += 1;
                }
                outcome => break outcome,
            }
        };
        // Deleted in the meantime: nothing is left to do.
        if let Some(outcome) = outcome.transpose() {
            compacted.push((name, outcome));
        }
    }
    Ok(compacted)
}

async fn one(name: &str, location: &Location) -> Result<Option<Compacted>, StoreError> {
    let Some(mut table) = Table::read(name, location).await? else { return Ok(None) };
    let files_before = table.file_count()?;
    table.compact_wholly().await?;
    let deleted = table.vacuum().await? + table.delete_unnamed_files().await?;
    Ok(Some(Compacted { files_before, files_after: table.file_count()?, deleted }))
}

/// Every folder that is a table.
async fn tables(store: &Location) -> Result<Vec<(String, Location)>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), store.clone(), 0)];
    while let Some((name, location, depth)) = folders.pop() {
        let inner = location.folders().await?;
        if inner.iter().any(|folder| folder == "_delta_log") {
            found.push((name, location));
        } else if depth < DEPTH {
            for folder in inner {
                let path = if name.is_empty() { folder.clone() } else { format!("{name}/{folder}") };
                folders.push((path, location.join(&folder), depth + 1));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
