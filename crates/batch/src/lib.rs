//! Work over history: imports, jobs of the warehouse, checks of quality, reconciliation.
//!
//! Architecture invariant: nothing here shares state with the stream; they meet in the stored
//! tables.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod backfill;
pub mod checks;
#[cfg(feature = "distributed")]
pub mod cluster;
mod engine;
mod error;
pub mod import;
pub mod jobs;
pub mod ledger;
mod parallelism;
pub mod planning;
pub mod reconcile;
pub mod tables;
mod unanswered;
pub mod upkeep;

pub use engine::Engine;
pub use error::BatchError;
pub use unanswered::Unanswered;
