//! Look-ups and sinks in MongoDB, behind the feature `mongodb`.
//!
//! The driver's futures are never dropped half-way: each operation runs in a task of its own, of
//! which only a few run at once. Who gives up waits no longer; the operation ends by itself.
//!
//! Architecture invariant: nothing needs transactions, change streams or TTL indexes, so that what
//! speaks MongoDB's protocol without them works too. Commands that write are made in `commands`, as
//! documents.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

#[cfg(not(feature = "mongodb"))]
mod absent;
#[cfg(feature = "mongodb")]
mod commands;
#[cfg(feature = "mongodb")]
mod documents;
#[cfg(feature = "mongodb")]
mod error;
#[cfg(feature = "mongodb")]
mod lookup;
#[cfg(feature = "mongodb")]
mod server;
#[cfg(feature = "mongodb")]
mod settings;
#[cfg(feature = "mongodb")]
mod sink;
mod target;
#[cfg(feature = "mongodb")]
mod texts;

use vitral_connect::{Connection, ConnectionError, Lookup, Sink};
use vitral_schemas::lookup::LookupTable;

pub use target::SinkTarget;

/// Whether this build has the driver. Without it, nothing here can be opened.
pub const IS_BUILT_IN: bool = cfg!(feature = "mongodb");

/// Finds rows of a collection of the connection's database by `key_field`, the name that its
/// documents have for the table's key. Connects when it is first asked.
///
/// # Errors
/// The connection is not one of MongoDB, its settings cannot be used, or this build has no driver.
pub fn lookup(
    table: &LookupTable,
    collection: &str,
    key_field: &str,
    connection: &Connection,
) -> Result<Box<dyn Lookup>, ConnectionError> {
    #[cfg(feature = "mongodb")]
    {
        Ok(Box::new(lookup::MongoLookup::new(table, collection, key_field, connection)?))
    }
    #[cfg(not(feature = "mongodb"))]
    {
        let _ = (table, collection, key_field);
        Err(absent::error(connection))
    }
}

/// Writes rows into a collection of the connection's database. Connects when it is first asked.
///
/// # Errors
/// The connection is not one of MongoDB, its settings cannot be used, or this build has no driver.
pub fn sink(target: SinkTarget, connection: &Connection) -> Result<Box<dyn Sink>, ConnectionError> {
    #[cfg(feature = "mongodb")]
    {
        Ok(Box::new(sink::MongoSink::new(target, connection)?))
    }
    #[cfg(not(feature = "mongodb"))]
    {
        let _ = target;
        Err(absent::error(connection))
    }
}
