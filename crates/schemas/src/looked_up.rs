//! Columns of topics that are looked up.
//!
//! A look-up never changes a verdict: it is made once, for rows that count, and its values are
//! archived with the row.

use crate::diagnostic::Position;

/// What a column of a topic is looked up as: `GENERATED ALWAYS AS (lookup('table', key, 'column'))
/// STORED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedUp {
    /// The look-up table, as the catalog calls it.
    pub table: String,
    /// The topic's column that holds the key.
    pub key: String,
    /// The look-up table's column that is wanted.
    pub column: String,
    /// Where the column is declared.
    pub position: Position,
}
