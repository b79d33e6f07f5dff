//! `CREATE VIEW name WITH (import = 'theirs=column, ...') AS SELECT ... FROM topic WHERE column = 'text'`: a view into which files can be
//! imported. What its WHERE says of a row, an imported row has.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Spanned, TableFactor};

use super::reader::text_literal;
use super::{Diagnostic, Position};

/// How a row of a file becomes one of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportTarget {
    pub topic: String,
    /// Columns that every row has, and their texts.
    pub constants: Vec<(String, String)>,
    /// What files call a column, and the column.
    pub aliases: BTreeMap<String, String>,
}

impl ImportTarget {
    pub(super) fn read(names: &str, query: &Query, position: &Position, at: &Position) -> Result<Self, Diagnostic> {
        let mut aliases = BTreeMap::new();
        for pair in names.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (theirs, column) = pair.split_once('=').ok_or_else(|| {
                at.error(format!("import: {pair} is no pair"), "write theirs=column, separated by commas".into())
            })?;
            aliases.insert(theirs.trim().to_owned(), column.trim().to_owned());
        }
        let wrong = || {
            position.error(
                "nothing can be imported into this view",
                "select from one topic, WHERE column = 'text' (AND ...), or leave import out".into(),
            )
        };
        let SetExpr::Select(select) = query.body.as_ref() else { return Err(wrong()) };
        let [from] = select.from.as_slice() else { return Err(wrong()) };
        let TableFactor::Table { name, .. } = &from.relation else { return Err(wrong()) };
        if !from.joins.is_empty() {
            return Err(wrong());
        }
        let mut constants = Vec::new();
        if let Some(condition) = &select.selection {
            equalities(condition, &mut constants).map_err(|part| {
                position.at(part.span()).error(
                    format!("import: {part} does not say what a row has"),
                    "write column = 'text', joined by AND, or leave import out".into(),
                )
            })?;
        }
        Ok(Self { topic: name.to_string(), constants, aliases })
    }
}

/// The parts of a conjunction, or the one that is no equality.
fn equalities<'a>(condition: &'a Expr, found: &mut Vec<(String, String)>) -> Result<(), &'a Expr> {
    match condition {
        Expr::Nested(inner) => equalities(inner, found),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            equalities(left, found)?;
            equalities(right, found)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (left.as_ref(), text_literal(right)) {
            (Expr::Identifier(column), Some(text)) => {
                found.push((column.value.clone(), text));
                Ok(())
            }
            _ => Err(condition),
        },
        _ => Err(condition),
    }
}
