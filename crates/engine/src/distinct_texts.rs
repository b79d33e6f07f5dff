//! `count(DISTINCT text)` in jobs and checks: by one table for all groups. DataFusion's own
//! accumulator for each group is many times slower where days, regions and categories make
//! thousands of groups.
//!
//! Reconciliation on demand does not use it: it proves by other means than the stream's. The check
//! that runs alongside the stream does.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::distinct::count_distinct_text_of_batches;

/// Replaces `count(DISTINCT text)` by an aggregate that shares one table between groups.
#[derive(Debug)]
pub struct DistinctTexts(Arc<AggregateUDF>);

impl Default for DistinctTexts {
    fn default() -> Self {
        Self(count_distinct_text_of_batches())
    }
}

impl DistinctTexts {
    fn replaced(&self, aggregate: Expr, input: &DFSchema) -> Result<Transformed<Expr>> {
        aggregate.transform_down(|expr| {
            let Expr::AggregateFunction(call) = expr else { return Ok(Transformed::no(expr)) };
            let params = &call.params;
            let counts_texts = call.func.name() == "count"
                && params.distinct
                && params.order_by.is_empty()
                && params.args.len() == 1
                && matches!(params.args[0].get_type(input)?, DataType::Utf8 | DataType::Utf8View);
            if !counts_texts {
                return Ok(Transformed::no(Expr::AggregateFunction(call)));
            }
            let mut params = call.params;
            params.distinct = false;
            params.args = vec![params.args.remove(0).cast_to(&DataType::Utf8, input)?];
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func: Arc::clone(&self.0), params })))
        })
    }
}

impl AnalyzerRule for DistinctTexts {
    fn name(&self) -> &'static str {
        "distinct_texts_share_one_table"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) if !aggregate.group_expr.is_empty() => {
                let names = NamePreserver::new_for_projection();
                let mut is_changed = false;
                let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
                for call in &aggregate.aggr_expr {
                    let name = names.save(call);
                    let call = self.replaced(call.clone(), aggregate.input.schema())?;
                    is_changed |= call.transformed;
                    calls.push(name.restore(call.data));
                }
                if !is_changed {
                    return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
                }
                let aggregate = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
                Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(rewritten.data)
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    const ROWS: &str = "(VALUES (1, 'a', true), (1, 'a', true), (1, 'b', false), (1, NULL, true), (2, 'a', false), (3, NULL, true)) AS t(g, x, f)";

    #[tokio::test]
    async fn the_same_numbers_under_the_same_names() {
        let queries = [
            "SELECT g, count(DISTINCT x) AS n, count(*) FROM ROWS GROUP BY g ORDER BY g",
            "SELECT g, count(DISTINCT x) FILTER (WHERE f) + count(*) FILTER (WHERE f AND x IS NULL) AS n FROM ROWS GROUP BY g ORDER BY g",
            "SELECT f, count(DISTINCT x), count(DISTINCT g) FROM ROWS GROUP BY f ORDER BY f",
            "SELECT count(DISTINCT x) FROM ROWS",
            "SELECT (SELECT max(n) FROM (SELECT count(DISTINCT x) AS n FROM ROWS GROUP BY g)) AS m",
        ];
        let (plain, ruled) = (SessionContext::new(), SessionContext::new());
        for context in [&plain, &ruled] {
            context.sql("SET datafusion.sql_parser.map_string_types_to_utf8view = false").await.expect("set");
        }
        ruled.add_analyzer_rule(Arc::new(DistinctTexts::default()));
        for query in queries.map(|query| query.replace("ROWS", ROWS)) {
            let mut shown = Vec::new();
            for context in [&plain, &ruled] {
                let frame = context.sql(&query).await.expect("planned");
                shown.push(pretty_format_batches(&frame.collect().await.expect("rows")).expect("shown").to_string());
            }
            assert_eq!(shown[0], shown[1], "{query}");
        }
        let plan = ruled.sql(&queries[0].replace("ROWS", ROWS)).await.expect("planned").into_optimized_plan();
        let plan = plan.expect("optimised").display_indent().to_string();
        assert!(plan.contains("count_distinct_text(t.x)"), "{plan}");
    }
}
