//! One query that is not of a file, with the settings and the dialect of the catalog's.

use datafusion::sql::sqlparser::ast::{Query, Spanned, Statement};

use crate::position::InFile;
use crate::{Diagnostic, DomainSettings, Position, reader};

/// What the places of its errors are in.
const FILE: &str = "SQL";

/// A statement that only reads.
#[derive(Debug, Clone)]
pub struct ReadStatement {
    /// What is to be planned.
    pub query: Box<Query>,
    /// The place that its errors name.
    pub position: Position,
}

impl ReadStatement {
    /// Errors name line and column of `text`.
    pub fn parse(text: &str, settings: &DomainSettings) -> Result<Self, Vec<Diagnostic>> {
        let position = Position::file(FILE);
        let mut statements = reader::statements(text, &position).map_err(|error| vec![error])?;
        let (Some(mut statement), None) = (statements.pop(), statements.pop()) else {
            let remedy = "write one SELECT; several can be combined with UNION ALL";
            return Err(vec![position.error("this is not exactly one statement", remedy.into())]);
        };
        let position = position.at(statement.span());
        reader::put_settings_in(&mut statement, settings, &position).map_err(|error| vec![error])?;
        match statement {
            Statement::Query(query) => Ok(Self { query, position }),
            other => {
                let text = other.to_string();
                let verb = text.split_whitespace().next().unwrap_or_default();
                Err(vec![position.error(
                    format!("{verb} is not a query: nothing can be changed here"),
                    "write a SELECT; tables and columns are in information_schema.tables and information_schema.columns".into(),
                )])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let errors = ReadStatement::parse(text, &DomainSettings::default()).expect_err(text);
        errors[0].to_string()
    }

    #[test]
    fn one_query_and_nothing_else() {
        let parsed = ReadStatement::parse("SELECT current_setting('shop.currency') AS c;", &DomainSettings::default());
        assert_eq!(parsed.expect("a query").query.to_string(), "SELECT 'BRL' AS c");
        assert!(ReadStatement::parse("WITH a AS (SELECT 1) SELECT * FROM a", &DomainSettings::default()).is_ok());
        assert!(error("SELECT 1; SELECT 2").contains("not exactly one"));
        assert!(error("").contains("not exactly one") && error("-- nothing").contains("not exactly one"));
        for (text, verb) in [
            ("DROP TABLE vendas", "DROP"),
            ("INSERT INTO vendas VALUES (1)", "INSERT"),
            ("COPY vendas TO '/tmp/x'", "COPY"),
            ("SET x = 1", "SET"),
            ("CREATE TABLE t AS SELECT 1", "CREATE"),
        ] {
            assert!(error(text).contains(&format!("{verb} is not a query")), "{}", error(text));
        }
        // DataFusion's own statements are not of the catalog's dialect.
        assert!(error("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'").contains("remedy: "));
        let wrong = error("SELECT *\nFORM vendas");
        assert!(wrong.starts_with("SQL:2:1: "), "{wrong}");
    }
}
