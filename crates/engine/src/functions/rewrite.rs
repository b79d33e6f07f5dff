//! Replacing expressions in a whole plan, under the names that they had.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// The plan with each expression that `replacement` knows another for, given the schema of what it
/// is computed from. The other one must have the same type: the schemas above are kept.
pub(super) fn replace_expressions(
    plan: LogicalPlan,
    replacement: impl Fn(&Expr, &DFSchema) -> Result<Option<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
        let input = Arc::clone(input.schema());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|expr| {
                Ok(match replacement(&expr, &input)? {
                    Some(other) => Transformed::yes(other),
                    None => Transformed::no(expr),
                })
            })?;
            Ok(replaced.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}
