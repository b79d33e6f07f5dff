//! Places of the SQL parser as places in a file.

use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use vitral_schemas::diagnostic::Position;

pub(crate) trait InFile {
    fn at(&self, span: Span) -> Position;
    /// An empty location keeps the place that is known already.
    fn at_location(&self, location: Location) -> Position;
}

impl InFile for Position {
    fn at(&self, span: Span) -> Position {
        self.at_location(span.start)
    }

    fn at_location(&self, location: Location) -> Position {
        self.at_line(location.line, location.column)
    }
}
