//! The SQL endpoint: PostgreSQL's protocol over what can be read.
//!
//! Each statement is planned over the newest read point of its principal: live values are fresh to
//! the refresh, and what a principal may not read is not there. The protocol's messages, and what
//! clients look for in `pg_catalog`, come from `pgwire` and `datafusion-postgres`; handlers,
//! settings, cursors and the forms of values are here.
//!
//! Architecture invariant: nothing here writes, and nothing here decides who may read what: that is
//! the reader's, as for all fronts.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod activity;
mod answer;
mod arrivals;
mod bounded;
mod column_names;
mod command;
mod config;
mod connection;
mod copy;
mod dialect;
mod doing;
mod error;
mod list_items;
mod listing;
mod messages;
mod minutes;
mod numeric;
mod parameters;
mod prepared;
mod rows;
mod run;
mod scram;
mod serve;
mod server;
mod session;
mod settings;
mod startup;
mod tls;
mod types;
mod values;
mod wire;

pub use config::{SqlConfig, TlsFiles};
pub use serve::serve;
pub use server::SqlInputs;
