//! One file for each command.

pub mod check;
pub mod demo;
pub mod ledger;
pub mod reconcile;
pub mod show_config;
pub mod simulate;
pub mod stream;
