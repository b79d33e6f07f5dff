//! The warehouse in a database that speaks PostgreSQL's protocol, behind the ports
//! [`vitral_store::warehouse::Warehouse`] and [`vitral_store::warehouse::WarehouseReader`], and
//! look-ups in one, behind [`vitral_connect::Lookup`].
//!
//! Architecture invariant: only this crate knows the driver of PostgreSQL.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod database_url;
mod doctor;
mod lookup;
mod open;
mod own_schema;
mod postgres;
mod probe;
mod reader;
mod redshift;
mod sink;
mod sql;
mod tls;

pub use database_url::DatabaseUrl;
pub use doctor::examine;
pub use lookup::PostgresLookup;
pub use open::{OpenError, WarehouseConfig, open};
pub use postgres::PostgresWarehouse;
pub use probe::{ProbedDatabase, probe};
pub use reader::{NamedDatabase, SqlWarehouseReader};
pub use redshift::RedshiftWarehouse;
pub use sink::{PostgresSink, RedshiftSink, SqlSink};
pub use sql::DatabaseConfig;
