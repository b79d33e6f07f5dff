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

/// The cause alone: what comes before it names parts of the engine.
fn words(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let text = text.trim();
    let known = ["Error during planning: ", "Schema error: ", "This feature is not implemented: ", "Execution error: "];
    let text = known.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    fn a_column_that_is_not_grouped_is_named() {
        let words = "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"eventos.canal\" must appear \
                     in the GROUP BY clause or must be part of an aggregate function, currently only \"eventos._pane\" appears";
        let (message, remedy) = ungrouped(words).expect("it is recognised");
        assert_eq!(message, "canal is neither in GROUP BY nor in an aggregate");
        assert!(remedy.starts_with("add canal to GROUP BY"), "{remedy}");
        assert_eq!(ungrouped("No field named x"), None);
    }
}
