//! Work over the archive's history.
//!
//! Architecture invariant: nothing here shares state with the stream; they meet in the stored tables.

mod error;
pub mod ledger;
pub mod reconcile;

pub use error::BatchError;
