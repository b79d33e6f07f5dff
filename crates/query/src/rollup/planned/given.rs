//! One condition of a statement, with the values of a request in it.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};

/// So many of the values that were asked for are remembered with what they come to.
const KNOWN_MAX: u64 = 1024;

/// A condition with placeholders.
#[derive(Debug)]
pub(super) struct Condition {
    expr: Expr,
    /// Of `$p IS NULL OR rest`: the placeholder's name, and the rest.
    unless_null: Option<(String, Expr)>,
    /// The placeholders' names.
    names: Vec<String>,
    /// By the values of its placeholders; none if it differs from one moment to the next.
    known: Option<moka::sync::Cache<Vec<Option<ScalarValue>>, Given>>,
}

/// What a condition is with values in it.
#[derive(Debug, Clone)]
pub(super) enum Given {
    /// All of these hold.
    All(Vec<Expr>),
    /// Nothing meets it.
    Never,
}

impl Condition {
    pub(super) fn new(expr: Expr) -> Self {
        let (mut names, mut is_steady) = (Vec::new(), true);
        // It never fails.
        let _ = expr.apply(|part| {
            match part {
                Expr::Placeholder(placeholder) => names.push(name_of(placeholder).to_owned()),
                Expr::ScalarFunction(call) => is_steady &= call.func.signature().volatility == Volatility::Immutable,
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let unless_null = unless_null(&expr);
        Self { expr, unless_null, names, known: is_steady.then(|| moka::sync::Cache::new(KNOWN_MAX)) }
    }

    /// With these values, once `simplified` has made an expression as simple as it can be, unless
    /// it is so at once.
    pub(super) fn with(
        &self,
        values: &HashMap<String, ScalarValue>,
        is_simple: impl FnOnce(&Expr) -> bool,
        simplified: impl FnOnce(Expr) -> Result<Expr>,
    ) -> Result<Given> {
        let mut expr = &self.expr;
        if let Some((name, rest)) = &self.unless_null
            && let Some(value) = values.get(name)
        {
            if value.is_null() {
                return Ok(Given::All(Vec::new()));
            }
            expr = rest;
        }
        let given = expr.clone().transform(|part| {
            Ok(match &part {
                Expr::Placeholder(placeholder) => match values.get(name_of(placeholder)) {
                    Some(value) => Transformed::yes(Expr::Literal(value.clone(), None)),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        });
        let given = given?.data;
        if is_simple(&given) {
            return Ok(Given::All(vec![given]));
        }
        let key: Vec<_> = self.names.iter().map(|name| values.get(name).cloned()).collect();
        if let Some(given) = self.known.as_ref().and_then(|known| known.get(&key)) {
            return Ok(given);
        }
        let given = Given::of(simplified(given)?);
        if let Some(known) = &self.known {
            known.insert(key, given.clone());
        }
        Ok(given)
    }
}

impl Given {
    fn of(simple: Expr) -> Self {
        let mut all = Vec::new();
        for condition in split_conjunction_owned(simple) {
            match condition {
                Expr::Literal(ScalarValue::Boolean(Some(true)), _) => {}
                Expr::Literal(value, _) if value.is_null() || value == ScalarValue::Boolean(Some(false)) => {
                    return Self::Never;
                }
                condition => all.push(condition),
            }
        }
        Self::All(all)
    }
}

fn unless_null(expr: &Expr) -> Option<(String, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = expr else { return None };
    let Expr::IsNull(asked) = left.as_ref() else { return None };
    let Expr::Placeholder(placeholder) = asked.as_ref() else { return None };
    Some((name_of(placeholder).to_owned(), right.as_ref().clone()))
}

fn name_of(placeholder: &Placeholder) -> &str {
    placeholder.id.trim_start_matches('$')
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{ident, lit, placeholder};

    use super::*;

    fn values(value: ScalarValue) -> HashMap<String, ScalarValue> {
        HashMap::from([("p".to_owned(), value)])
    }

    #[test]
    fn what_is_not_given_is_not_asked_for() {
        let condition = placeholder("$p").is_null().or(ident("regiao").eq(placeholder("$p")));
        let condition = Condition::new(condition);
        let never = |_: Expr| unreachable!("nothing is left to be simplified");
        let not_simple = |_: &Expr| false;
        let none = condition.with(&values(ScalarValue::Utf8(None)), not_simple, never).expect("given");
        assert!(matches!(none, Given::All(all) if all.is_empty()));
        let simple = condition.with(&values("SP".into()), |_| true, never).expect("given");
        let some = condition.with(&values("SP".into()), not_simple, Ok).expect("given");
        for given in [simple, some] {
            assert!(matches!(given, Given::All(all) if all == [ident("regiao").eq(lit("SP"))]));
        }
    }

    #[test]
    fn what_was_made_simple_once_is_known() {
        let condition = Condition::new(ident("regiao").eq(placeholder("$p")));
        let simple = |_| Ok(lit(false));
        let not_simple = |_: &Expr| false;
        assert!(matches!(condition.with(&values("SP".into()), not_simple, simple).expect("given"), Given::Never));
        let again = condition.with(&values("SP".into()), not_simple, |_| unreachable!("it is known"));
        assert!(matches!(again.expect("given"), Given::Never));
        let other = condition.with(&values("RJ".into()), not_simple, Ok).expect("given");
        assert!(matches!(other, Given::All(all) if all.len() == 1));
    }
}
