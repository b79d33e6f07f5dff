//! A statement that groups rows, as one that tells of each row where it belongs.

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// Rows instead of groups: the number of each, and these columns of it.
pub(super) fn rows_of<'a>(
    select: &Select,
    columns: impl Iterator<Item = (&'a Expr, &'a str)>,
    number: &str,
) -> Result<Query, ParserError> {
    let named = |(expr, name): (&Expr, &str)| SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: Ident::with_quote('"', name),
    };
    let mut select = select.clone();
    let number = SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(number)));
    select.projection = std::iter::once(number).chain(columns.map(named)).collect();
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.having = None;
    // Everything else of a plain query is as a parser leaves it.
    let mut query = Parser::new(&GenericDialect {}).try_with_sql("SELECT 1")?.parse_query()?;
    *query.body = SetExpr::Select(Box::new(select));
    Ok(*query)
}
