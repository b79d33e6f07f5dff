//! What the query engine says of a statement that it cannot plan, as errors with their places.

use datafusion::error::DataFusionError;

use crate::{Diagnostic, Position};

/// Every error of planning a statement, each where it is if the engine knows that, else where the statement is.
///
/// The engine knows places only if its session collects them (`sql_parser.collect_spans`).
pub fn planning_errors(error: &DataFusionError, statement: &Position, remedy: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for error in parts(error) {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let at = span.map_or_else(|| statement.clone(), |span| statement.at_line(span.start.line, span.start.column));
        let found = at.error(words(error), remedy.to_owned());
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

/// The cause alone: what stands before it names parts of the engine.
fn words(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let text = text.trim();
    let known = ["Error during planning: ", "Schema error: ", "This feature is not implemented: ", "Execution error: "];
    let text = known.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
