//! The conditions of aggregates, `FILTER (WHERE ...)`.

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable};
use vitral_schemas::diagnostic::{Diagnostic, Position};

/// What is wrong with the first `FILTER` of an aggregate that is not a condition: the engine would
/// take a number for one, 0 for false and anything else for true. The error begins with `of`;
/// `position` is that of the statement.
///
/// # Errors
/// The type of a `FILTER` cannot be determined.
pub fn filter_fault(aggregate: &Aggregate, of: &str, position: &Position) -> Result<Option<Diagnostic>> {
    let input = aggregate.input.schema();
    for expr in &aggregate.aggr_expr {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        let Expr::AggregateFunction(call) = inner else { continue };
        for part in call.params.filter.iter().flat_map(|filter| split_conjunction(filter)) {
            let of_type = part.get_type(input.as_ref())?;
            if of_type == DataType::Boolean {
                continue;
            }
            let columns = part.column_refs();
            let starts = columns.iter().filter_map(|column| column.spans().first()).map(|span| span.start);
            let at = starts.min().map_or_else(|| position.clone(), |start| position.at_line(start.line, start.column));
            return Ok(Some(at.error(
                format!("{of}: FILTER is {of_type}, which is not a condition"),
                "write a comparison, such as v > 0".into(),
            )));
        }
    }
    Ok(None)
}
