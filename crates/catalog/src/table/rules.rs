//! Rules of a `CREATE TABLE` that nothing would enforce: they are refused rather than forgotten.

use datafusion::sql::sqlparser::ast::{ColumnOption, CreateTable, Spanned, TableConstraint};

use crate::position::InFile;
use crate::{Diagnostic, Position};

/// Constraints of tables, and rules for columns of rows that others keep.
pub(super) fn unenforced(create: &CreateTable, is_topic: bool, name: &str, position: &Position) -> Vec<Diagnostic> {
    let constraints = create.constraints.iter().map(|constraint| {
        let remedy = match constraint {
            TableConstraint::Check(_) if is_topic => "write CHECK (...) after the column that it is about",
            TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_) if is_topic => {
                "leave it out; with primary_key = 'column, ...' in its WITH the messages of a topic change rows"
            }
            TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_) => {
                "leave it out; key = '...' in the WITH of a look-up table names the column that tells its rows apart"
            }
            _ => "leave it out",
        };
        let at = position.at(constraint.span());
        at.error(format!("table {name} has {constraint}, which nothing would enforce"), remedy.to_owned())
    });
    let definitions = create.columns.iter().filter(|_| !is_topic);
    let columns = definitions.flat_map(|definition| {
        let at = position.at(definition.name.span);
        definition.options.iter().filter_map(move |option| {
            let (rule, remedy) = match &option.option {
                ColumnOption::Check(_) => ("CHECK", "leave it out, and use WHERE in what reads the table"),
                ColumnOption::Default(_) => ("DEFAULT", "leave it out, and use coalesce(...) in what reads the table"),
                _ => return None,
            };
            let message =
                format!("column {} has a {rule}, which is for topics: others keep these rows", definition.name);
            Some(at.error(message, remedy.to_owned()))
        })
    });
    constraints.chain(columns).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    fn refused(text: &str) -> String {
        let file = SourceFile { path: "a.sql".to_owned(), text: text.to_owned() };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect_err(text).to_string()
    }

    #[test]
    fn a_rule_that_nothing_would_enforce_is_refused() {
        let error = refused(
            "CREATE TABLE rf (u TEXT NOT NULL, seg TEXT CHECK (seg <> 'x') DEFAULT 'y', UNIQUE (u), CHECK (u <> ''))
             WITH (connector = 'file', key = 'u');",
        );
        for words in [
            "column seg has a CHECK, which is for topics",
            "column seg has a DEFAULT, which is for topics",
            "table rf has UNIQUE (u), which nothing would enforce",
            "table rf has CHECK (u <> ''), which nothing would enforce",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(error.matches("remedy: ").count(), 4, "{error}");
        let error = refused(
            "CREATE TABLE e (u TEXT, t TIMESTAMP NOT NULL, CHECK (u <> ''), PRIMARY KEY (u)) WITH (connector = 'kafka', event_time = 't');",
        );
        assert!(error.contains("after the column") && error.contains("primary_key = 'column, ...'"), "{error}");
        let error = refused(
            "CREATE TABLE l (u TEXT DEFAULT 'x') WITH (connector = 'http', connection = 'c', path = '/x', key = 'u');",
        );
        assert!(error.contains("column u has a DEFAULT"), "{error}");
    }
}
