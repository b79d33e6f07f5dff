//! Look-up tables: where they are, and how long they are waited for.

use crate::diagnostic::Position;
use crate::topic::Column;

/// A table whose rows are found by key.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupTable {
    /// As the catalog calls it: `domain.name` if another domain has the plain name.
    pub name: String,
    /// Its columns, in the order of their declaration.
    pub columns: Vec<Column>,
    /// The column that tells its rows apart.
    pub key: String,
    /// Where its rows are.
    pub origin: LookupOrigin,
    /// How long an answer is believed, that there is no row included. 0 asks for every batch.
    pub cache_ms: i64,
    /// How long one attempt may take.
    pub timeout_ms: i64,
    /// How often a failed attempt is repeated.
    pub retries: usize,
    /// What a row gets when there is no answer.
    pub on_failure: OnFailure,
}

/// Where the rows of a look-up table are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupOrigin {
    /// A file below the data directory's `reference` folder.
    File {
        /// Relative to that folder.
        path: String,
    },
    /// A table or view of PostgreSQL.
    Postgres {
        /// How the database is reached.
        connection: NamedConnection,
        /// The table, with its schema if it is not in the search path.
        table: String,
    },
    /// A collection of MongoDB.
    MongoDb {
        /// How the database is reached.
        connection: NamedConnection,
        /// The collection.
        collection: String,
        /// What its documents call the table's key.
        key_field: String,
    },
    /// A service that answers by HTTP in JSON.
    Http {
        /// Where the service is.
        connection: NamedConnection,
        /// What is asked for: with `{key}` in it, a request for each key; else one for many keys.
        path: String,
    },
}

/// A connection of the configuration, and where the catalog names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedConnection {
    /// `NAME` of `[connections.NAME]`.
    pub name: String,
    /// The place of the name.
    pub position: Position,
}

/// What a row gets when a look-up fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Null.
    Null,
    /// What was known last of the key, however old; null if nothing was.
    Last,
}

impl LookupTable {
    /// The connection by which its rows are reached; none for a file.
    pub fn connection(&self) -> Option<&NamedConnection> {
        match &self.origin {
            LookupOrigin::File { .. } => None,
            LookupOrigin::Postgres { connection, .. }
            | LookupOrigin::MongoDb { connection, .. }
            | LookupOrigin::Http { connection, .. } => Some(connection),
        }
    }

    /// The path of its file below the reference folder; none for a table of another system.
    pub fn file(&self) -> Option<&str> {
        match &self.origin {
            LookupOrigin::File { path } => Some(path),
            LookupOrigin::Postgres { .. } | LookupOrigin::MongoDb { .. } | LookupOrigin::Http { .. } => None,
        }
    }

    /// Whether its system can tell all of its rows; others find rows by key alone.
    pub fn is_read_whole(&self) -> bool {
        !matches!(self.origin, LookupOrigin::Http { .. })
    }

    /// Its column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
