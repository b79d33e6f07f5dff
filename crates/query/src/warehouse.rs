//! Tables of the warehouse, like everything else that a statement reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vitral_catalog::names::plain;
use vitral_catalog::{Meaning, Name, Names, Needs};
use vitral_store::warehouse::{DeltaWarehouseReader, ReadFrom, WarehouseReader, WarehouseTables};
use vitral_store::{Layout, Location, StoreError};

use crate::error::QueryError;
use crate::read_point::ReadPoint;
use crate::warehouse_rows::WarehouseRows;

/// What reads the warehouse, for all fronts of a process; without anything, no table is made yet.
/// Copies are cheap.
#[derive(Debug, Clone, Default)]
pub struct Warehouse(Option<Arc<dyn WarehouseReader>>);

impl Warehouse {
    /// Read by this.
    pub fn new(reader: Arc<dyn WarehouseReader>) -> Self {
        Self(Some(reader))
    }

    /// That of a store: its Delta tables.
    pub fn stored(store: &Location) -> Self {
        Self::new(Arc::new(DeltaWarehouseReader::new(Layout::of(store).warehouse())))
    }

    /// The read point with the warehouse's tables that are needed, as they stand now. Those that
    /// are only listed are left out where they cannot be had.
    ///
    /// # Errors
    /// A table that is read has not been made yet, or cannot be read.
    pub async fn added_to(&self, point: ReadPoint, needs: &Needs, names: &Names) -> Result<ReadPoint, QueryError> {
        let needed: Vec<(&str, &str)> = needed(needs, names).collect();
        if needed.is_empty() {
            return Ok(point);
        }
        let wanted: BTreeSet<String> = needed.iter().map(|(id, _)| plain(id).to_owned()).collect();
        let asked = match &self.0 {
            Some(reader) => reader.tables(&wanted).await,
            None => Ok(WarehouseTables { from: ReadFrom::Primary, tables: BTreeMap::new() }),
        };
        let mut found = match asked {
            Ok(found) => found,
            Err(error) if needed.iter().all(|(id, _)| !needs.rows(id)) => {
                left_out("all of them", &error);
                return Ok(point);
            }
            Err(error) => return Err(error.into()),
        };
        let mut tables = BTreeMap::new();
        for (id, job) in needed {
            match found.tables.remove(plain(id)) {
                Some(Ok(rows)) => drop(tables.insert(id.to_owned(), rows)),
                Some(Err(error)) if needs.rows(id) => return Err(error.into()),
                Some(Err(error)) => left_out(id, &error),
                None if needs.rows(id) => {
                    return Err(QueryError::NotMade { table: id.to_owned(), job: job.to_owned() });
                }
                None => {}
            }
        }
        Ok(ReadPoint { warehouse: Arc::new(WarehouseRows { from: Some(found.from), tables }), ..point })
    }
}

/// Each needed table as the catalog calls it, and the job that writes it.
fn needed<'a>(needs: &'a Needs, names: &'a Names) -> impl Iterator<Item = (&'a str, &'a str)> {
    needs.names.iter().filter_map(|name| match name {
        Name::Table(id) => match names.get(id) {
            Some(Meaning::Warehouse { job }) => Some((id.as_str(), job.as_str())),
            _ => None,
        },
        Name::Newest(_) | Name::Information(_) => None,
    })
}

fn left_out(tables: &str, error: &StoreError) {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(tables, %error, source, "tables of the warehouse are not listed");
}
