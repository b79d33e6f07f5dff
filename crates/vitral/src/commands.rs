//! One file for each command.

pub mod backfill;
pub mod batch;
pub mod check;
#[cfg(feature = "distributed")]
pub mod cluster;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod import;
mod instant;
pub mod ledger;
pub mod query;
pub mod reconcile;
pub mod show_config;
pub mod simulate;
pub mod stream;
