//! The SQL endpoint as clients meet it: a server in this process, spoken to by `tokio-postgres`.

mod access;
mod clients;
mod cursors;
mod dialect;
mod limits;
mod listings;
mod statements;
mod tls;
mod values;
mod warehouse;
mod world;
