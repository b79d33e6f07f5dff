//! Where in a statement a table is named.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Spanned, visit_relations};

use super::Name;
use crate::Position;
use crate::domains::plain;
use crate::position::InFile;

/// The first place that names it; that of the statement if there is none.
pub(super) fn place_of(query: &Query, name: &Name, statement: &Position) -> Position {
    let (Name::Table(wanted) | Name::Newest(wanted) | Name::Information(wanted)) = name;
    let found = visit_relations(query, |relation| {
        if last_part(relation).as_deref() == Some(plain(wanted)) {
            ControlFlow::Break(relation.span())
        } else {
            ControlFlow::Continue(())
        }
    });
    match found {
        ControlFlow::Break(span) => statement.at(span),
        ControlFlow::Continue(()) => statement.clone(),
    }
}

/// As it is looked up: quoted names are taken literally.
fn last_part(relation: &ObjectName) -> Option<String> {
    let ident = relation.0.last()?.as_ident()?;
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
}
