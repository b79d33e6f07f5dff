//! Which key of a table a row of its topic counts in.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::parser::ParserError;

use super::KeyedView;
use crate::one_row::rows_of;

impl KeyedView {
    /// The statement that gives, for each row of the topic that counts in the table, its number
    /// (a column of this name besides the topic's) and the values of the table's keys.
    ///
    /// # Errors
    /// The parser's.
    pub fn keys_of_rows(&self, number: &str) -> Result<Query, ParserError> {
        let keys = self.keys.iter().zip(&self.key_expressions).map(|(name, expr)| (expr, name.as_str()));
        rows_of(&self.select, keys, number)
    }
}
