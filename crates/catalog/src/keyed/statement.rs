//! A table's statement put together again: over rows of some part of history, giving states.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, Query, Select,
    SelectItem, SetExpr, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::{KeyedView, Merge, ROW_ORDER_COLUMN, UPDATED_COLUMN, argument};
use crate::names::ORIGIN_COLUMN;
use crate::{Position, expressions};
use vitral_schemas::topic::archive_columns::ARRIVAL;

impl KeyedView {
    /// The query that gives states: the origin, the keys, each column with its place in order where
    /// it has one, and when the last row came. It reads the topic's columns, the origin, the
    /// arrival and the place of each row, from a table of the topic's name.
    pub fn partial(&self) -> Result<Query, ParserError> {
        self.query(state)
    }

    /// The same with sums in the place of their states where these do not tell their type.
    pub fn whole(&self) -> Result<Query, ParserError> {
        self.query(|call, merge| match merge {
            Merge::Since => Ok(Expr::Function(in_order(call, "sum_since"))),
            _ => state(call, merge),
        })
    }

    /// The query as it is declared: one row for each key, over rows of a table of the topic's name.
    pub fn statement(&self) -> Result<Query, ParserError> {
        let mut query = plain_query("SELECT 1")?;
        *query.body = SetExpr::Select(self.select.clone());
        Ok(query)
    }

    fn query(&self, state: impl Fn(&Function, Merge) -> Result<Expr, ParserError>) -> Result<Query, ParserError> {
        let mut select: Select = Select::clone(&self.select);
        let origin = Expr::Identifier(Ident::new(ORIGIN_COLUMN));
        let mut items = vec![named(origin, ORIGIN_COLUMN)];
        items.extend(self.keys.iter().zip(&self.key_expressions).map(|(name, expr)| named(expr.clone(), name)));
        let groups = 1..=items.len();
        if self.is_of_changes {
            items.extend(self.newest()?);
            select.selection = self.has_key();
            if self.is_new_after_tombstone {
                select.from = self.with_last_tombstone()?;
            }
        }
        for column in self.columns.iter().filter(|column| column.merge != Merge::Newest) {
            items.push(named(state(&column.call, column.merge)?, &column.name));
            if let Some(name) = Self::order_column(column) {
                items.push(named(order(&column.call, column.merge)?, &name));
            }
        }
        items.push(named(expression(&format!("max({ARRIVAL})"))?, UPDATED_COLUMN));
        select.projection = items;
        let groups = groups.map(|number| Expr::Value(Value::Number(number.to_string(), false).into()));
        select.group_by = GroupByExpr::Expressions(groups.collect(), Vec::new());
        // Everything else of a plain query is as a parser leaves it.
        let mut query = plain_query("SELECT 1")?;
        *query.body = SetExpr::Select(Box::new(select));
        Ok(query)
    }

    /// Where a function is called by this name, for errors that planning finds.
    pub fn function_position(&self, name: &str) -> Position {
        use crate::position::InFile;
        use datafusion::sql::sqlparser::ast::Spanned;
        let mut found = self.position.clone();
        expressions::look(self.select.as_ref(), &mut |expr| match expr {
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case(name) => {
                found = self.position.at(expr.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found
    }
}

/// The aggregate that gives a state. Nulls do not count, as in every aggregate.
fn state(call: &Function, merge: Merge) -> Result<Expr, ParserError> {
    let template = match merge {
        Merge::Latest => format!("latest(_a, {ROW_ORDER_COLUMN}) FILTER (WHERE _f)"),
        Merge::Earliest => format!("earliest(_a, {ROW_ORDER_COLUMN}) FILTER (WHERE _f)"),
        Merge::Distinct => "array_agg(DISTINCT _a) FILTER (WHERE _f)".to_owned(),
        Merge::Since => return Ok(Expr::Function(in_order(call, "sum_since_state"))),
        Merge::By(_) | Merge::Counts | Merge::Newest => return Ok(Expr::Function(call.clone())),
    };
    with_value(&template, call)
}

/// The call as one of this function, with the place of each row behind its arguments.
fn in_order(call: &Function, function: &str) -> Function {
    let mut call = call.clone();
    call.name = ObjectName::from(vec![Ident::new(function)]);
    if let FunctionArguments::List(list) = &mut call.args {
        let order = Expr::Identifier(Ident::new(ROW_ORDER_COLUMN));
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(order)));
    }
    call
}

/// The place in order of the value that a state holds.
fn order(call: &Function, merge: Merge) -> Result<Expr, ParserError> {
    let function = if merge == Merge::Latest { "max" } else { "min" };
    with_value(&format!("{function}({ROW_ORDER_COLUMN}) FILTER (WHERE _f)"), call)
}

/// The template with the call's argument for `_a`, and for `_f` the condition that it has a value,
/// and the call's own.
fn with_value(template: &str, call: &Function) -> Result<Expr, ParserError> {
    let missing = || ParserError::ParserError(format!("{call} has no argument"));
    let value = argument(call).ok_or_else(missing)?;
    let has_value = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(value.clone()))));
    let condition = match &call.filter {
        None => has_value,
        Some(filter) => {
            let mut both = expression("(_a) AND (_f)")?;
            put(&mut both, "_a", &has_value);
            put(&mut both, "_f", filter);
            both
        }
    };
    let mut expr = expression(template)?;
    put(&mut expr, "_f", &condition);
    put(&mut expr, "_a", value);
    Ok(expr)
}

/// Puts an expression in the place of a name.
fn put(within: &mut Expr, name: &str, value: &Expr) {
    // It never fails, so it never ends early.
    let _ = expressions::change(within, &mut |expr| {
        if matches!(expr, Expr::Identifier(ident) if ident.value == name) {
            *expr = value.clone();
        }
        Ok(())
    });
}

pub(super) fn named(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

pub(super) fn expression(text: &str) -> Result<Expr, ParserError> {
    Parser::new(&GenericDialect {}).try_with_sql(text)?.parse_expr()
}

fn plain_query(text: &str) -> Result<Query, ParserError> {
    Parser::new(&GenericDialect {}).try_with_sql(text)?.parse_query().map(|query| *query)
}
