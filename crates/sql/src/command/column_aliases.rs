//! Names of columns, where those that the engine gives would not do: two may be alike, and queries
//! around one know it by PostgreSQL's.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, OrderByKind, Query, SelectItem,
    SetExpr, Visit, VisitMut, Visitor, VisitorMut,
};

use super::expressions::{name, take};
use crate::column_names::name as column_name;
use crate::dialect::AS_TEXT;

/// Gives the columns of a query the names that they need.
pub(super) fn name_columns(query: &mut Query) {
    let orders = query.order_by.as_ref().map(|order_by| &order_by.kind);
    let Some(OrderByKind::Expressions(orders)) = orders else { return name_selects(&mut query.body, &BTreeSet::new()) };
    // By columns of tables, which others of the same name would hide: a plain name means what the
    // query gives.
    let mut named = Named::default();
    for order in orders.iter().filter(|order| !matches!(order.expr, Expr::Identifier(_))) {
        // It breaks off nowhere.
        let _ = Visit::visit(&order.expr, &mut named);
    }
    name_selects(&mut query.body, &named.0);
}

/// The columns that expressions name.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl Visitor for Named {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let column = match expr {
            Expr::Identifier(column) => Some(column),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        self.0.extend(column.map(|column| column.value.to_lowercase()));
        ControlFlow::Continue(())
    }
}

fn name_selects(body: &mut SetExpr, ordered: &BTreeSet<String>) {
    match body {
        SetExpr::Select(select) => {
            select.projection.iter_mut().for_each(|item| keep_name(item, ordered));
            tell_apart(&mut select.projection);
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_selects(left, ordered);
            name_selects(right, ordered);
        }
        _ => {}
    }
}

/// What is cast keeps its name, by which the queries around this one know it.
fn keep_name(item: &mut SelectItem, ordered: &BTreeSet<String>) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    let Some(value) = written(expr) else { return };
    let (value, data_type) = (Box::new(value.clone()), DataType::Text);
    let cast = Expr::Cast { kind: CastKind::Cast, expr: value, data_type, array: false, format: None };
    let name = column_name(&cast);
    if ordered.contains(&name) {
        return;
    }
    let alias = Ident::with_quote('"', name);
    *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
}

/// The value of a cast to text.
fn written(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if name(function) == AS_TEXT => Some(value),
        _ => None,
    }
}

/// The engine wants a name of its own for each column; clients hear of others.
fn tell_apart(projection: &mut [SelectItem]) {
    let mut seen = BTreeSet::new();
    for (place, item) in (1..).zip(projection) {
        let key = match item {
            // Called by what it selects.
            SelectItem::UnnamedExpr(expr @ Expr::Subquery(_)) => {
                let alias = Ident::with_quote('"', format!("subquery:{place}"));
                *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
                continue;
            }
            SelectItem::UnnamedExpr(expr) => key(expr),
            SelectItem::ExprWithAlias { alias, .. } => alias.value.to_lowercase(),
            _ => continue,
        };
        let alias = Ident::with_quote('"', format!("{key}:{place}"));
        if seen.insert(key) {
            continue;
        }
        match item {
            SelectItem::UnnamedExpr(expr) => *item = SelectItem::ExprWithAlias { expr: take(expr), alias },
            SelectItem::ExprWithAlias { alias: taken, .. } => *taken = alias,
            _ => {}
        }
    }
}

/// Columns that stand next to `*`, which has them too. Only where no query around this one names
/// them.
pub(super) fn name_beside_all(projection: &mut [SelectItem]) {
    let is_all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    if !projection.iter().any(is_all) {
        return;
    }
    for (place, item) in (1..).zip(projection) {
        if let SelectItem::UnnamedExpr(expr @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))) = item {
            let alias = Ident::with_quote('"', format!("{}:{place}", key(expr)));
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
        }
    }
}

/// What the engine would call a column, which casts do not change.
fn key(expr: &Expr) -> String {
    let mut expr = expr.clone();
    // It breaks off nowhere.
    let _ = VisitMut::visit(&mut expr, &mut WithoutCasts);
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => expr.to_string().to_lowercase(),
        _ => expr.to_string(),
    }
}

struct WithoutCasts;

impl VisitorMut for WithoutCasts {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Nested(inner) | Expr::Cast { expr: inner, .. } = expr {
            *expr = take(inner);
        }
        ControlFlow::Continue(())
    }
}
