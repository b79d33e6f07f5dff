//! Sums over any range of time, of tables that are kept up to date, in milliseconds.
//!
//! A table whose columns but its keys are sums says by which key it is summed up, which key is the
//! time, and which key is counted once for each group ([`vitral_catalog::Rollup`]). What its states
//! hold is kept in memory in the order of time, with the sums of all rows before some of them by
//! the combination of their other keys, and by coarser ones: a range costs the difference of two
//! such sums and a look at the rows at its ends, however many it has. `soma.NAME` reads them.
//! Before they are there, and where they would take too much memory, the same rows are computed
//! from the table itself.

mod behind;
mod changes;
mod conditions;
mod counted_once;
mod levels;
mod load;
mod now;
mod planned;
mod run;
mod sums;
mod table;

pub(crate) use self::behind::{LACKING_MAX, Lacking};
pub(crate) use self::load::{Closed, Moment, Rollups};
pub(crate) use self::now::SumsVersion;
pub use self::planned::{SumsPlan, SumsQuestion};
pub(crate) use self::table::{RollupTable, Source};
