//! `session(gap, key, ...)`: windows that a key's own events make.
//!
//! The call becomes two columns to group by, the first and the last event time of the row's
//! session, so that the same statement can be folded fragment by fragment, or run as one plain
//! aggregate over rows that say which session they are of.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SelectItem,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use vitral_schemas::window::Window;

use super::length::{Length, length};
use super::{PANE_COLUMN, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use crate::options::Options;
use crate::syntax::ident_text;
use crate::{Diagnostic, Position, expressions};

/// The column that stands for a session's last event in a metric's rewritten SQL; [`PANE_COLUMN`]
/// is its first.
pub const SESSION_LAST_COLUMN: &str = "_last";

const FORM: &str = "write session(INTERVAL '30 minutes', key) AS janela, with a column of the topic as its key";
const DAY_MS: i64 = 86_400_000;

/// Where sessions end however long their key goes on.
#[derive(Default)]
pub(super) struct Cut(Option<Position>);

impl Cut {
    /// Takes the option `cut`: the day is the only one, and what holds without it.
    pub(super) fn take(options: &mut Options) -> Result<Self, Diagnostic> {
        match options.take_text("cut")? {
            None => Ok(Self(None)),
            Some((text, at)) if text == "day" => Ok(Self(Some(at))),
            Some((text, at)) => Err(at.error(
                format!("sessions cannot be cut at '{text}'"),
                "write cut = 'day', or leave it out: every session ends at the domain's midnight at the latest".into(),
            )),
        }
    }

    /// Errors where there is nothing to cut.
    pub(super) fn check(self, window: Window) -> Result<(), Diagnostic> {
        match (self.0, window.session_gap_micros()) {
            (Some(at), None) => {
                Err(at.error("only sessions are cut", "remove the option, or write session(...)".into()))
            }
            _ => Ok(()),
        }
    }
}

/// Under which name a metric shows this column of its topic as it is.
pub(super) fn shown_as(select: &Select, column: &str) -> Option<String> {
    let is_it = |expr: &Expr| match expr {
        Expr::Identifier(ident) => ident_text(ident) == column,
        Expr::CompoundIdentifier(idents) => idents.last().is_some_and(|ident| ident_text(ident) == column),
        _ => false,
    };
    select.projection.iter().find_map(|item| match item {
        SelectItem::UnnamedExpr(expr) if is_it(expr) => Some(column.to_owned()),
        SelectItem::ExprWithAlias { expr, alias } if is_it(expr) => Some(ident_text(alias)),
        _ => None,
    })
}

/// Whether this is a call of it.
pub(super) fn is(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("session")
}

/// Whether a statement calls it.
pub(super) fn is_called(select: &Select) -> bool {
    let mut found = false;
    expressions::look(select, &mut |expr| {
        found |= matches!(expr, Expr::Function(function) if is(function));
        ControlFlow::Continue(())
    });
    found
}

/// `session(gap, key, ...)`: the gap.
pub(super) fn window_of(function: &Function, at: &Position) -> Result<Window, Diagnostic> {
    let (gap, _) = arguments(function, at)?;
    match length(gap, at)? {
        Length::Ms(gap_ms) if gap_ms > 0 && gap_ms < DAY_MS => Ok(Window::Session { gap_ms }),
        _ => Err(at.error(
            format!("{gap} is not a gap between sessions"),
            "give a positive gap under 24 hours, in hours or shorter units: sessions end at midnight".into(),
        )),
    }
}

/// The columns whose values tell whose session an event is of.
pub(super) fn keys(function: &Function, at: &Position) -> Result<Vec<String>, Diagnostic> {
    let (_, keys) = arguments(function, at)?;
    let mut names: Vec<String> = Vec::with_capacity(keys.len());
    for key in keys {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) = key else {
            return Err(at.error(
                format!("{key} is not a column, and so not a key of sessions"),
                "name columns of the topic; put what has to be computed into one with DEFAULT".into(),
            ));
        };
        let name = ident_text(ident);
        if names.contains(&name) {
            return Err(at.error(format!("{name} is named twice"), "name each key once".into()));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(at.error("a session has no key: whose events are they?", FORM.into()));
    }
    Ok(names)
}

fn arguments<'a>(function: &'a Function, at: &Position) -> Result<(&'a FunctionArg, &'a [FunctionArg]), Diagnostic> {
    let FunctionArguments::List(list) = &function.args else {
        return Err(at.error("session has no arguments", FORM.into()));
    };
    list.args.split_first().ok_or_else(|| at.error("session has no gap", FORM.into()))
}

/// Adds the last event time to what is selected and grouped by, once the first one is there.
pub(super) fn add_last(
    select: &mut Select,
    groups: &mut Vec<Expr>,
    keys: &[String],
    position: &Position,
) -> Result<(), Diagnostic> {
    let is_grouped =
        |key: &String| groups.iter().any(|group| matches!(group, Expr::Identifier(ident) if ident_text(ident) == *key));
    if let Some(key) = keys.iter().find(|key| !is_grouped(key)) {
        return Err(position.error(
            format!("the sessions are by {key}, which the metric does not group by"),
            format!("add {key} to GROUP BY: each session belongs to one {key}"),
        ));
    }
    let is_start = |item: &SelectItem| {
        matches!(item, SelectItem::ExprWithAlias { expr: Expr::Identifier(ident), alias }
            if ident.value == PANE_COLUMN && alias.value == WINDOW_START_COLUMN)
    };
    let after = select.projection.iter().position(is_start).map_or(0, |start| start + 1);
    let end = SelectItem::ExprWithAlias { expr: last(), alias: Ident::new(WINDOW_END_COLUMN) };
    select.projection.insert(after, end);
    groups.push(last());
    Ok(())
}

fn last() -> Expr {
    Expr::Identifier(Ident::with_span(Span::empty(), SESSION_LAST_COLUMN))
}
