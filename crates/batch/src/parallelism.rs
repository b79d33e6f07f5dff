//! How much of a query this process computes at once.

/// Parts of a query.
pub(crate) const PARALLELISM: usize = 2;
