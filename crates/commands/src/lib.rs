//! What the commands take, do and print, one file or folder for each. Those that serve until they
//! are stopped, `stream` and `demo`, are the binary's, as is how all of them end. Logging is set up
//! here, for all of them.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

pub mod alerts;
pub mod api;
mod archives;
pub mod args;
pub mod backfill;
pub mod batch;
pub mod check;
pub mod circles;
#[cfg(feature = "distributed")]
pub mod cluster;
pub mod doctor;
mod engine;
pub mod front;
pub mod import;
mod instant;
pub mod keys;
pub mod ledger;
mod length;
pub mod logging;
pub mod lookups;
pub mod notifiers;
pub mod query;
pub mod reconcile;
pub mod row_logs;
mod running_demo;
pub mod serve;
pub mod show_config;
pub mod simulate;
pub mod sinks;
pub mod trace;
pub mod warehouse;
