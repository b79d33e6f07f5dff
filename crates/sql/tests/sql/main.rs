//! The SQL endpoint as clients meet it: a server in this process, spoken to by `tokio-postgres`.

#![expect(clippy::err_expect, reason = "connections cannot be shown")]

mod access;
mod activity;
mod clients;
mod cursors;
mod dialect;
mod limits;
mod listings;
mod messages;
mod statements;
mod tls;
mod values;
mod warehouse;
mod world;
