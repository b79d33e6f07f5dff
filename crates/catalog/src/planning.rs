//! What the query engine says of a statement that it cannot plan, as errors with their places.

use datafusion::error::DataFusionError;

use crate::{Diagnostic, Position};

/// Every error of planning a statement, each where it is if the engine knows that, else where the
/// statement is.
///
/// The engine knows places only if its session collects them (`sql_parser.collect_spans`).
pub fn planning_errors(error: &DataFusionError, statement: &Position, remedy: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for error in parts(error) {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let at = span.map_or_else(|| statement.clone(), |span| statement.at_line(span.start.line, span.start.column));
        let words = words(error);
        let found = match ungrouped(&words) {
            Some((message, remedy)) => at.error(message, remedy),
            None => at.error(words, remedy.to_owned()),
        };
        if !errors.contains(&found) {
            errors.push(found);
        }
    }
    errors
}

/// The engine goes on after some errors, and then says them together.
fn parts(error: &DataFusionError) -> Vec<&DataFusionError> {
    let mut waiting = vec![error];
    let mut found = Vec::new();
    while let Some(error) = waiting.pop() {
        match error {
            DataFusionError::Collection(errors) => waiting.extend(errors.iter().rev()),
            DataFusionError::Context(_, inner) if matches!(**inner, DataFusionError::Collection(_)) => {
                waiting.push(inner)
            }
            DataFusionError::Shared(inner) => waiting.push(inner),
            other => found.push(other),
        }
    }
    found
}

/// What comes before the cause, and names parts of the engine.
const PREFIXES: [&str; 8] = [
    "Error during planning: ",
    "Schema error: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Internal error: ",
    "Arrow error: ",
    "Parser error: ",
    "Cast error: ",
];
/// What comes behind it, for those who work on the engine.
const FOR_ITS_AUTHORS: &str = "This issue was likely caused by a bug";
/// A way on that nobody has here.
const OF_ITS_SETTINGS: &str = " or disable the datafusion.sql_parser.enable_ident_normalization configuration";

/// The cause alone.
fn words(error: &DataFusionError) -> String {
    cause(&error.find_root().strip_backtrace())
}

fn cause(text: &str) -> String {
    let text = text.trim();
    let mut text = text;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    let text = text.split_once(FOR_ITS_AUTHORS).map_or(text, |(cause, _)| cause);
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(OF_ITS_SETTINGS, "")
}

/// What to say, with its remedy, where the engine wants a column to be grouped by.
pub fn ungrouped(words: &str) -> Option<(String, String)> {
    let (before, _) = words.split_once("\" must appear in the GROUP BY clause")?;
    let (_, column) = before.rsplit_once("column \"")?;
    let column = column.rsplit_once('.').map_or(column, |(_, name)| name);
    let message = format!("{column} is neither in GROUP BY nor in an aggregate");
    Some((message, format!("add {column} to GROUP BY, or say which of its values: max({column})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_the_engine() {
        for (given, wanted) in [
            (
                "Internal error: sum is of numbers.\nThis issue was likely caused by a bug in the code.",
                "sum is of numbers.",
            ),
            (
                "Schema error: No field named url.\nUse double quotes or disable the \
                 datafusion.sql_parser.enable_ident_normalization configuration.\nValid fields are \"URL\".",
                "No field named url. Use double quotes. Valid fields are \"URL\".",
            ),
            ("Error during planning: no  such\nthing", "no such thing"),
        ] {
            assert_eq!(cause(given), wanted);
        }
    }

    #[test]
    fn a_column_that_is_not_grouped_is_named() {
        let words = "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"eventos.canal\" must appear \
                     in the GROUP BY clause or must be part of an aggregate function, currently only \"eventos._pane\" appears";
        let (message, remedy) = ungrouped(words).expect("it is recognised");
        assert_eq!(message, "canal is neither in GROUP BY nor in an aggregate");
        assert!(remedy.starts_with("add canal to GROUP BY"), "{remedy}");
        assert_eq!(ungrouped("No field named x"), None);
    }
}
