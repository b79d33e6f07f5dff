//! Work over history: imports, jobs of the warehouse, checks of quality, reconciliation.
//!
//! Architecture invariant: nothing here shares state with the stream; they meet in the stored tables.

pub mod backfill;
pub mod checks;
mod civil_date;
#[cfg(feature = "distributed")]
pub mod cluster;
mod distinct_texts;
mod engine;
mod error;
pub mod import;
pub mod jobs;
pub mod ledger;
pub mod planning;
pub mod reconcile;
pub mod tables;
mod truncated_dates;
mod window_starts;

pub use engine::Engine;
pub use error::BatchError;
