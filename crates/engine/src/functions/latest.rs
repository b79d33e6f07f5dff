//! `latest(value, order, ...)` and `earliest(value, order, ...)`: the value of the row that comes
//! last, or first, in an order.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};

/// The value of the newest row.
pub const LATEST: &str = "latest";
/// The value of the oldest row.
pub const EARLIEST: &str = "earliest";

/// Both. A row whose value is null does not count, as in every aggregate. Of rows with the same
/// order any may be taken: name columns that tell rows apart.
pub fn newest_and_oldest() -> [AggregateUDF; 2] {
    [true, false].map(|is_latest| {
        AggregateUDF::from(ByOrder { is_latest, signature: Signature::user_defined(Volatility::Immutable) })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByOrder {
    is_latest: bool,
    signature: Signature,
}

impl AggregateUDFImpl for ByOrder {
    fn name(&self) -> &str {
        if self.is_latest { LATEST } else { EARLIEST }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [_, _, ..] => Ok(arguments.to_vec()),
            _ => {
                let name = self.name();
                plan_err!("{name} takes a value and what rows are ordered by, such as {name}(level, timestamp)")
            }
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, ..] => Ok(value.clone()),
            [] => plan_err!("{} has no value", self.name()),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // Every plan is simplified before it runs.
        plan_err!("{} was not replaced by what computes it", self.name())
    }

    /// The engine has one that is fast for every type.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let function = if self.is_latest { last_value_udaf() } else { first_value_udaf() };
        Some(Box::new(move |call: AggregateFunction, _| {
            let AggregateFunctionParams { mut args, filter, null_treatment, .. } = call.params;
            let orders = args.split_off(1);
            let Some(value) = args.pop() else { return plan_err!("no value") };
            let has_value = value.clone().is_not_null();
            let filter = match filter {
                Some(filter) => has_value.and(*filter),
                None => has_value,
            };
            let order_by = orders.into_iter().map(|order| order.sort(true, true)).collect();
            Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
                std::sync::Arc::clone(&function),
                vec![value],
                false,
                Some(Box::new(filter)),
                order_by,
                null_treatment,
            )))
        }))
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn the_value_of_the_last_row_that_has_one() {
        let mut session = SessionContext::new();
        crate::add_functions(&mut session).expect("functions");
        let sql = "SELECT k, latest(v, t) AS l, earliest(v, t) AS e, latest(v, t) FILTER (WHERE v < 3) AS small, latest(n, t, v) AS n
             FROM (VALUES ('a', 1, 10, 'x'), ('a', 3, 30, 'y'), ('a', 2, 20, NULL), ('a', NULL, 40, 'z'), ('b', NULL, 1, NULL))
             AS rows(k, v, t, n) GROUP BY k ORDER BY k";
        let rows = session.sql(sql).await.expect("planned").collect().await.expect("rows");
        let shown = pretty_format_batches(&rows).expect("texts").to_string();
        assert!(shown.contains("| a | 3 | 1 | 2     | z |") && shown.contains("| b |   |   |       |   |"), "{shown}");
        let error = session.sql("SELECT latest(v) FROM (VALUES (1)) AS rows(v)").await.expect_err("without an order");
        assert!(error.to_string().contains("latest(level, timestamp)"), "{error}");
    }
}
