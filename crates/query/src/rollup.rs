//! Sums over any range of time, of tables that are kept up to date, in milliseconds.
//!
//! A table whose columns but its keys are sums says by which key it is summed up, which key is the
//! time, and which key is counted once for each group ([`vitral_catalog::Rollup`]). What its states
//! hold is kept in memory as series, one for each combination of its other keys: times in order
//! and, next to them, running sums, so that a range costs two searches in each series, however many
//! rows it has. `soma.NAME` reads them; before they are there, and where they would take too much
//! memory, the same rows are computed from the table itself.

mod conditions;
mod counted_once;
mod load;
mod series;
mod sums;
mod table;

pub(crate) use self::load::Rollups;
pub(crate) use self::table::{RollupTable, Source};
