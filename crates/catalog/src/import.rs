//! `CREATE VIEW name WITH (import = 'theirs=column, ...') AS SELECT ... FROM topic WHERE column =
//! 'text'`: a view into which files can be imported. What its WHERE says of a row, an imported row
//! has.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Spanned, TableFactor};

use super::options::Options;
use super::syntax::{ident_text, text_literal};
use super::{Diagnostic, Position};
use crate::position::InFile;

/// How a row of a file becomes one of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportTarget {
    /// The name of the topic.
    pub topic: String,
    /// Columns that every row has, and their texts.
    pub constants: Vec<(String, String)>,
    /// What files call a column, and the column.
    pub aliases: BTreeMap<String, String>,
    /// Columns that tell a row from others where the first of them is filled; else, and without
    /// any, all cells that are used do.
    pub key: Vec<String>,
    /// Columns that files need not have though messages must.
    pub optional: Vec<String>,
    /// The view's columns that are summed up after an import.
    pub sums: Vec<String>,
    /// By which of the view's columns the sums are shown.
    pub sums_by: Vec<String>,
    /// The column whose values with the largest sums are shown.
    pub top: Option<String>,
}

impl ImportTarget {
    pub(super) fn read(names: &str, query: &Query, position: &Position, at: &Position) -> Result<Self, Diagnostic> {
        let mut aliases = BTreeMap::new();
        for pair in names.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (theirs, column) = pair.split_once('=').ok_or_else(|| {
                at.error(format!("import: {pair} is not a pair"), "write theirs=column, separated by commas".into())
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
        let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(ident_text).collect();
        Ok(Self { topic: parts.join("."), constants, aliases, ..Self::default() })
    }

    /// Takes the further options that a view with `import` may have.
    pub(super) fn with_options(self, options: &mut Options) -> Self {
        let mut names = |key: &str| {
            let text = options.gather(|options| options.take_text(key)).map(|(text, _)| text).unwrap_or_default();
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let (key, optional) = (names("import_key"), names("import_optional"));
        let (sums, sums_by) = (names("import_sums"), names("import_sums_by"));
        let top = names("import_top").into_iter().next();
        Self { key, optional, sums, sums_by, top, ..self }
    }
}

/// The parts of a conjunction, or the one that is not an equality.
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
