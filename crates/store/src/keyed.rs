//! Tables that are kept up to date: one row for each key, forever (docs/adr/0040).
//!
//! A commit appends the *states* of the keys that rows of some offsets have touched, and carries
//! the offsets after them. States are plain SQL values, and any number of states of a key merge
//! into one, in any order: readers merge them, and so does compaction. So nothing has to be in
//! memory, and a restart goes on at the offsets of the last commit, with the rows behind them from
//! the archive.

mod changes;
mod plan;
mod rows;
mod source;
mod table;

#[cfg(test)]
mod tests;

pub use self::plan::KeyedPlan;
pub use self::rows::KeyedRows;
pub use self::table::{Freshness, KeyedTable, Sides, keep_balances};
