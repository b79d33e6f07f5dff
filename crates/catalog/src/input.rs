//! `CREATE VIEW name WITH (input_for = 'topic', rows = 'events, events.items') AS SELECT ... FROM
//! corpo`: how what another program sends becomes messages of a topic.
//!
//! `corpo` is the body of a request, a JSON object, taken apart: a row for each element of the
//! lists that `rows` names, the outer ones first, and a column of text for each path that the query
//! names in double quotes, such as `"events.params.currency"`. Numbers are as they are written, so
//! that nothing is rounded; what is not there is null. `linha` is the place of a row in its
//! innermost list, from 1. An object without the first of these lists is not of this program.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query};

use super::options::{Options, Read};
use super::{Diagnostic, Position, expressions};

/// The body, in an input's query.
pub const BODY_TABLE: &str = "corpo";
/// The place of a row in its innermost list, among that table's columns.
pub const PLACE_IN_LIST: &str = "linha";

/// What another program sends, and the messages that it stands for.
#[derive(Debug, Clone)]
pub struct Input {
    /// The view's own name.
    pub name: String,
    /// The topic that the messages are for.
    pub table: String,
    /// Paths of the lists whose elements become rows, the outer ones first.
    pub lists: Vec<String>,
    /// Paths of all fields that the query names, each once.
    pub fields: Vec<String>,
    /// What makes messages, a column for each of their fields.
    pub query: Box<Query>,
    /// Where it is declared.
    pub source: Position,
}

impl Input {
    pub(super) fn read(name: String, query: Box<Query>, mut options: Options, position: &Position) -> Read<Self> {
        let table = options.gather(|options| options.take_text("input_for")).map(|(table, _)| table);
        let lists = options.gather(|options| lists(options, position));
        let fields = fields(&query);
        let input = Self { name, table: table.unwrap_or_default(), lists, fields, query, source: position.clone() };
        options.finish(Ok(input))
    }
}

fn lists(options: &mut Options, position: &Position) -> Result<Vec<String>, Diagnostic> {
    let Some((text, at)) = options.take_text("rows")? else {
        let remedy = "add rows = 'events' with the path of the list";
        return Err(position.error("an input does not say which list has its rows", remedy.into()));
    };
    let lists: Vec<String> = text.split(',').map(|path| path.trim().to_owned()).collect();
    let is_path = |path: &String| !path.is_empty() && path.split('.').all(|part| !part.is_empty());
    let is_within =
        lists.windows(2).all(|pair| pair[1].strip_prefix(&pair[0]).is_some_and(|rest| rest.starts_with('.')));
    if lists.iter().all(is_path) && is_within {
        return Ok(lists);
    }
    Err(at.error(
        format!("rows = '{text}' is not a list within a list"),
        "write the outer one first, each with its whole path, such as 'events, events.params.items'".into(),
    ))
}

/// The names in double quotes.
fn fields(query: &Query) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    expressions::look(query, &mut |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(ident) = ident.filter(|ident| ident.quote_style == Some('"'))
            && !fields.contains(&ident.value)
        {
            fields.push(ident.value.clone());
        }
        ControlFlow::Continue(())
    });
    fields
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    fn read(options: &str) -> Result<Catalog, String> {
        let text = format!(
            "CREATE TABLE e (u TEXT, t TIMESTAMP NOT NULL)
             WITH (connector = 'kafka', event_time = 't', path = '/e', scope = 'e:write');
             CREATE VIEW w WITH ({options}) AS SELECT \"a.b\" AS u, \"a.c.d\" || \"a.b\" AS t FROM corpo;"
        );
        let file = SourceFile { path: "a.sql".to_owned(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn an_input_knows_its_lists_and_fields() {
        let catalog = read("input_for = 'e', rows = 'a, a.c'").expect("a catalog");
        let [input] = catalog.inputs.as_slice() else { panic!("one input") };
        assert_eq!(
            (input.lists.as_slice(), input.fields.as_slice()),
            (&["a".to_owned(), "a.c".to_owned()][..], &["a.b".to_owned(), "a.c.d".to_owned()][..])
        );
        for (options, words) in [
            ("input_for = 'x', rows = 'a'", "nothing can be sent to that"),
            ("input_for = 'e'", "does not say which list"),
            ("input_for = 'e', rows = 'a, b'", "not a list within a list"),
        ] {
            let error = read(options).expect_err(options);
            assert!(error.contains(words), "{options}: {error}");
        }
    }
}
