//! The expressions within a statement.
//!
//! A walk is compiled for every kind of node that SQL has, and again for each type that it calls.
//! These are the only two.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Visit, VisitMut, Visitor, VisitorMut};

use super::Diagnostic;

/// Looks at each expression, the outer one before those in it, until one ends the walk.
pub(super) fn look<T: Visit>(node: &T, each: &mut dyn FnMut(&Expr) -> ControlFlow<()>) {
    // Whether it was ended is known to who ended it.
    let _ = node.visit(&mut Look(each));
}

/// Changes each expression, the outer one after those in it, until the first error.
pub(super) fn change<T: VisitMut>(
    node: &mut T,
    each: &mut dyn FnMut(&mut Expr) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    match node.visit(&mut Change(each)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Look<'a>(&'a mut dyn FnMut(&Expr) -> ControlFlow<()>);

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        (self.0)(expr)
    }
}

struct Change<'a>(&'a mut dyn FnMut(&mut Expr) -> Result<(), Diagnostic>);

impl VisitorMut for Change<'_> {
    type Break = Diagnostic;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Diagnostic> {
        match (self.0)(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
