//! What reads the tables of jobs: Delta tables, or the database that the configuration names.

use std::sync::Arc;

use vitral_catalog::Catalog;
use vitral_config::Config;
use vitral_connect_postgres::{DatabaseUrl, NamedDatabase, SqlWarehouseReader};
use vitral_query::Warehouse;
use vitral_store::Location;

/// The warehouse, to be read like everything else. Nothing is asked yet.
///
/// # Errors
/// The URL of a connection cannot be used.
pub fn reader(config: &Config, catalog: &Catalog, store: &Location) -> anyhow::Result<Warehouse> {
    let (warehouse, names) = (config.warehouse()?, &config.warehouse);
    let named = |connection: &Option<String>, url: Option<DatabaseUrl>| {
        Some(NamedDatabase { connection: connection.clone().unwrap_or_default(), url: url? })
    };
    let Some(primary) = named(&names.connection, warehouse.url) else { return Ok(Warehouse::stored(store)) };
    let replica = named(&names.replica_connection, warehouse.replica_url);
    let tables = catalog.job_tables.iter().map(|table| table.table.clone());
    let reader = SqlWarehouseReader::new(primary, replica, warehouse.pool_size, tables)?;
    Ok(Warehouse::new(Arc::new(reader)))
}
