//! What the engine says of rows that it cannot compute, in words for people who wrote the SQL and
//! do not know the engine.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// What comes before the words of an error, and names a part of the engine.
const PREFIXES: [&str; 9] = [
    "Error during planning: ",
    "Schema error: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Arrow error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "Invalid argument error: ",
];
/// Types of the engine as SQL calls them.
const TYPES: [(&str, &str); 13] = [
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INTEGER"),
    ("Int64", "BIGINT"),
    ("UInt64", "BIGINT UNSIGNED"),
    ("Float32", "REAL"),
    ("Float64", "DOUBLE"),
    ("Utf8View", "TEXT"),
    ("Utf8", "TEXT"),
    ("Boolean", "BOOLEAN"),
    ("Date32", "DATE"),
    ("Decimal128", "DECIMAL"),
    ("Null", "NULL"),
];

/// The cause of an error, in one line.
pub fn words(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(inner, _) => of_arrow(inner),
        DataFusionError::ResourcesExhausted(_) => "it needs more memory than its limit allows".to_owned(),
        root => plain(&root.strip_backtrace()),
    }
}

fn of_arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "a division by zero".to_owned(),
        ArrowError::ArithmeticOverflow(said) => match said.strip_prefix("Overflow happened on: ") {
            Some(operation) => format!("the result of {operation} does not fit its type"),
            None => plain(said),
        },
        ArrowError::CastError(said) => unreadable(said).unwrap_or_else(|| plain(said)),
        other => plain(&other.to_string()),
    }
}

/// `Cannot cast string 'x' to value of Int64 type`.
fn unreadable(said: &str) -> Option<String> {
    let rest = said.strip_prefix("Cannot cast string ")?.strip_suffix(" type")?;
    let (text, data_type) = rest.rsplit_once(" to value of ")?;
    Some(format!("{text} cannot be read as {}", in_sql(data_type)))
}

/// A type as SQL calls it.
pub(crate) fn in_sql(data_type: &str) -> String {
    let found = TYPES.iter().find_map(|(engine, sql)| Some(format!("{sql}{}", data_type.strip_prefix(engine)?)));
    found.unwrap_or_else(|| data_type.to_owned())
}

/// Words of the engine without what names parts of it.
pub fn plain(said: &str) -> String {
    let mut said = said.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| said.strip_prefix(prefix)) {
        said = rest.trim_start();
    }
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use crate::{EngineConfig, engine_session};

    use super::*;

    fn said(sql: &str) -> String {
        let session = engine_session(EngineConfig::default()).expect("a session");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        words(&runtime.block_on(async { session.sql(sql).await?.collect().await }).expect_err(sql))
    }

    #[test]
    fn errors_of_rows_are_said_in_sql_s_own_words() {
        let values = "(VALUES (0, 'p1', 9223372036854775807)) AS v (n, s, m)";
        for (expression, words) in [
            ("1 / n", "a division by zero"),
            ("CAST(s AS BIGINT)", "'p1' cannot be read as BIGINT"),
            ("CAST(s AS INTEGER)", "'p1' cannot be read as INTEGER"),
            ("m + 1", "the result of 9223372036854775807 + 1 does not fit its type"),
        ] {
            assert_eq!(said(&format!("SELECT {expression} FROM {values}")), words, "{expression}");
        }
        for expression in ["CAST(s AS DATE)", "CAST(m AS DECIMAL(4, 2))", "nothing"] {
            let said = said(&format!("SELECT {expression} FROM {values}"));
            assert!(!said.is_empty() && !PREFIXES.iter().any(|prefix| said.contains(prefix)), "{said}");
        }
    }

    #[test]
    fn types_are_those_of_sql() {
        assert_eq!(in_sql("Decimal128(18, 2)"), "DECIMAL(18, 2)");
        assert_eq!(in_sql("Duration(Second)"), "Duration(Second)");
        assert_eq!(plain("Arrow error: Compute error: too  large\n"), "too large");
    }
}
