//! What is around a metric's SELECT: its ORDER BY and LIMIT, and what cannot be used there.

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, OrderByKind, Query, Spanned};

use super::{Diagnostic, OrderColumn, Position, is_window_alias};
use crate::position::InFile;

pub(super) fn take_order(query: &mut Query, position: &Position) -> Result<Vec<OrderColumn>, Diagnostic> {
    let Some(order_by) = query.order_by.take() else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(expressions) = order_by.kind else {
        return Err(position.error("ORDER BY ALL is not supported", "name the columns".into()));
    };
    let mut order = Vec::new();
    for item in expressions {
        let at = position.at(item.expr.span());
        match &item.expr {
            // All rows of a window share it.
            Expr::Identifier(ident) if is_window_alias(ident) => {}
            Expr::Identifier(ident) => {
                // As SQL looks it up.
                let name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
                order.push(OrderColumn { name, descending: item.options.asc == Some(false) })
            }
            other => {
                return Err(at.error(
                    format!("ORDER BY {other} is not a column of the metric"),
                    "give the expression a name in the SELECT and order by that name".into(),
                ));
            }
        }
    }
    Ok(order)
}

pub(super) fn take_limit(query: &mut Query, position: &Position) -> Result<Option<usize>, Diagnostic> {
    let Some(clause) = query.limit_clause.take() else { return Ok(None) };
    let limit = match &clause {
        LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by } if limit_by.is_empty() => {
            limit.to_string().parse().ok().filter(|limit| *limit > 0)
        }
        _ => None,
    };
    limit.map(Some).ok_or_else(|| {
        position.error(format!("{} is not supported", clause.to_string().trim()), "write LIMIT and a count".into())
    })
}

pub(in super::super) fn refuse_extras(query: &Query, position: &Position) -> Result<(), Diagnostic> {
    let found = if query.with.is_some() {
        Some("WITH")
    } else if query.fetch.is_some() {
        Some("FETCH")
    } else if !query.locks.is_empty() {
        Some("FOR UPDATE")
    } else {
        None
    };
    match found {
        None => Ok(()),
        Some(clause) => Err(position.at(query.span()).error(
            format!("{clause} cannot be used in a metric"),
            "write one SELECT with one GROUP BY over one topic".into(),
        )),
    }
}
