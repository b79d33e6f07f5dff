//! Functions whose value is not that of their arguments alone.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Volatility};

/// A function in an expression that may return something else the next time: a clock, or chance.
pub fn volatile_function(expr: &Expr) -> Result<Option<String>> {
    let mut found = None;
    expr.apply(|inner| {
        Ok(match inner {
            Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                found = Some(call.func.name().to_owned());
                TreeNodeRecursion::Stop
            }
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}
