//! The warehouse in a database that speaks PostgreSQL's protocol, behind the port [`vitral_store::warehouse::Warehouse`].
//!
//! Architecture invariant: only this crate knows a database's driver.

mod postgres;
mod probe;
mod redshift;
mod sql;
mod tls;

pub use postgres::PostgresWarehouse;
pub use probe::{ProbedDatabase, probe};
pub use redshift::RedshiftWarehouse;
pub use sql::Connection;
